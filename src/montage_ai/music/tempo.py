"""How fast the music is: periods found by autocorrelation, and the one of them that a listener would tap.

Periodic music repeats at many periods. The right one is chosen by what its beats hold, not by a preferred tempo
alone: a plain click track is tapped on its clicks, at 60 as at 180 BPM. For every candidate the beats are tracked, and
the onsets on them and between them are compared. The terms of ``_worth`` are rules of thumb on metrical structure
(Lerdahl and Jackendoff, "A Generative Theory of Tonal Music", 1983: regular, accented, divided); their weights were
fitted on synthesised songs of the benchmark's tuning bank.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from montage_ai.music.beat_path import best_path
from montage_ai.music.onsets import FloatArray, OnsetEnvelope, sharpened

SLOWEST_BPM, FASTEST_BPM = 40.0, 250.0

_WINDOW_SECONDS, _WINDOW_STEP_SECONDS = 12.0, 3.0
_LONGEST_LAG_SECONDS = 6.0
_PEAKS = 6
_JUDGED_SECONDS = 60.0
_LEVELS = (1.0, 2.0, 0.5, 3.0, 1 / 3)
_SAME_TEMPO = 0.04  # octaves are far away, and a drifting tempo blurs a peak this much
_NEAR = 5  # frames: an onset this close belongs to the beat
_USUAL_BPM, _FAST_BPM = 128.0, 150.0
_PHASES = (0.0, 1 / 2, 1 / 3, 2 / 3, 1 / 4, 3 / 4, 5 / 6)

_STEP = 0.005  # of the local tempo, in natural logarithms
_STEPS = 40  # the tempo may drift by a fifth to both sides of the global one, not to another metrical level
_CHANGE_COST = 0.01


@dataclass(frozen=True)
class Tempogram:
    """Autocorrelation of the onset envelope around each time: ``lags`` has shape (windows, lags) and is 1 at lag 0.

    The first window is centred on frame ``first``, and each next one ``step`` frames on.
    """

    lags: NDArray[np.float64]
    step: int
    first: int

    @property
    def mean(self) -> NDArray[np.float64]:
        """The autocorrelation of the whole piece, shape (lags,)."""
        return np.asarray(self.lags.mean(axis=0))


def tempogram(pulse: FloatArray, rate: float) -> Tempogram:
    """Autocorrelation in windows of 12 s, so that a tempo that drifts keeps its peaks; shorter music is one window."""
    size = min(pulse.size, round(_WINDOW_SECONDS * rate))
    step = round(_WINDOW_STEP_SECONDS * rate)
    count = max(1, min(size - 1, round(_LONGEST_LAG_SECONDS * rate)))
    rows = [_autocorrelation(pulse[i : i + size], count) for i in range(0, max(1, pulse.size - size + 1), step)]
    return Tempogram(np.array(rows), step, size // 2)


def likely_period(envelope: OnsetEnvelope, pulse: FloatArray, gram: Tempogram) -> float | None:
    """The frames from beat to beat, at the metrical level that fits the onsets best; None where nothing repeats."""
    periods = candidate_periods(gram.mean, envelope.rate)
    part = _liveliest(envelope, round(_JUDGED_SECONDS * envelope.rate))
    sounds, judged = _sounds(envelope.regions[part]), pulse[part]
    found = (_level(sounds, judged, envelope.rate, period) for period in periods)
    levels = [level for level in found if level is not None]
    if not levels:
        return None
    strongest = max(level.on_beat for level in levels)
    return max(levels, key=lambda level: _worth(level, strongest)).period


def candidate_periods(autocorrelation: NDArray[np.float64], rate: float) -> list[float]:
    """The periods, in frames, of the highest peaks and of their halves, doubles and thirds, each once."""
    shortest, longest = 60 / FASTEST_BPM * rate, 60 / SLOWEST_BPM * rate
    inner = autocorrelation[1:-1]
    is_peak = (inner >= autocorrelation[:-2]) & (inner > autocorrelation[2:])
    peaks = np.flatnonzero(is_peak) + 1
    peaks = peaks[(peaks >= shortest) & (peaks <= longest) & (autocorrelation[peaks] > 0)]
    peaks = peaks[np.argsort(-autocorrelation[peaks])][:_PEAKS]
    found: list[float] = []
    for peak in sharpened(autocorrelation.astype(np.float32), peaks):
        for period in (float(peak) * level for level in _LEVELS):
            fresh = all(abs(np.log(period / other)) > _SAME_TEMPO for other in found)
            if fresh and shortest <= period <= longest:
                found.append(period)
    return found


def local_periods(gram: Tempogram, period: float, frames: int) -> NDArray[np.float64]:
    """The period around each frame, shape (frames,): the smoothest way along the peaks near ``period`` (Viterbi)."""
    factors = np.exp(_STEP * np.arange(-_STEPS, _STEPS + 1))
    support = np.array([_comb(row, period * factors) for row in gram.lags])
    path = _smoothest(support, _CHANGE_COST)
    centres = gram.first + gram.step * np.arange(len(path))
    return np.asarray(np.interp(np.arange(frames), centres, period * factors[path]))


def clarity(gram: Tempogram, periods: NDArray[np.float64]) -> float:
    """How far the onsets repeat after one to four ``periods`` (frames, one a window): 1 a metronome, near 0 noise."""
    return float(np.mean([_repetition(row, period) for row, period in zip(gram.lags, periods, strict=True)]))


def _repetition(autocorrelation: NDArray[np.float64], period: float) -> float:
    lags = [round(k * period) for k in range(1, 5) if k * period < autocorrelation.size - 3]
    near = [autocorrelation[max(1, lag - 2 - k) : lag + 3 + k].max() for k, lag in enumerate(lags)]
    return float(np.mean(near)) if near else 0.0


def _autocorrelation(pulse: FloatArray, count: int) -> NDArray[np.float64]:
    centred = (pulse - pulse.mean()).astype(np.float64)
    length = scipy.fft.next_fast_len(2 * centred.size)
    power = np.abs(scipy.fft.rfft(centred, length)) ** 2
    lags = scipy.fft.irfft(power, length)[:count] * centred.size / (centred.size - np.arange(count))
    return np.asarray(lags / lags[0] if lags[0] > 0 else lags)


@dataclass(frozen=True)
class _Level:
    """The beats at one candidate period: mean onset strengths, those between beats relative to those on them."""

    period: float
    bpm: float
    on_beat: float
    filled: float
    """The share of beats with an onset."""
    balance: float
    """The weaker of odd and even beats by the stronger."""
    alternation: float
    """How different odd and even beats sound, 0 to 1."""
    half_contrast: float
    """How different beats and the middles between them sound, 0 to 1."""
    half: float
    thirds: tuple[float, float]
    quarters: tuple[float, float]
    sixth: float
    """Just before the next beat, where a swung eighth of a beat half as long lies."""


def _liveliest(envelope: OnsetEnvelope, size: int) -> slice:
    """The ``size`` frames with most onsets: enough to judge metrical levels by, whatever the length of the music."""
    if envelope.strength.size <= size:
        return slice(None)
    sums = np.concatenate([[0.0], np.cumsum(envelope.strength, dtype=np.float64)])
    start = int(np.argmax(sums[size:] - sums[:-size]))
    return slice(start, start + size)


def _level(sounds: FloatArray, pulse: FloatArray, rate: float, period: float) -> _Level | None:
    beats = best_path(pulse, period).astype(np.float64)
    if beats.size < 4:
        return None
    frames = {phase: np.rint(beats[:-1] + phase * np.diff(beats)).astype(np.intp) for phase in _PHASES}
    near = maximum_filter1d(pulse, _NEAR)
    on = near[frames[0.0]]
    strength = max(float(on.mean()), 1e-9)
    even, odd = float(on[::2].mean()), float(on[1::2].mean())
    between = {phase: float(near[frames[phase]].mean()) / strength for phase in _PHASES}
    on_sound, half_sound = sounds[frames[0.0]], sounds[frames[1 / 2]]
    return _Level(
        period=period,
        bpm=60 * rate / float(np.median(np.diff(beats))),
        on_beat=strength,
        filled=float((on > 0.4).mean()),
        balance=min(even, odd) / max(even, odd, 1e-9),
        alternation=_contrast(on_sound[::2].mean(axis=0), on_sound[1::2].mean(axis=0)),
        half_contrast=_contrast(on_sound.mean(axis=0), half_sound.mean(axis=0)),
        half=between[1 / 2],
        thirds=(between[1 / 3], between[2 / 3]),
        quarters=(between[1 / 4], between[3 / 4]),
        sixth=between[5 / 6],
    )


def _worth(level: _Level, strongest: float) -> float:
    """How well a listener's tapping fits ``level``: the larger the better; ``strongest`` of all levels' ``on_beat``."""
    quarter = sum(level.quarters) / 2
    finest = max(level.half, quarter, *level.thirds)
    repeated = max(0.0, 1 - level.half_contrast / 0.1) * min(1.0, level.half)
    undivided = max(0.0, 1 - finest / 0.25) * min(1.0, level.alternation / 0.15)
    divided_by_three = max(0.0, sum(level.thirds) / 2 - level.half - 0.2)
    swung_below = min(1.0, min(level.half, max(level.thirds[0], level.sixth)) / 0.2) if quarter < 0.1 else 0.0
    return float(
        -(np.log2(level.bpm / _USUAL_BPM) ** 2)
        - 2.2 * max(0.0, np.log2(level.bpm / _FAST_BPM))
        + 0.7 * np.log(level.on_beat / strongest)
        + 2.4 * level.filled
        - 0.3 * max(0.0, 1 - level.balance / 0.3)  # every other beat is empty: this is twice the tempo
        - 1.2 * repeated  # the middles sound like the beats: they are beats
        - 0.36 * undivided  # beats take turns with nothing between them: these are divisions of beats
        - 0.45 * divided_by_three  # strong thirds and no middle: a third of the tempo, or half of three times it
        - 1.5 * swung_below  # swing divides the beat, not its half
    )


def _sounds(regions: FloatArray) -> FloatArray:
    """The onset strength around each frame by region of the spectrum, shape (n, 4), the regions of like weight."""
    level = np.sqrt(np.mean(np.square(regions), axis=0))
    return np.asarray(maximum_filter1d(regions, _NEAR, axis=0) / np.maximum(level, 0.2 * level.max() + 1e-9))


def _contrast(a: NDArray[Any], b: NDArray[Any]) -> float:
    return float(np.abs(a - b).sum() / (np.sum(a + b) + 1e-9))


def _comb(autocorrelation: NDArray[np.float64], periods: NDArray[np.float64]) -> NDArray[np.float64]:
    """The mean autocorrelation at one to four times each of ``periods``."""
    lags = np.arange(autocorrelation.size)
    teeth = [np.interp(k * periods, lags, autocorrelation, right=0.0) for k in range(1, 5)]
    return np.asarray(np.mean(teeth, axis=0))


def _smoothest(support: NDArray[np.float64], change_cost: float) -> NDArray[np.intp]:
    """The row-wise path, shape (rows,), of most support less ``change_cost`` for every column moved."""
    columns = np.arange(support.shape[1])
    cost = change_cost * np.abs(columns[:, None] - columns)
    best, came_from = support[0], []
    for row in support[1:]:
        arriving = best[:, None] - cost
        came_from.append(np.argmax(arriving, axis=0))
        best = row + np.max(arriving, axis=0)
    path = [int(np.argmax(best))]
    for origin in reversed(came_from):
        path.append(int(origin[path[-1]]))
    return np.array(path[::-1], dtype=np.intp)
