"""An answer to a query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from montage_ai.footage.clip import Clip


@dataclass(frozen=True)
class Moment:
    """A stretch of a shot: seconds from the clip's first frame, 0 and 0 for a photo.

    ``best`` is the second that answers best; ``score`` is 0 to 1; ``why`` says how much each thing that was asked for
    is there, 0 to 1. ``named`` is the share of the words that stand in names, ``said`` what is said of it or in it that
    holds some of them.
    """

    clip: Clip
    start: float
    end: float
    best: float
    score: float
    why: Mapping[str, float]
    named: float = 0.0
    said: str = ""
