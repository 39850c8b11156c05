"""The shot detector: a consumer of the decode pass that puts cuts, dissolves and fades together."""

from __future__ import annotations

from itertools import pairwise

from montage_ai.footage.shots.boundary import Boundary
from montage_ai.footage.shots.cuts import CutFinder
from montage_ai.footage.shots.gradual import GradualFinder
from montage_ai.footage.shots.ramp import Ramp
from montage_ai.footage.shots.view import Small
from montage_ai.media.decode import Frame

REACH = 1.0
"""How far a fade's ramp may seem to end from the frames of one colour, in lengths of the ramp."""


class ShotDetector:
    """Finds the boundaries of a clip's shots while it is decoded, in memory that does not grow with its pictures."""

    def __init__(self) -> None:
        self._cuts = CutFinder()
        self._gradual = GradualFinder()

    def push(self, frame: Frame) -> None:
        small = Small.of(frame)
        self._cuts.push(small)
        self._gradual.push(small)

    def finish(self) -> tuple[Boundary, ...]:
        """All boundaries, in order. Call it once, after the last frame."""
        cuts = self._cuts.finish()
        ramps = [r for r in self._gradual.finish() if not any(r.start + 2 < cut < r.end - 2 for cut in cuts)]
        stretches = [piece for stretch in self._gradual.flat for piece in _split(stretch, cuts)]
        found = _merged([_boundary(ramp, stretches, cuts) for ramp in ramps])
        hard = [cut for cut in cuts if not any(b.start < cut < b.end for b in found)]
        found += [Boundary(kind="cut", start=cut, end=cut) for cut in hard]
        return tuple(sorted(found, key=lambda b: (b.start, b.end)))


def _boundary(ramp: Ramp, stretches: list[tuple[int, int]], cuts: list[int]) -> Boundary:
    """``ramp`` as a dissolve, or, where it leads to or from a stretch of one colour, as a fade through all of it."""
    touched = [s for s in stretches if _touches(ramp, s, cuts)]
    if not touched:
        return Boundary(kind="dissolve", start=ramp.start, end=ramp.end)
    start, end = min(s[0] for s in touched), max(s[1] for s in touched)
    return Boundary(kind="fade", start=min(ramp.start, start), end=max(ramp.end, end))


def _touches(ramp: Ramp, stretch: tuple[int, int], cuts: list[int]) -> bool:
    """Whether ``stretch`` is close to ``ramp``, and no cut between them."""
    slack = max(2, round(REACH * (ramp.end - ramp.start)))
    low, high = min(ramp.end, stretch[1]), max(ramp.start, stretch[0])
    return high - low <= slack and not any(low <= cut <= high for cut in cuts)


def _merged(boundaries: list[Boundary]) -> list[Boundary]:
    """Those that overlap as one: the two halves of a fade through black are one boundary."""
    found: list[Boundary] = []
    for boundary in sorted(boundaries, key=lambda b: b.start):
        if found and boundary.start < found[-1].end:
            last = found.pop()
            kind = "fade" if "fade" in (last.kind, boundary.kind) else "dissolve"
            boundary = Boundary(kind=kind, start=last.start, end=max(last.end, boundary.end))
        found.append(boundary)
    return found


def _split(stretch: tuple[int, int], cuts: list[int]) -> list[tuple[int, int]]:
    """The pieces of ``stretch`` between ``cuts``."""
    edges = [stretch[0], *(cut for cut in cuts if stretch[0] < cut < stretch[1]), stretch[1]]
    return list(pairwise(edges))
