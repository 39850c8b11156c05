"""How long steps of jobs take: straight lines, learned from what happened, started from priors.

A step's time is ``fixed + per_unit * units``. A curve is kept for every step of a task's variant on a device, for every
link in both directions (its units are bytes) and for setting a machine up. What is predicted is compared with what
happened: see ``analysis``.
"""

from __future__ import annotations

import math
import statistics
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import NamedTuple

from montage_ai.tasks.task import Line

_RECENT = 40  # observations that count
_FADING = 0.9  # an observation counts this much less than the next one
_PRIOR_WEIGHT = 0.1  # of the prior's scale, in observations
_BEND_WEIGHT = 0.1  # of each of the two ends of the scaled prior, once the line may bend
_ENOUGH = 6  # observations from which on the prior does not count any more
_SPREAD = 1.2  # of units, below which fixed and per-unit time cannot be told apart, and need not be
_WIDE = 1.5  # of units, from which on they can be told apart without the prior's help
_UNSEEN = 0.02  # of a step's time: a part that is less cannot be learned from it


class Key(NamedTuple):
    """What a curve is of: ``what`` is done (like ``stabilize/there/compute`` or ``up``), and where."""

    what: str
    where: str


UPLINK = Line(0.3, 8 / 20e6)
"""20 Mbit/s: what is believed of a link to another machine until it is measured."""

DOWNLINK = Line(0.3, 8 / 50e6)

SET_UP = Line(45.0, 0.0)
"""Making a machine ready for the first time: the program sent, packages installed."""


class Observation(NamedTuple):
    """A step of ``units`` that took ``seconds``."""

    units: float
    seconds: float


class CostModel:
    """Learns curves. Pure data in memory: who owns it feeds it what was measured, oldest first."""

    def __init__(self) -> None:
        self._seen: defaultdict[Key, list[Observation]] = defaultdict(list)
        self._fits: dict[tuple[Key, Line], Line] = {}

    def observe(self, key: Key, units: float, seconds: float) -> None:
        """A step took ``seconds``; without units or time it says nothing."""
        if units > 0 and seconds > 0 and math.isfinite(seconds):
            self._seen[key] = [*self._seen[key], Observation(units, seconds)][-_RECENT:]
            self._fits = {known: line for known, line in self._fits.items() if known[0] != key}

    def observed(self, key: Key) -> int:
        """How often the step was measured."""
        return len(self._seen[key]) if key in self._seen else 0

    def line(self, key: Key, prior: Line) -> Line:
        """The line as it is believed now."""
        if (key, prior) not in self._fits:
            self._fits[key, prior] = fit(prior, self._seen.get(key, []))
        return self._fits[key, prior]


def fit(prior: Line, seen: Sequence[Observation]) -> Line:
    """The line that explains what was ``seen``, oldest first.

    First the prior is scaled by the weighted median of the observed ratios: one observation corrects a prior that is
    ten times off, and a single outlier of many changes nothing. Then, where the units differ enough, the line is bent
    by least squares of relative errors, in which the ends of the scaled prior take part until six were seen that differ
    widely.
    """
    if not seen:
        return prior
    weights = [_FADING ** (len(seen) - 1 - index) for index in range(len(seen))]
    ratios = [math.log(one.seconds / max(prior(one.units), 1e-9)) for one in seen]
    total = sum(weights)
    scale = math.exp(_weighted_median(ratios, weights) * total / (total + _PRIOR_WEIGHT))
    scaled = _scaled(prior, scale, statistics.median(one.units for one in seen))
    low, high = min(one.units for one in seen), max(one.units for one in seen)
    if len(seen) < 3 or high < _SPREAD * low or _share(prior, high) < _UNSEEN:
        return scaled
    if len(seen) >= _ENOUGH and high >= _WIDE * low:
        return _least_relative_squares(seen, weights)
    ends = [Observation(units, scaled(units)) for units in (low, high)]
    return _least_relative_squares([*seen, *ends], [*weights, _BEND_WEIGHT, _BEND_WEIGHT])


def _scaled(prior: Line, scale: float, units: float) -> Line:
    """The prior times ``scale``; but a part that is nothing of its time at ``units`` was not seen, and stays as it is.

    (How long three kilobytes take says nothing of a link's rate.)
    """
    total, both = scale * prior(units), Line(prior.fixed * scale, prior.per_unit * scale)
    share = _share(prior, units)
    if share < _UNSEEN:
        fixed = total - prior.per_unit * units
        return Line(fixed, prior.per_unit) if fixed > 0 else both
    if share > 1 - _UNSEEN:
        per_unit = (total - prior.fixed) / units
        return Line(prior.fixed, per_unit) if per_unit > 0 else both
    return both


def _share(line: Line, units: float) -> float:
    """Of a step's time what depends on its units."""
    return line.per_unit * units / max(line(units), 1e-12)


def _weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """Between two values in the middle: their mean."""
    ordered, half = sorted(zip(values, weights, strict=True)), sum(weights) / 2
    reached = 0.0
    for index, (value, weight) in enumerate(ordered):
        reached += weight
        if math.isclose(reached, half) and index + 1 < len(ordered):
            return (value + ordered[index + 1][0]) / 2
        if reached > half:
            return value
    return ordered[-1][0]


def _least_relative_squares(seen: Sequence[Observation], weights: Sequence[float]) -> Line:
    """The line with least weighted squares of ``line(units) / seconds - 1``, nowhere negative."""
    scaled = [weight / one.seconds**2 for one, weight in zip(seen, weights, strict=True)]

    def total(value: Callable[[Observation], float]) -> float:
        return sum(weight * value(one) for one, weight in zip(seen, scaled, strict=True))

    n, u, uu = total(lambda _: 1.0), total(lambda one: one.units), total(lambda one: one.units**2)
    t, ut = total(lambda one: one.seconds), total(lambda one: one.units * one.seconds)
    determinant = n * uu - u * u
    if determinant <= 1e-9 * n * uu:  # one of them outweighs all
        return Line(0.0, ut / uu)
    fixed, per_unit = (t * uu - ut * u) / determinant, (n * ut - u * t) / determinant
    if fixed < 0:
        return Line(0.0, ut / uu)
    if per_unit < 0:
        return Line(t / n, 0.0)
    return Line(fixed, per_unit)
