"""The sequence of beats that an onset envelope supports best, and its exact times.

The search is Ellis, "Beat Tracking by Dynamic Programming" (Journal of New Music Research 36, 2007), with a period that
may vary along the piece.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from montage_ai.music.onsets import FloatArray, sharpened

Frames = NDArray[np.float64]

_REACH = 1.42  # shortest and longest interval, as a factor of the period; Ellis has 2, and never gets there
_TIGHTNESS = 100.0  # Ellis's value, for an envelope of unit RMS


def best_path(
    pulse: FloatArray, period: float | NDArray[np.float64], tightness: float = _TIGHTNESS
) -> NDArray[np.intp]:
    """The frames of the beats that maximise onset strength less unevenness.

    Args:
        pulse: onset strength of shape (n,), unit RMS.
        period: frames a beat, one for all frames or of shape (n,).
        tightness: the weight of an even pulse against strong onsets.

    Returns:
        Increasing frame numbers, shape (m,).
    """
    periods = np.broadcast_to(np.asarray(period, dtype=np.float64), pulse.shape)
    if not pulse.size:
        return np.zeros(0, np.intp)
    score, previous = _forward(pulse, periods, tightness)
    last = round(periods[-1])
    frame = max(0, pulse.size - last) + int(np.argmax(score[-last:]))
    path = []
    while frame >= 0:
        path.append(frame)
        frame = int(previous[frame])
    return np.array(path[::-1], dtype=np.intp)


def _forward(
    pulse: FloatArray, periods: NDArray[np.float64], tightness: float
) -> tuple[NDArray[np.float64], NDArray[np.intp]]:
    """For each frame, the score of the best path that ends there, and the beat before it.

    No beat follows another within 0.7 of a period, so that many frames can be scored at once.
    """
    n, margin = pulse.size, round(_REACH * float(periods.max())) + 1
    score = np.zeros(margin + n)  # zeros in front: a path may start anywhere
    previous = np.full(n, -1, np.intp)
    start = 0
    while start < n:
        period = periods[start]
        lags = np.arange(max(1, round(period / _REACH)), round(_REACH * period) + 1)
        frames = np.arange(start, min(n, start + int(lags[0])))
        arriving = score[margin + frames[:, None] - lags] - tightness * np.log(lags / period) ** 2
        best = np.argmax(arriving, axis=1)
        score[margin + frames] = pulse[frames] + arriving[np.arange(frames.size), best]
        previous[frames] = frames - lags[best]
        start = int(frames[-1]) + 1
    return score, previous


def exact_frames(strength: FloatArray, path: NDArray[np.intp], reach: int = 3) -> tuple[Frames, Frames]:
    """The onset peak nearest to each beat, to a fraction of a frame, and how strong it is: two arrays of shape (m,).

    A beat without a peak within ``reach`` frames keeps its place with strength 0.
    """
    window = np.clip(path[:, None] + np.arange(-reach, reach + 1), 0, len(strength) - 1)
    top = window[np.arange(len(path)), np.argmax(strength[window], axis=1)]
    inside = (np.abs(top - path) < reach) & (strength[top] > 0)
    frames = np.where(inside, sharpened(strength, top), path.astype(np.float64))
    return frames, np.where(inside, strength[top], 0.0)


def steady_grid(times: Frames, weights: Frames, tolerance: float) -> tuple[float, float] | None:
    """The period and phase of an even grid through the beats, if they lie on one.

    A weighted line through beat numbers and times, fitted again without those off it. It counts in half beats, so that
    a path that changed between beats and off-beats still lies on the line; which of the two the phase is, is left open.
    Even means: four in five of the weight lies within ``tolerance``, in both halves of the piece.
    """
    if times.size < 4 or not weights.any():
        return None
    half = float(np.median(np.diff(times))) / 2
    number = np.concatenate([[0.0], np.cumsum(np.maximum(1.0, np.rint(np.diff(times) / half)))])
    near = np.ones(times.size, bool)
    line = np.array([half, times[0]])
    for _ in range(4):
        if np.count_nonzero(weights[near]) < 4:
            return None
        line = np.polyfit(number[near], times[near], 1, w=np.sqrt(weights[near]))
        near = np.abs(times - np.polyval(line, number)) < tolerance
    parts = (slice(None, times.size // 2), slice(times.size // 2, None))
    steady = all(weights[part][near[part]].sum() >= 0.8 * weights[part].sum() for part in parts)
    return (2 * float(line[0]), float(line[1])) if steady else None


def accented(pulse: FloatArray, beats: Frames) -> Frames:
    """``beats``, or the middles between them where those are the accented ones; fractional frames, shape (m,).

    Stress falls on beats: an off-beat hi-hat or bass may sound on every off-beat, the loudest events come on the beat.
    """
    if beats.size < 4:
        return beats
    halves = np.diff(beats) / 2
    middles = np.concatenate([[beats[0] - halves[0]], beats[:-1] + halves, [beats[-1] + halves[-1]]])
    return middles if _stress(pulse, middles) > 1.03 * _stress(pulse, beats) else beats


def _stress(pulse: FloatArray, beats: Frames) -> float:
    near = maximum_filter1d(pulse, 5)
    inside = beats[(beats >= 0) & (beats <= len(pulse) - 1)]
    on = near[np.rint(inside).astype(np.intp)]
    if on.size < 2:
        return 0.0
    return float(on.mean() + max(on[::2].mean(), on[1::2].mean()))


def smoothed(times: Frames, weights: Frames, spread: float = 2.0) -> Frames:
    """The beats of a varying tempo, their jitter removed: weighted local lines over about ``spread`` beats a side."""
    number = np.arange(times.size, dtype=np.float64)
    result = times.copy()
    floor = 0.05 * (weights.mean() + 1e-9)
    for i in range(times.size):
        near = slice(max(0, i - 6), i + 7)
        x = number[near] - i
        w = (weights[near] + floor) * np.exp(-0.5 * (x / spread) ** 2)
        centre, middle = np.average(x, weights=w), np.average(times[near], weights=w)
        slope = np.sum(w * (x - centre) * (times[near] - middle)) / max(np.sum(w * (x - centre) ** 2), 1e-12)
        result[i] = middle - slope * centre
    return np.maximum.accumulate(result)
