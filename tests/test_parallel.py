"""Pieces of work at once: all results, or the first error and nothing left running."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from montage_ai import processes
from montage_ai.parallel import Stopped, StopSign, cores, run_all

SLEEP = [sys.executable, "-S", "-c", "import time; time.sleep(120)"]


def until_stopped(sign: StopSign) -> None:
    for _ in range(3000):
        sign.check()
        threading.Event().wait(0.01)


@settings(max_examples=25)
@given(items=st.lists(st.integers(), max_size=12), workers=st.integers(1, 4))
def test_every_result_comes_once_with_its_item(items: list[int], workers: int) -> None:
    results = list(run_all(lambda item, _: item * 2, items, workers=workers))
    assert Counter(results) == Counter((item, item * 2) for item in items)


@pytest.mark.parametrize("workers", [1, 2, 3])
def test_no_more_pieces_run_at_once_than_there_are_workers(workers: int) -> None:
    lock, now, most = threading.Lock(), 0, 0

    def work(item: int, sign: StopSign) -> None:
        nonlocal now, most
        with lock:
            now += 1
            most = max(most, now)
        threading.Event().wait(0.02)
        with lock:
            now -= 1

    list(run_all(work, range(8), workers=workers))
    assert most == workers


def test_a_result_comes_as_soon_as_it_is_there() -> None:
    release = threading.Event()

    def work(item: str, sign: StopSign) -> str:
        if item == "slow":
            assert release.wait(30)
        return item

    results = run_all(work, ["slow", "quick"], workers=2)
    assert next(results) == ("quick", "quick")
    release.set()
    assert next(results) == ("slow", "slow")


def test_the_first_error_stops_the_others_and_is_raised() -> None:
    running, stopped = threading.Event(), threading.Event()

    def work(item: str, sign: StopSign) -> None:
        if item == "fails":
            assert running.wait(30)
            raise ValueError(item)
        running.set()
        try:
            until_stopped(sign)
        except Stopped:
            stopped.set()
            raise

    with pytest.raises(ValueError, match="fails"):
        list(run_all(work, ["works", "fails"], workers=2))
    assert stopped.is_set()


def test_after_an_error_nothing_new_is_started() -> None:
    started: list[int] = []

    def work(item: int, sign: StopSign) -> None:
        started.append(item)
        if item == 3:
            raise ValueError("three")

    with pytest.raises(ValueError, match="three"):
        list(run_all(work, itertools.count(), workers=1))
    assert started == [0, 1, 2, 3]


def test_an_error_ends_the_child_processes_of_the_others() -> None:
    running = threading.Event()
    codes: list[int] = []

    def work(item: str, sign: StopSign) -> None:
        if item == "fails":
            assert running.wait(30)
            raise ValueError("fails")
        with processes.child(SLEEP) as child:
            running.set()
            codes.append(child.wait(60))

    with pytest.raises(ValueError, match="fails"):
        list(run_all(work, ["child", "fails"], workers=2))
    assert len(codes) == 1
    assert codes[0] != 0


def test_leaving_early_stops_the_rest() -> None:
    running, stopped = threading.Event(), threading.Event()

    def work(item: int, sign: StopSign) -> int:
        if item == 0:
            assert running.wait(30)
        else:
            running.set()
            try:
                until_stopped(sign)
            except Stopped:
                stopped.set()
                raise
        return item

    results = run_all(work, range(5), workers=2)
    assert next(results) == (0, 0)
    results.close()
    assert stopped.is_set()


def test_an_error_of_the_items_themselves_stops_the_work() -> None:
    stopped = threading.Event()

    def work(item: int, sign: StopSign) -> None:
        try:
            until_stopped(sign)
        except Stopped:
            stopped.set()
            raise

    def items() -> Iterator[int]:
        yield 1
        raise KeyError

    with pytest.raises(KeyError):
        list(run_all(work, items(), workers=2))
    assert stopped.is_set()


def test_leaving_early_leaves_the_children_of_other_work_alone() -> None:
    with processes.child(SLEEP) as other:
        results = run_all(lambda item, _: item, [1, 2, 3], workers=1)
        next(results)
        results.close()
        with pytest.raises(subprocess.TimeoutExpired):
            other.wait(0.3)


def test_stopped_passes_by_whoever_catches_errors() -> None:
    sign = StopSign()
    sign.check()
    sign.set()
    with pytest.raises(Stopped):
        sign.check()
    assert not issubclass(Stopped, Exception)


def test_cores_are_those_this_process_may_use() -> None:
    assert 1 <= cores() <= (os.cpu_count() or 1)
