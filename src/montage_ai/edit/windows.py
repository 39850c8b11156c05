"""A stretch of a shot for a slot: begun on a frame of its clip, and exactly as long as it is shown."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from montage_ai.edit.free import TINY
from montage_ai.edit.pacing import Slot
from montage_ai.edit.timeline import half_after, half_before
from montage_ai.footage.clip import Clip


@dataclass(frozen=True)
class Need:
    """Seconds of footage that a slot takes: ``lead`` before its first frame and ``tail`` behind its last one, for its
    transitions, and ``body`` between."""

    lead: float
    body: float
    tail: float

    @property
    def seconds(self) -> float:
        return self.lead + self.body + self.tail


@dataclass(frozen=True)
class Pick:
    """What stands in a slot: a shot (by its number in the material), from frame ``frame`` of its clip on.

    [``low``, ``high``) is all that is shown of it, transitions included, in seconds.
    """

    slot: Slot
    shot: int
    frame: int
    start: float
    low: float
    high: float

    def shows(self, seconds: float) -> bool:
        """Whether the moment is on screen, outside of transitions or in them."""
        return self.low <= seconds + TINY and seconds < self.high - TINY


def need_of(slot: Slot, following: Slot | None, fps: Fraction) -> Need:
    """What a slot takes, with its halves of the transitions at both ends."""
    tail = half_after(following.transition) if following else 0
    return Need(float(half_before(slot.transition) / fps), float(slot.frames / fps), float(tail / fps))


def window(slot: Slot, need: Need, shot: int, clip: Clip, free: tuple[float, float], wanted: float) -> Pick | None:
    """The pick that begins (with its lead) at about ``wanted`` and lies in the stretch ``free`` of the shot.

    None where no frame of the clip begins so that it does.
    """
    low, high = free
    if clip.is_photo:
        return Pick(slot, shot, 0, 0.0, low, min(low + need.seconds, high))
    times = clip.times
    first = int(np.searchsorted(times, low + need.lead - TINY))
    last = int(np.searchsorted(times, high - need.body - need.tail + TINY, "right")) - 1
    if first > last:
        return None
    frame = int(np.clip(np.searchsorted(times, wanted + need.lead - TINY), first, last))
    start = float(times[frame])
    return Pick(slot, shot, frame, start, start - need.lead, start + need.body + need.tail)
