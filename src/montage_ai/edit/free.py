"""The stretches of footage that are still free, as exact times: what is taken from them cannot be shown again."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Times = NDArray[np.float64]

TINY = 1e-9
"""Seconds: differences below it come from rounding."""


@dataclass(frozen=True)
class Free:
    """Stretches [``low``, ``high``) in seconds of their clips, each inside the shot with number ``shot``.

    Arrays of shape (stretches,), in the order of the shots.
    """

    shot: NDArray[np.int64]
    low: Times
    high: Times

    @property
    def lengths(self) -> Times:
        """Seconds of each."""
        return np.asarray(self.high - self.low, np.float64)

    @property
    def longest(self) -> float:
        """Seconds of the longest; 0 where there is none."""
        return float(self.lengths.max(initial=0.0))

    def without(self, shot: int, low: float, high: float) -> Free:
        """What is left when a stretch of a shot is taken."""
        touched = (self.shot == shot) & (self.low < high - TINY) & (self.high > low + TINY)
        pieces = [
            (place, shot, a, b)
            for place in np.flatnonzero(touched)
            for a, b in ((self.low[place], low), (high, self.high[place]))
            if b - a > TINY
        ]
        keep, places = ~touched, [piece[0] for piece in pieces]
        order = np.argsort(np.concatenate([np.flatnonzero(keep), places]), kind="stable")
        columns = [
            np.concatenate([column[keep], np.array([piece[n] for piece in pieces], column.dtype)])[order]
            for n, column in enumerate((self.shot, self.low, self.high), 1)
        ]
        return Free(columns[0], columns[1], columns[2])

    def without_shot(self, shot: int) -> Free:
        """What is left without a whole shot."""
        keep = self.shot != shot
        return Free(self.shot[keep], self.low[keep], self.high[keep])
