"""The offloading analysis compares the same job here and there, and says from which uplink on it pays."""

from __future__ import annotations

from pathlib import Path

import pytest

from montage_ai.offload.analysis import Analysis, analyze
from montage_ai.offload.costs import Key
from montage_ai.offload.executors.local import LocalExecutor
from montage_ai.offload.ledger import Ledger
from montage_ai.offload.options import LOCAL
from montage_ai.offload.places import Places
from montage_ai.offload.remote.executor import RemoteExecutor
from montage_ai.offload.states import State
from montage_ai.offload.store import JobRow, Store
from montage_ai.offload.transports.local import LocalTransport
from montage_ai.render.offload_report import as_html, as_markdown
from montage_ai.tasks.task import Work

MBIT = 1e6 / 8


def analysis(folder: Path, *, pace_here: float, pace_there: float, mbit: float) -> Analysis:
    """Of jobs of 100 units and 10 MB that went there, beside far larger ones that were done here."""
    store = Store(folder)
    ledger = Ledger(store, folder, lambda task, variant: "key")
    for number, (executor, variant, units) in enumerate([(LOCAL, "here", 5000.0), ("box", "there", 100.0)] * 5):
        row = JobRow(str(number), str(number), "stabilize", "here", executor, State.DONE, None, units, 0, 1.0, 1.0)
        store.add(row)
        attempt = store.begin_attempt(row.id, executor, variant, 1.0, Work(10_000_000, units, 1000))
        store.end_attempt(attempt, "done", "", 1.0)
        store.measurements.add(
            Key(f"stabilize/{variant}/compute", ledger.device(executor)),
            units,
            units * (pace_here if executor == LOCAL else pace_there),
            None,
        )
        store.measurements.add(Key("up", "box"), 10_000_000, 10_000_000 / (mbit * MBIT), None)
    places = Places([LocalExecutor(1), RemoteExecutor("box", LocalTransport(folder / "far"))])
    found = analyze(store, places, Ledger(store, folder, lambda task, variant: "key"))
    store.close()
    return found


def test_the_same_job_is_compared_here_and_there(tmp_path: Path) -> None:
    (one,) = analysis(tmp_path, pace_here=0.1, pace_there=0.01, mbit=100).comparisons
    assert one.here.fixed == pytest.approx(100 * 0.1, rel=0.1)  # not 5000 units, as those done here had
    assert one.there(one.uplink) == pytest.approx(100 * 0.01 + 0.8, abs=0.7)
    assert "send to box" in one.verdict


def test_the_break_even_uplink_is_where_the_curves_meet(tmp_path: Path) -> None:
    (one,) = analysis(tmp_path, pace_here=0.1, pace_there=0.01, mbit=2).comparisons
    assert one.break_even is not None
    assert one.there(one.break_even) == pytest.approx(one.here.fixed)
    assert one.verdict == f"keep local: needs {one.break_even:.0f} Mbit/s, you have 2"


def test_what_is_slower_there_never_pays(tmp_path: Path) -> None:
    (one,) = analysis(tmp_path, pace_here=0.01, pace_there=0.1, mbit=100).comparisons
    assert one.break_even is None
    assert "keep local" in one.verdict


def test_the_pages_say_the_same(tmp_path: Path) -> None:
    found = analysis(tmp_path, pace_here=0.1, pace_there=0.01, mbit=100)
    assert found.comparisons[0].verdict in as_html(found)
    assert found.comparisons[0].verdict in as_markdown(found)
