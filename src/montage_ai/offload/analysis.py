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
    Rates are whole jobs' units a second, with all that belongs to them.
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
        attempts = store.good_attempts(task, _LAST)
        for executor in (one.name for one in places.executors if one.name != LOCAL):
            if (found := _compare(task, executor, attempts, ledger)) is not None:
                comparisons.append(found)
    return Analysis(tuple(comparisons), tuple(_accuracy(store)))


def _compare(
    task: str, executor: str, attempts: Sequence[tuple[AttemptRow, float]], ledger: Ledger
) -> Comparison | None:
    """The same typical job here and there, in the variant that does best; None where it was never done both ways."""
    here = [one for one, _ in attempts if one.executor == LOCAL]
    there = [(one, units) for one, units in attempts if one.executor == executor]
    if not here or not there:
        return None
    uplink = ledger.megabits(executor, "up")
    found = []
    for variant in {one.variant for one, _ in there}:
        mine = [(one, units) for one, units in there if one.variant == variant]
        units = statistics.median(units for _, units in mine)
        curves = _curve_here(task, here[0].variant, units, ledger), _curve_there(task, [one for one, _ in mine], ledger)
        found.append((*curves, units))
    curve_here, curve, units = min(found, key=lambda one: one[1](uplink) / one[0].fixed)
    break_even = _break_even(curve_here, curve)
    return Comparison(
        task,
        curve_here,
        curve,
        len(here),
        len(there),
        units / curve_here.fixed,
        units / curve(uplink),
        uplink,
        break_even,
        _verdict(curve_here, curve, uplink, break_even),
    )


def _curve_here(task: str, variant: str, units: float, ledger: Ledger) -> Curve:
    prior = task_class(task).priors()[variant]
    return Curve(LOCAL, variant, ledger.line(task, variant, "compute", ledger.device(LOCAL), prior.compute)(units), 0)


def _curve_there(task: str, attempts: Sequence[AttemptRow], ledger: Ledger) -> Curve:
    """For the median of the sizes that the attempts had."""
    executor, variant = attempts[0].executor, attempts[0].variant
    prior = task_class(task).priors()[variant]
    up, units, down, prepare, finish = (
        statistics.median(getattr(one, size) for one in attempts)
        for size in ("up", "units", "down", "prepare", "finish")
    )
    steps = (
        ledger.line(task, variant, "prepare", ledger.device(LOCAL), prior.prepare)(prepare) if prepare else 0.0,
        ledger.link(executor, "up").fixed,
        ledger.line(task, variant, "compute", ledger.device(executor), prior.compute)(units),
        ledger.link(executor, "down")(down),
        ledger.line(task, variant, "finish", ledger.device(LOCAL), prior.finish)(finish) if finish else 0.0,
    )
    return Curve(executor, variant, sum(steps), int(up))


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
