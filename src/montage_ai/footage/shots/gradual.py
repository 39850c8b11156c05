"""Dissolves and fades: stretches in which one picture turns into another along a straight line."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from montage_ai.footage.shots.ramp import Ramp, fit_ramp
from montage_ai.footage.shots.view import Floats, Small, quartered
from montage_ai.media.decode import halved

RATE = 31.0
"""Frames a second that are looked at, at most."""
HALVES = (0.12, 0.2, 0.3, 0.42, 0.56, 0.75, 1.0, 1.3)
"""Half the seconds that a transition is tried for."""
LEAST_HALF = 3
"""Half the samples of the shortest transition that is told from motion."""
RATE_SPAN = 8
"""Samples over which the frame rate is measured, again and again."""
KEPT = 192
"""Samples above which the older ones are forgotten: down to half, which the longest window and its ends fit into."""
STEPS = (-1.0, -0.75, -0.5, -0.25, 0.0, 0.25, 0.5, 0.75, 1.0)
EVEN = np.linspace(0, 1, len(STEPS))

LEAST_CHANGE = 17.0
"""Grey levels (root mean square over the blocks) between the ends."""
MOST_KEPT = 0.25
"""Correlation of the detail at both ends: above it the same view changed its light."""
DIP = (0.33, 0.8)
"""Power of the detail half-way, in those of the ends: half for two unrelated pictures, about one for motion."""
MOST_STRAY = 0.32
"""Distance from the straight line, in its length, on average."""
MOST_UNEVEN = 0.18
"""Most that the progress along the line differs from an even one."""
LEAST_MIXED = 0.12
"""Share of the detail's power that a mixture of the ends explains."""
LEAST_SPREAD = 0.28
"""How evenly the change of detail is spread over the picture: 0.64 for noise, less where one thing has moved."""
FLAT_DETAIL = 2.0
FLAT_SPREAD = 8.0
"""Grey levels of detail and of the blocks (root mean square) below which a picture is one colour."""


@dataclass(frozen=True, slots=True)
class _Sample:
    index: int
    time: float
    detail: Floats
    power: float
    blocks: Floats
    flat: bool


@dataclass(frozen=True, slots=True)
class _Hit:
    """A window of samples ``centre - half`` to ``centre + half`` that reads like a transition."""

    centre: int
    half: int
    score: float


