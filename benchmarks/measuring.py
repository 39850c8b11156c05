"""Running things and counting what they cost: CPU seconds of whole process trees, wall time, paired comparisons."""

from __future__ import annotations

import contextlib
import ctypes
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]

from montage_ai.media.ffmpeg import ffmpeg_path

FOOTAGE = Path(__file__).resolve().parents[2] / "shared" / "footage"
"""Real clips, where they are there: rows that need one are left out without it."""

_ADOPT_ORPHANS, _ADOPTS_ORPHANS = 36, 37  # PR_SET_CHILD_SUBREAPER and PR_GET_CHILD_SUBREAPER


@dataclass(frozen=True)
class Usage:
    """What one run cost: CPU seconds of the process and all its descendants, wall seconds; and what it printed."""

    cpu: float
    wall: float
    output: str


def run(command: Sequence[str | Path], *, home: Path | None = None) -> Usage:
    """Run ``command`` to its end, with ``home`` as its MONTAGE_AI_HOME. Raises ``RuntimeError`` if it fails."""
    with _adopting_orphans(), tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as complaints:
        known = _children()
        started = time.perf_counter()
        process = subprocess.Popen(
            [str(part) for part in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=complaints,
            env=environment(home),
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - started
        process.returncode = os.waitstatus_to_exitcode(status)
        cpu = usage.ru_utime + usage.ru_stime + _orphans_cpu(known)
        if process.returncode != 0:
            complaints.seek(0)
            said = complaints.read().decode("utf-8", "replace").strip()[-1500:]
            raise RuntimeError(f"{' '.join(map(str, command))[:300]} ended with {process.returncode}: {said}")
        output.seek(0)
        return Usage(cpu, wall, output.read().decode("utf-8", "replace"))


def ffmpeg(*arguments: str | Path) -> list[str]:
    """A command of the FFmpeg that the program uses too."""
    return [ffmpeg_path(), "-hide_banner", "-nostdin", "-y", "-loglevel", "error", *map(str, arguments)]


def job(name: str, *arguments: str | Path) -> list[str]:
    """A command of ``benchmarks.jobs``."""
    return [sys.executable, "-m", "benchmarks.jobs", name, *map(str, arguments)]


def montage_ai(*arguments: str | Path) -> list[str]:
    """A command of the program's command line."""
    script = Path(sys.executable).with_name("montage-ai")
    start = [str(script)] if script.is_file() else [sys.executable, "-m", "montage_ai"]
    return [*start, *map(str, arguments)]


def environment(home: Path | None = None) -> Mapping[str, str]:
    """The environment of a measured process: at home in ``home``, and with compiled modules, as installed ones are."""
    kept = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
    return {**kept, **({"MONTAGE_AI_HOME": str(home)} if home else {})}


@contextlib.contextmanager
def fresh_home() -> Iterator[Path]:
    """An empty folder for one run's library and cache."""
    with tempfile.TemporaryDirectory(prefix="montage-ai-home-") as folder:
        yield Path(folder)


def at_home(command: Sequence[str | Path]) -> Usage:
    """Run ``command`` in a home of its own, with nothing known and nothing cached."""
    with fresh_home() as home:
        return run(command, home=home)


def alternately(first: Callable[[], Usage], second: Callable[[], Usage], rounds: int) -> list[tuple[Usage, Usage]]:
    """``rounds`` pairs of runs, one after the other: what else the machine does disturbs both alike."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            after = second()
            pairs.append((first(), after))
        else:
            pairs.append((first(), second()))
    return pairs


def median_ratio(pairs: Sequence[tuple[float, float]]) -> float:
    """The median of the ratios within pairs."""
    return statistics.median(mine / theirs for mine, theirs in pairs)


@contextlib.contextmanager
def _adopting_orphans() -> Iterator[None]:
    """Descendants whose parents end are handed to this process, so that their CPU time is counted (Linux).

    Only for the length of the block: whoever adopts must also wait, or what has ended stays listed as a child.
    """
    if sys.platform != "linux":
        yield
        return
    prctl, before = ctypes.CDLL(None).prctl, ctypes.c_int()
    prctl(_ADOPTS_ORPHANS, ctypes.byref(before), 0, 0, 0)
    prctl(_ADOPT_ORPHANS, 1, 0, 0, 0)
    try:
        yield
    finally:
        prctl(_ADOPT_ORPHANS, before.value, 0, 0, 0)


def _children() -> set[int]:
    return {process.pid for process in psutil.Process().children()}


def _orphans_cpu(known: set[int]) -> float:
    """CPU seconds of the descendants that outlived the measured process; waits for their end."""
    spent = 0.0
    for pid in _children() - known:
        with contextlib.suppress(ChildProcessError):
            usage = os.wait4(pid, 0)[2]
            spent += usage.ru_utime + usage.ru_stime
    return spent
