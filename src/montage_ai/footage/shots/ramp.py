"""Where a transition begins and ends: a ramp fitted to its progress."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHORTEST = 3
"""Samples of the shortest ramp."""


@dataclass(frozen=True, slots=True)
class Ramp:
    """Frames ``start`` to ``end`` (exclusive) are mixtures."""

    start: int
    end: int


def fit_ramp(progress: NDArray[np.float64], indices: list[int]) -> Ramp | None:
    """The ramp, level before and after, that is closest to ``progress`` (n values at frames ``indices``).

    ``None`` where the best is the shortest that was tried: a step, which is a cut.
    """
    n = len(progress)
    first, last = (np.array(edge) for edge in zip(*_edges(n), strict=True))
    ramps = np.clip((np.arange(n) - first[:, None]) / (last - first)[:, None], 0, 1)
    ramps -= ramps.sum(1, keepdims=True) / n
    explained = (ramps @ progress) ** 2 / ((ramps * ramps).sum(1) + 1e-9)
    best = int(explained.argmax())
    start, end = int(first[best]) + 1, int(last[best])
    return Ramp(indices[start], indices[end - 1] + 1) if end - start >= SHORTEST else None


def _edges(n: int) -> list[tuple[int, int]]:
    """The last clean sample before and the first one after every ramp that fits into ``n`` samples."""
    step = 1 + n // 80
    return [(a, b) for a in range(-1, n - SHORTEST, step) for b in range(a + SHORTEST, n + 1, step)]
