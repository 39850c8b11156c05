"""The film's frame: its rate and its size, from what was asked and what the footage is."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from fractions import Fraction

import numpy as np

from montage_ai.edit.choices import Aspect, Quality
from montage_ai.footage.clip import Clip

STANDARD_RATES = tuple(
    Fraction(*pair) for pair in ((24000, 1001), (24,), (25,), (30000, 1001), (30,), (48,), (50,), (60000, 1001), (60,))
)

_SLOWEST = 23
_SIDES = (360, 480, 540, 720, 1080, 1440, 2160)
_LARGEST = {"preview": 360, "standard": 1080, "high": 1080, "master": 2160}
_SHAPES = {"16:9": Fraction(16, 9), "9:16": Fraction(9, 16), "1:1": Fraction(1), "4:5": Fraction(4, 5)}


def film_rate(clips: Sequence[Clip], asked: Fraction | None) -> Fraction:
    """The asked rate, snapped to 24000/1001 and its like where it means those; else the one nearest to most footage.

    Phones vary their rate, and slow motion is shot at several hundred: films have one of the standard rates. Clips
    slower than any film, like a surveillance camera's, do not count.
    """
    if asked is not None:
        near = _nearest_standard(asked)
        return near if abs(near - asked) / near < Fraction(5, 10_000) else asked.limit_denominator(1001)
    votes: dict[int, Counter[Fraction]] = defaultdict(Counter)  # by the rate's whole number: 29.97 and 30 go together
    for clip in clips:
        if not clip.is_photo and clip.info.picture.fps >= _SLOWEST:
            rate = _nearest_standard(clip.info.picture.fps)
            votes[round(rate)][rate] += clip.facts.duration  # type: ignore[assignment]
    if not votes:
        return Fraction(30) if all(clip.is_photo for clip in clips) else Fraction(25)
    family = max(votes.values(), key=lambda rates: (sum(rates.values()), max(rates)))
    return max(family, key=lambda rate: (family[rate], rate))


def film_size(clips: Sequence[Clip], aspect: Aspect, quality: Quality) -> tuple[int, int]:
    """Width and height: the asked shape at about the footage's own resolution, never enlarged without need."""
    shape = _SHAPES.get(aspect) or _common_shape(clips)
    shorter = [min(clip.info.picture.width, clip.info.picture.height) for clip in clips]
    typical = float(np.median(shorter))
    side = max((s for s in _SIDES if s <= typical * 1.02), default=_SIDES[0])
    side = min(max(side, 480), _LARGEST[quality])
    width, height = (side * shape, Fraction(side)) if shape >= 1 else (Fraction(side), side / shape)
    return _even(width), _even(height)


def parse_rate(text: str) -> Fraction:
    """``29.97``, ``30`` or ``30000/1001`` as a rate. Raises ``ValueError``."""
    top, _, bottom = text.partition("/")
    return Fraction(top) / Fraction(bottom or 1)


def _nearest_standard(rate: Fraction) -> Fraction:
    return min(STANDARD_RATES, key=lambda standard: abs(standard - rate))


def _common_shape(clips: Sequence[Clip]) -> Fraction:
    weights: Counter[Fraction] = Counter()
    for clip in clips:
        shape = Fraction(clip.info.picture.width, clip.info.picture.height).limit_denominator(40)
        weights[shape] += 1 + int(clip.facts.duration)
    return max(weights, key=lambda shape: (weights[shape], shape))


def _even(length: Fraction) -> int:
    return 2 * round(length / 2)
