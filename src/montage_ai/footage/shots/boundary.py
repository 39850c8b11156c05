"""A clip's boundaries, and the shots that lie between them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Boundary(_Model):
    """Where two shots meet, in frame indices.

    Of a cut, ``start`` and ``end`` are both the first frame of the new shot. Of a dissolve or a fade, frames
    ``start`` to ``end`` (exclusive) are a mixture of two shots, or of a shot and one colour: neither is clean there.
    """

    kind: Literal["cut", "dissolve", "fade"]
    start: int
    end: int


class Shot(_Model):
    """The clean frames of a shot: ``first`` to ``end`` (exclusive)."""

    first: int
    end: int


def shots(boundaries: Sequence[Boundary], frames: int) -> tuple[Shot, ...]:
    """The shots of a clip of ``frames`` frames. The frames of a dissolve or a fade belong to none."""
    first = 0
    found: list[Shot] = []
    for boundary in sorted(boundaries, key=lambda b: b.start):
        found.append(Shot(first=first, end=min(boundary.start, frames)))
        first = max(first, boundary.end)
    found.append(Shot(first=first, end=frames))
    return tuple(shot for shot in found if shot.end > shot.first)


def with_cuts(boundaries: Sequence[Boundary], frames: Sequence[int]) -> tuple[Boundary, ...]:
    """``boundaries`` and a cut at each of ``frames``, where there is no boundary yet."""
    missing = [f for f in frames if not any(b.start <= f <= b.end for b in boundaries)]
    cuts = [Boundary(kind="cut", start=frame, end=frame) for frame in missing]
    return tuple(sorted([*boundaries, *cuts], key=lambda b: (b.start, b.end)))
