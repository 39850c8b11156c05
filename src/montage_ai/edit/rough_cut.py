"""A rough cut: moments one after the other, as they are, with their own sound."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from montage_ai.edit.formats import film_rate, film_size
from montage_ai.edit.timeline import Item, Timeline, clip_source
from montage_ai.footage.search import Moment

_LONGEST = 8.0  # seconds of a moment
_PHOTO = 3.0


def rough_cut(moments: Sequence[Moment]) -> Timeline:
    """The ``moments`` (one at least) in their order, of each at most 8 seconds around what is best in it."""
    clips = [moment.clip for moment in moments]
    fps = film_rate(clips, None)
    width, height = film_size(clips, "source", "standard")
    items = tuple(_item(moment, fps) for moment in moments)
    return Timeline(
        fps=fps,
        width=width,
        height=height,
        items=items,
        transitions=(None,) * (len(items) - 1),
        sound="mix",
        style="rough cut",
    )


def _item(moment: Moment, fps: Fraction) -> Item:
    clip = moment.clip
    if clip.is_photo:
        return Item(clip=clip_source(clip), start=Fraction(0), frames=round(_PHOTO * fps))
    length = min(moment.end - moment.start, _LONGEST)
    wanted = min(max(moment.best - length / 2, moment.start), moment.end - length)
    start = clip.time_of(int(np.clip(np.searchsorted(clip.times, wanted - 1e-6), 0, len(clip.times) - 1)))
    left = min(Fraction(moment.end), clip.time_of(len(clip.ticks))) - start
    return Item(clip=clip_source(clip), start=start, frames=max(1, int(min(Fraction(length), left) * fps)))
