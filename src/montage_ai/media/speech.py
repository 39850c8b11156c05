"""Where sound is like speech: what music makes room for, and what can be searched for."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from montage_ai.media.audio import Samples

WINDOW = 0.1
"""Seconds between two values of ``speech_likeness``."""

SPEECH = 0.55
"""From this likeness on it is taken for speech: speech stays above 0.6, a street's traffic below 0.5."""

_RATE = 8000
_FRAME = 320  # 40 ms
_QUIET = 0.004  # RMS, about -48 dBFS


def speech_likeness(sound: Samples, sample_rate: int) -> NDArray[np.float64]:
    """How much each tenth of a second of ``sound`` (shape (n, 2)) is like speech, 0 to 1.

    Speech is voiced (its autocorrelation peaks at a pitch of 75 to 400 Hz) and comes in syllables (its loudness rises
    and falls within a second). Wind, traffic and applause have no pitch; hums have no syllables.
    """
    from scipy.ndimage import maximum_filter1d, uniform_filter1d  # a while: only where clips are heard

    mono = _at_rate(sound.mean(axis=1, dtype=np.float64), sample_rate)
    count = len(mono) // _FRAME
    if count < 5:
        return np.zeros(max(1, round(len(sound) / sample_rate / WINDOW)))
    frames = mono[: count * _FRAME].reshape(count, _FRAME)
    loudness = np.sqrt((frames**2).mean(axis=1))
    voiced = (_pitch_strength(frames) > 0.45) & (loudness > _QUIET)
    second = max(1, round(_RATE / _FRAME))
    share = uniform_filter1d(voiced.astype(np.float64), second, mode="nearest")
    level = 20 * np.log10(loudness + 1e-5)
    swing = np.sqrt(np.maximum(uniform_filter1d(level**2, second) - uniform_filter1d(level, second) ** 2, 0))
    likeness = np.clip((share - 0.12) / 0.25, 0, 1) * np.clip((swing - 2.5) / 3.0, 0, 1)
    likeness = maximum_filter1d(likeness, round(0.4 * _RATE / _FRAME))
    times = (np.arange(round(len(sound) / sample_rate / WINDOW)) + 0.5) * WINDOW
    return np.asarray(np.interp(times, (np.arange(count) + 0.5) * _FRAME / _RATE, likeness))


def _at_rate(mono: NDArray[np.float64], sample_rate: int) -> NDArray[np.float64]:
    if sample_rate == _RATE:
        return mono
    from scipy.signal import resample_poly  # half a second

    return np.asarray(resample_poly(mono, 1, sample_rate // _RATE))


def _pitch_strength(frames: NDArray[np.float64]) -> NDArray[np.float64]:
    """The highest normalised autocorrelation at lags of 75 to 400 Hz, for each frame."""
    size = frames.shape[1]
    centred = (frames - frames.mean(axis=1, keepdims=True)) * np.hanning(size)
    power = np.abs(np.fft.rfft(centred, 2 * size, axis=1)) ** 2
    correlation = np.fft.irfft(power, axis=1)[:, :size]
    window = np.fft.irfft(np.abs(np.fft.rfft(np.hanning(size), 2 * size)) ** 2)[:size]
    low, high = _RATE // 400, _RATE // 75
    normal = correlation[:, low:high] / np.maximum(correlation[:, :1], 1e-12) * window[0] / window[low:high]
    return np.asarray(normal.max(axis=1))