class GradualFinder:
    """Finds the stretches that are a linear mixture of what is before and after them.

    Three marks have to come together: the block means move on a straight line at an even pace; the detail's power
    dips like a parabola, since unrelated pictures mix like uncorrelated noise (A. Alattar, "Detecting and compressing
    dissolve regions in video sequences", ISCAS 1993; R. Lienhart, "Reliable dissolve detection", SPIE 4315, 2001); and
    half-way the detail is a mixture of the ends'. Motion keeps its power; a change of light keeps its detail.
    """

    def __init__(self) -> None:
        self.ramps: list[Ramp] = []
        self.flat: list[tuple[int, int]] = []
        """Stretches of one colour: first frame and end (exclusive)."""
        self._pushed = 0
        self._samples: list[_Sample] = []
        self._dropped = 0
        self._halves: list[int] = [LEAST_HALF]
        self._hits: list[_Hit] = []

    def push(self, frame: Small) -> None:
        if self._samples and frame.time - self._samples[-1].time < 1 / RATE:
            return
        sample = _sample(frame)
        if sample.flat:
            goes_on = bool(self._samples) and self._samples[-1].flat
            self.flat.append((self.flat.pop()[0] if goes_on else sample.index, sample.index + 1))
        self._samples.append(sample)
        self._pushed += 1
        if self._pushed % RATE_SPAN == 0:
            self._halves = _halves(self._samples[-1].time - self._samples[-RATE_SPAN].time)
        self._hits += [hit for half in self._halves if (hit := self._try(half))]
        if self._hits:
            self._settle_when_quiet()
        elif len(self._samples) > KEPT:
            self._forget()

    def finish(self) -> list[Ramp]:
        """Everything found, in order."""
        self._settle()
        return sorted(self.ramps, key=lambda r: r.start)

    def _try(self, half: int) -> _Hit | None:
        """The newest window of ``half``: cheap tests first."""
        last = len(self._samples) - 1
        if last < 2 * half:
            return None
        a, middle, b = self._samples[last - 2 * half], self._samples[last - half], self._samples[last]
        ends = a.power + b.power
        if not DIP[0] * ends < 2 * middle.power < DIP[1] * ends:
            return None
        change = float(np.linalg.norm(b.blocks - a.blocks)) / a.blocks.size**0.5
        if change < LEAST_CHANGE:
            return None
        window = [self._samples[last - half + round(step * half)] for step in STEPS]
        stray, uneven = _line(window)
        if stray > MOST_STRAY or uneven > MOST_UNEVEN:
            return None
        if not _unrelated(a, b) or sum(_mixed(a, s, b) for s in window[2:7:2]) < 3 * LEAST_MIXED:
            return None
        return _Hit(last - half + self._dropped, half, change * (1 - stray) * (1 - 2 * uneven))

    def _settle_when_quiet(self) -> None:
        """Decide once no window can still show the same transition, or it would be forgotten."""
        passed = self._dropped + len(self._samples)
        quiet = passed - max(h.centre + h.half for h in self._hits) > self._halves[-1]
        if quiet or len(self._samples) > 2 * KEPT:
            self._settle()

    def _forget(self) -> None:
        gone = len(self._samples) - KEPT // 2
        del self._samples[:gone]
        self._dropped += gone

    def _settle(self) -> None:
        """Keep the best of the hits that overlap, and measure where each begins and ends."""
        taken: list[_Hit] = []
        for hit in sorted(self._hits, key=lambda h: -h.score):
            if all(abs(hit.centre - other.centre) >= 0.8 * (hit.half + other.half) for other in taken):
                taken.append(hit)
        self._hits = []
        for hit in taken:
            if ramp := self._measure(hit):
                self.ramps.append(ramp)

    def _measure(self, hit: _Hit) -> Ramp | None:
        """Fit a ramp to the progress from one end of the window to the other, and somewhat beyond."""
        centre = hit.centre - self._dropped
        reach = hit.half + 4 + round(0.7 * hit.half)
        window = self._samples[max(0, centre - reach) : centre + reach + 1]
        a, b = self._samples[centre - hit.half].blocks, self._samples[centre + hit.half].blocks
        progress = (np.array([s.blocks for s in window]) - a) @ (b - a) / float((b - a) @ (b - a))
        return fit_ramp(progress.astype(np.float64), [s.index for s in window])


def _halves(elapsed: float) -> list[int]:
    """``HALVES`` in samples, where ``RATE_SPAN`` samples took ``elapsed`` seconds."""
    rate = (RATE_SPAN - 1) / elapsed
    return sorted({max(LEAST_HALF, round(half * rate)) for half in HALVES})


def _sample(frame: Small) -> _Sample:
    luma = quartered(frame.y).ravel()
    blocks = np.concatenate([luma, halved(frame.u).ravel(), halved(frame.v).ravel()]).astype(np.float32)
    flat = frame.power < frame.detail.size * FLAT_DETAIL**2 and float(luma.std()) < FLAT_SPREAD
    return _Sample(frame.index, frame.time, frame.detail, frame.power, blocks, flat)


def _line(window: list[_Sample]) -> tuple[float, float]:
    """How far the block means stray from the straight way between the window's ends, and from an even pace on it."""
    x = np.array([s.blocks for s in window])
    steps = x - x[0]
    way = steps[-1]
    square = float(way @ way)
    progress = steps @ way / square
    away = steps - progress[:, None] * way
    stray = np.sqrt((away * away).sum(1)).sum() / (len(steps) * square**0.5)
    return float(stray), float(np.abs(progress - EVEN).max())


def _unrelated(a: _Sample, b: _Sample) -> bool:
    """Whether the detail of ``a`` and ``b`` differs, and all over; always where one of them has none."""
    if min(a.power, b.power) < a.detail.size * FLAT_DETAIL**2:
        return True
    kept = float(a.detail @ b.detail) / (a.power * b.power) ** 0.5
    change = b.detail - a.detail
    spread = float(np.abs(change).sum()) ** 2 / (change.size * float(change @ change))
    return kept < MOST_KEPT and spread > LEAST_SPREAD


def _mixed(a: _Sample, s: _Sample, b: _Sample) -> float:
    """Share of the power of ``s``'s detail that the best mixture of ``a``'s and ``b``'s explains."""
    both, ridge = a.detail @ b.detail, 0.01 * a.detail.size
    basis = np.array([[a.power + ridge, both], [both, b.power + ridge]])
    onto = np.array([a.detail @ s.detail, b.detail @ s.detail])
    return float(onto @ np.linalg.solve(basis, onto)) / (s.power + 1e-6)
