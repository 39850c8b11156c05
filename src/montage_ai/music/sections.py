"""The parts of a piece of music, and its energy over time.

Borders are where the sound of the seconds before and after differs most: Foote, "Automatic Audio Segmentation Using a
Measure of Audio Novelty" (ICME 2000). With a linear similarity his checkerboard kernel is the squared distance of the
two means, which running sums give in linear time and memory.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from montage_ai.music.beat_grid import Section, SectionLabel
from montage_ai.music.texture import Texture

Values = NDArray[np.float64]

_SIDE_SECONDS = 8.0
_SHORTEST_SECONDS = 6.0
_NOVEL = 0.5  # deviations by which the sound must change
_QUIETEST_DB, _RANGE_DB = 40.0, 12.0
_HIGH = 0.75
_RISE = 0.2


def energy_curve(texture: Texture) -> Values:
    """Energy from 0 to 1, shape (n,), at the texture's rate: loudness in dB between the piece's own soft and loud.

    Soft is at least 12 and at most 40 dB below loud, so that even music stays near the top and noise between the
    tracks stays at the bottom; silence is 0.
    """
    power = 10 ** (texture.loudness.astype(np.float64) / 10)
    level = 10 * np.log10(np.maximum(_running_mean(power, max(1, round(0.5 * texture.rate))), 1e-9))
    if level.max() <= -80:
        return np.zeros(level.size)
    loud = float(np.percentile(level, 95))
    soft = float(np.clip(np.percentile(level, 5), loud - _QUIETEST_DB, loud - _RANGE_DB))
    return np.clip((level - soft) / (loud - soft), 0.0, 1.0)


def find_sections(
    texture: Texture, energy: Values, duration: float, snap_to: NDArray[np.float64]
) -> tuple[Section, ...]:
    """The parts of the piece, without gap from 0 to ``duration`` seconds, their borders on the nearest ``snap_to``."""
    if duration <= 0:
        return ()
    borders = [_snapped(border, snap_to) for border in _borders(texture, duration)]
    inner = [b for b in borders if _SHORTEST_SECONDS / 2 < b < duration - _SHORTEST_SECONDS / 2]
    edges = [0.0, *sorted(set(inner)), duration]
    spans = [energy[_span(a, b, texture.rate, energy.size)] for a, b in pairwise(edges)]
    labels = _labels(spans)
    return tuple(
        Section(start=start, end=end, energy=float(span.mean()), label=label)
        for start, end, span, label in zip(edges[:-1], edges[1:], spans, labels, strict=True)
    )


def _borders(texture: Texture, duration: float) -> list[float]:
    """The times of clear changes of the sound, at least 6 s apart."""
    side = round(_SIDE_SECONDS * texture.rate)
    if duration < 2 * _SHORTEST_SECONDS:
        return []
    features = np.concatenate([texture.bands / 10, texture.loudness[:, None] / 5, texture.chroma], axis=1)
    novelty = _novelty(features, side)
    apart = round(_SHORTEST_SECONDS * texture.rate)
    is_peak = (novelty == maximum_filter1d(novelty, 2 * apart + 1)) & (novelty >= _NOVEL)
    return [float(frame) / texture.rate for frame in np.flatnonzero(is_peak) if apart <= frame <= novelty.size - apart]


def _novelty(features: NDArray[np.float32], side: int) -> Values:
    """At each frame, how far the means of ``side`` frames before and after lie apart, in deviations; shape (n,)."""
    count = len(features)
    sums = np.concatenate([np.zeros((1, features.shape[1])), np.cumsum(features, axis=0, dtype=np.float64)])
    squares = np.concatenate([[0.0], np.cumsum(np.sum(features.astype(np.float64) ** 2, axis=1))])
    at = np.arange(count)
    low, high = np.maximum(0, at - side), np.minimum(count, at + side)
    before, after = np.maximum(1, at - low), np.maximum(1, high - at)
    mean_before = (sums[at] - sums[low]) / before[:, None]
    mean_after = (sums[high] - sums[at]) / after[:, None]
    distance = np.sum((mean_after - mean_before) ** 2, axis=1)
    spread_before = (squares[at] - squares[low]) / before - np.sum(mean_before**2, axis=1)
    spread_after = (squares[high] - squares[at]) / after - np.sum(mean_after**2, axis=1)
    return np.asarray(np.sqrt(distance / (np.maximum(spread_before + spread_after, 0) / 2 + 1.0)))


def _labels(spans: list[Values]) -> list[SectionLabel]:
    """``high`` near the loudest part, ``build`` where energy rises into one; low ends are ``intro`` and ``outro``."""
    means = [float(span.mean()) for span in spans]
    labels: list[SectionLabel] = ["high" if mean > 0 and mean >= _HIGH * max(means) else "low" for mean in means]
    for i, span in enumerate(spans[:-1]):
        third = max(1, span.size // 3)
        rises = float(span[-third:].mean() - span[:third].mean()) >= _RISE
        if rises and labels[i + 1] == "high" and labels[i] == "low":
            labels[i] = "build"
    if len(labels) > 1 and labels[0] == "low":
        labels[0] = "intro"
    if len(labels) > 1 and labels[-1] == "low":
        labels[-1] = "outro"
    return labels


def _snapped(border: float, points: NDArray[np.float64], reach: float = 2.0) -> float:
    if not points.size:
        return border
    nearest = float(points[np.argmin(np.abs(points - border))])
    return nearest if abs(nearest - border) <= reach else border


def _span(start: float, end: float, rate: float, size: int) -> slice:
    first = min(size - 1, round(start * rate))
    return slice(first, max(first + 1, round(end * rate)))


def _running_mean(values: Values, size: int) -> Values:
    return np.asarray(np.convolve(values, np.ones(size) / size, mode="same") if values.size >= size else values)
