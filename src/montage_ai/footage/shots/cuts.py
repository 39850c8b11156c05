"""Hard cuts: a frame unlike the one before it, between stretches that hold together."""

from __future__ import annotations

from collections import deque

import cv2

from montage_ai.footage.shots.view import Small, same_view

FLOOR = 4.0
"""Grey levels that a picture has to change by on average (luma, plus both chromas)."""
RATIO = 1.5
"""How many times more it has to change than in any of the ``NEAR`` steps before and after."""
NEAR = 2
REACH = 6
"""Frames that a flash may last."""
RETURN = 0.4
"""A flash ends with a change of at least this share of the one it began with."""


class CutFinder:
    """Finds hard cuts, frame exact, ``REACH`` frames after they passed.

    The change from frame to frame is compared with its neighbours, a local threshold as in B.-L. Yeo, B. Liu, "Rapid
    scene analysis on compressed video", IEEE Trans. CSVT 5(6), 1995. The few changes that stand out are looked at:
    a jerk, a zoom step or a switched light shows the same view before and after; after a flash the view comes back;
    in whirling motion no two frames match, on neither side.
    """

    def __init__(self) -> None:
        self.cuts: list[int] = []
        self._frames: deque[Small] = deque(maxlen=2 * REACH + 2)
        self._changes: deque[float] = deque(maxlen=2 * REACH + 2)
        self._unjudged = 0

    def push(self, frame: Small) -> None:
        self._changes.append(_change(self._frames[-1], frame) if self._frames else 0.0)
        self._frames.append(frame)
        self._unjudged += 1
        if self._unjudged > REACH:
            self._judge()

    def finish(self) -> list[int]:
        """The first frames of new shots."""
        while self._unjudged:
            self._judge()
        return self.cuts

    def _judge(self) -> None:
        at = len(self._frames) - self._unjudged
        self._unjudged -= 1
        if at and self._stands_out(at) and self._is_cut(at):
            self.cuts.append(self._frames[at].index)

    def _stands_out(self, at: int) -> bool:
        changes = list(self._changes)
        around = changes[max(0, at - NEAR) : at] + changes[at + 1 : at + 1 + NEAR]
        return changes[at] >= max(FLOOR, RATIO * max(around, default=0.0))

    def _is_cut(self, at: int) -> bool:
        return not self._same(at - 1, at) and self._holds_together(at) and not self._flash(at)

    def _holds_together(self, at: int) -> bool:
        """Whether the view is steady just before ``at`` or just after it (where there are frames to say so)."""
        sides = [(a, b) for a, b in ((at - 2, at - 1), (at, at + 1)) if a >= 0 and b < len(self._frames)]
        return not sides or any(self._same(a, b) for a, b in sides)

    def _flash(self, at: int) -> bool:
        """Whether the view of before ``at`` comes back soon after, or that of after was there soon before."""
        changes = list(self._changes)
        least = RETURN * changes[at]
        after = [k for k in range(at + 1, min(at + 1 + REACH, len(changes))) if changes[k] >= least]
        before = [k for k in range(max(1, at - REACH), at) if changes[k] >= least]
        return any(self._same(at - 1, k) for k in after) or any(self._same(k - 1, at) for k in before)

    def _same(self, a: int, b: int) -> bool:
        return same_view(self._frames[a], self._frames[b])


def _change(a: Small, b: Small) -> float:
    """Mean absolute difference in grey levels: of the luma, plus those of both chromas."""
    planes = ((a.y, b.y), (a.u, b.u), (a.v, b.v))
    return sum(cv2.norm(p, q, cv2.NORM_L1) / p.size for p, q in planes)
