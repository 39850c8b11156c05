"""Which pictures of a clip a model looks at."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from montage_ai.footage.clip import Clip, frames_of
from montage_ai.footage.quality import judge

SAMPLER_VERSION = 1
"""Raise it when other pictures are taken: they are then embedded again."""


def sampled(clip: Clip, times: Sequence[float]) -> list[float]:
    """Those of the frame pack's ``times`` (seconds, ascending) that are neither black nor blurred nor repeat the last
    one; of a shot that has none of these the best to look at."""
    if not len(times):
        return []
    moments, new = judge(clip), clip.arrays["picture_new"] > 0
    frames = frames_of(clip, np.asarray(times))
    poor = moments.black | moments.blurred
    taken = list[float]()
    for shot in clip.facts.shots:
        inside = [index for index, frame in enumerate(frames) if shot.first <= frame < shot.end]
        good = [index for index in inside if not poor[frames[index]]]
        kept = [index for index in good if new[index] or index == good[0]]
        kept = kept or sorted(inside, key=lambda index: -moments.quality[frames[index]])[:1]
        taken += [times[index] for index in kept]
    return taken
