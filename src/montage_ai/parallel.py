"""Several pieces of work at once, in threads, that stop together, and what of this machine there is for them.

The threads mostly wait for FFmpeg or run native code that releases Python's lock, so threads use all cores.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TypeVar

from montage_ai.processes import Stopped, StopSign

__all__ = ["AT_ONCE", "StopSign", "Stopped", "cores", "memory", "run_all", "share"]

AT_ONCE = "MONTAGE_AI_JOBS_AT_ONCE"
"""In the environment of a worker: how many of its kind run beside each other on this machine, with it."""

T = TypeVar("T")
R = TypeVar("R")


def cores() -> int:
    """Processors that this process may use."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def share() -> int:
    """Processors that this process should keep busy: a worker's part of all, else all."""
    at_once = os.environ.get(AT_ONCE, "")
    return max(1, cores() // max(1, int(at_once))) if at_once.isdecimal() else cores()


def memory() -> float:
    """Gigabytes that this machine has, or less where the container that we are in may use less; 0: not known."""
    limits = []
    with contextlib.suppress(OSError, ValueError):
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text("ascii")))
    with contextlib.suppress(OSError, ValueError, AttributeError):
        limits.append(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES"))
    return min(limits, default=0) / 1e9


def run_all(work: Callable[[T, StopSign], R], items: Iterable[T], *, workers: int) -> Iterator[tuple[T, R]]:
    """Yield (item, its result) as they finish, ``workers`` at a time.

    The first exception, Ctrl-C, or the consumer's leaving stops the others, ends their child processes and is
    raised once they have ended.
    """
    sign = StopSign()

    def under_sign(item: T) -> R:
        with sign.over_this_thread():
            return work(item, sign)

    pool = ThreadPoolExecutor(max_workers=max(1, workers))
    running: dict[Future[R], T] = {}
    try:
        for item in items:
            running[pool.submit(under_sign, item)] = item
            if len(running) >= workers:
                yield from _finished(running)
        while running:
            yield from _finished(running)
    except BaseException:
        sign.set()
        raise
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


def _finished(running: dict[Future[R], T]) -> Iterator[tuple[T, R]]:
    done, _ = wait(running, return_when=FIRST_COMPLETED)
    for future in sorted(done, key=lambda future: future.exception() is not None):  # what succeeded is not lost
        yield running.pop(future), future.result()
