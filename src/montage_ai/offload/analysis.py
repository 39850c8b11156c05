"""The offloading analysis: what was measured here and elsewhere, and from which uplink on it pays."""

from __future__ import annotations

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from montage_ai.offload.ledger import Ledger
from montage_ai.offload.options import LOCAL
from montage_ai.offload.places import Places
from montage_ai.offload.store import AttemptRow, Store
from montage_ai.tasks import task_class, task_names
from montage_ai.tasks.task import Line, Prior

_LAST = 200  # attempts that count
MEGABIT = 1e6 / 8


@dataclass(frozen=True)
class Curve:
    """Seconds of a typical job at an executor, by the uplink: ``fixed`` and the time that ``bytes_up`` take."""

    executor: str
    variant: str
    fixed: float
    bytes_up: int

    def __call__(self, megabits: float) -> float:
        """Seconds with an uplink of so many Mbit/s."""
        return self.fixed + (self.bytes_up / (megabits * MEGABIT) if self.bytes_up else 0.0)


@dataclass(frozen=True)
class Comparison:
    """A task here and at one executor, for its typical job.

    ``uplink`` is the executor's in Mbit/s, ``break_even`` the one from which on it is quicker there (None: never).
    Rates are in units of the task's work a second.
    """

    task: str
    here: Curve
    there: Curve
    jobs_here: int
    jobs_there: int
    rate_here: float
    rate_there: float
    uplink: float
    break_even: float | None
    verdict: str


@dataclass(frozen=True)
class Accuracy:
    """How right the predictions of a step were: the mean absolute error of the last ten of ``count``, as a share."""

    what: str
    where: str
    count: int
    error: float


@dataclass(frozen=True)
class Analysis:
    """All of it."""

    comparisons: tuple[Comparison, ...]
    accuracy: tuple[Accuracy, ...]


def analyze(store: Store, places: Places, ledger: Ledger) -> Analysis:
    """From what is in ``store``."""
    comparisons = []
    for task in task_names():
        attempts = store.attempts_at(task, _LAST)
        for executor in (one.name for one in places.executors if one.name != LOCAL):
            if (found := _compare(task, executor, attempts, ledger)) is not None:
                comparisons.append(found)
    return Analysis(tuple(comparisons), tuple(_accuracy(store)))


def _compare(task: str, executor: str, attempts: Sequence[AttemptRow], ledger: Ledger) -> Comparison | None:
    """None where the task was never done there and here."""
    here = [one for one in attempts if one.executor == LOCAL]
    there = [one for one in attempts if one.executor == executor]
    if not here or not there:
        return None
    priors = task_class(task).priors()
    curve_here, rate_here = _curve(task, LOCAL, here[-1].variant, here, priors, ledger)
    curves = [_curve(task, executor, variant, there, priors, ledger) for variant in {one.variant for one in there}]
    uplink = ledger.megabits(executor, "up")
    curve, rate = min(curves, key=lambda pair: pair[0](uplink))
    break_even = _break_even(curve_here, curve)
    verdict = _verdict(curve_here, curve, uplink, break_even)
    return Comparison(task, curve_here, curve, len(here), len(there), rate_here, rate, uplink, break_even, verdict)


def _curve(
    task: str, executor: str, variant: str, attempts: Sequence[AttemptRow], priors: dict[str, Prior], ledger: Ledger
) -> tuple[Curve, float]:
    """The variant's curve for the median of the sizes that it had, and its rate in units a second."""
    mine = [one for one in attempts if one.variant == variant]
    up, units, down = (statistics.median(getattr(one, size) for one in mine) for size in ("up", "units", "down"))
    prior = priors.get(variant, Prior(Line(1.0, 1.0)))
    compute = ledger.line(task, variant, "compute", ledger.device(executor), prior.compute)(units)
    if executor == LOCAL:
        return Curve(executor, variant, compute, 0), units / max(compute, 1e-9)
    steps = sum(ledger.typical(task, variant, step) for step in ("prepare", "finish"))
    fixed = ledger.link(executor, "up").fixed + compute + ledger.link(executor, "down")(down) + steps
    return Curve(executor, variant, fixed, int(up)), units / max(compute, 1e-9)


def _break_even(here: Curve, there: Curve) -> float | None:
    """Mbit/s from which on it is quicker there."""
    spare = here.fixed - there.fixed
    if spare <= 0:
        return None
    return there.bytes_up / (spare * MEGABIT)


def _verdict(here: Curve, there: Curve, uplink: float, break_even: float | None) -> str:
    name = there.executor
    if break_even is None:
        return f"keep local: {name} takes {there.fixed:.1f} s without the upload, this machine {here.fixed:.1f} s"
    if uplink >= break_even:
        return f"send to {name}: {here.fixed / there(uplink):.1f} times as fast with your {uplink:.0f} Mbit/s"
    return f"keep local: needs {break_even:.0f} Mbit/s, you have {uplink:.0f}"


def _accuracy(store: Store) -> list[Accuracy]:
    """Of every step that was predicted, the mean error of its last ten."""
    errors: dict[tuple[str, str], list[float]] = {}
    for one in store.measurements.all():
        if one.predicted is not None and one.seconds > 0:
            errors.setdefault((one.key.what, one.key.where), []).append(abs(one.predicted / one.seconds - 1))
    return [Accuracy(what, where, len(e), statistics.mean(e[-10:])) for (what, where), e in sorted(errors.items())]
