"""From samples to beats: what a beat tracker is, our own, and librosa's."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter1d

from montage_ai.errors import MissingExtraError
from montage_ai.music.beat_path import accented, best_path, exact_frames, smoothed, steady_grid
from montage_ai.music.onsets import FloatArray, OnsetEnvelope, onset_envelope, pulse_train
from montage_ai.music.tempo import Tempogram, clarity, likely_period, local_periods, tempogram

Times = NDArray[np.float64]

_STEADY_SECONDS = 0.02
_EARLY_SECONDS = 0.05  # a beat may be found this long before the first sound
_ROUNDING_SECONDS = 0.015  # a beat may be found this long before the first sample
_SHORTEST_SECONDS = 2.0
_FEWEST_BEATS = 5  # a bar of four, and the next beat that ends it
_KNOWN_TEMPO_TIGHTNESS = 400.0


@dataclass(frozen=True)
class Beats:
    """Beat ``times`` in seconds, shape (n,); ``tempo`` in BPM; ``confidence`` from 0 (no pulse) to 1 (a metronome)."""

    times: Times
    tempo: float | None
    confidence: float


NO_BEATS = Beats(np.zeros(0), None, 0.0)


class BeatTracker(Protocol):
    """Whatever finds beats."""

    def track(self, samples: FloatArray, sample_rate: int) -> Beats:
        """The beats of mono ``samples`` of shape (n,)."""


class EllisTracker:
    """Beats by dynamic programming (Ellis 2007) at the tempo that the onsets support, then fitted to the onsets.

    A steady tempo becomes an exact grid over all that is audible; one that drifts is followed.
    """

    def track(self, samples: FloatArray, sample_rate: int) -> Beats:
        """The beats of mono ``samples`` of shape (n,)."""
        return self.track_envelope(onset_envelope(samples, sample_rate))

    def track_envelope(self, envelope: OnsetEnvelope) -> Beats:
        """The beats of the piece whose onsets are ``envelope``."""
        pulse = pulse_train(envelope)
        start, end = envelope.audible
        if end - start < _SHORTEST_SECONDS or not pulse.any():
            return NO_BEATS
        gram = tempogram(pulse, envelope.rate)
        period = likely_period(envelope, pulse, gram)
        if period is None:
            return NO_BEATS
        path = best_path(pulse, local_periods(gram, period, pulse.size), _KNOWN_TEMPO_TIGHTNESS)
        times = _fitted(envelope, pulse, path)
        if times.size < _FEWEST_BEATS:
            return NO_BEATS
        return Beats(times, 60 / float(np.median(np.diff(times))), confidence(envelope, pulse, gram, times))


class LibrosaTracker:
    """``librosa.beat.beat_track``, for comparison or by preference. Needs the ``librosa`` extra."""

    def track(self, samples: FloatArray, sample_rate: int) -> Beats:
        """The beats of mono ``samples`` of shape (n,). Raises ``MissingExtraError`` where librosa is not installed."""
        try:
            import librosa
        except ImportError as error:
            hint = 'Install it with: pip install "montage-ai[librosa]"'
            raise MissingExtraError("The librosa beat tracker needs librosa.", hint=hint) from error
        _, found = librosa.beat.beat_track(y=samples, sr=sample_rate, units="time")
        times = np.asarray(found, dtype=np.float64)
        if times.size < _FEWEST_BEATS:
            return NO_BEATS
        envelope = onset_envelope(samples, sample_rate)
        pulse = pulse_train(envelope)
        sure = confidence(envelope, pulse, tempogram(pulse, envelope.rate), times)
        return Beats(times, 60 / float(np.median(np.diff(times))), sure)


def confidence(envelope: OnsetEnvelope, pulse: FloatArray, gram: Tempogram, times: Times) -> float:
    """How sure it is, 0 to 1, that there is a pulse and that ``times`` are its beats."""
    centres = (gram.first + gram.step * np.arange(len(gram.lags))) / envelope.rate
    intervals = np.diff(times)
    around = np.clip(np.searchsorted(times, centres), 0, intervals.size - 1)
    periods = np.array([np.median(intervals[max(0, i - 4) : i + 5]) for i in around]) * envelope.rate
    return clarity(gram, periods) * _salience(envelope, times)


def _salience(envelope: OnsetEnvelope, times: Times) -> float:
    """Whether notes lie on the beats at all: a tremolo repeats too. Log-magnitudes of 0.05 are noise, 0.35 notes."""
    frames = np.rint(envelope.frames(times)).astype(np.intp)
    near = maximum_filter1d(envelope.strength, 5)[np.clip(frames, 0, len(envelope.strength) - 1)]
    return float(np.clip((np.minimum(near, 1.0).mean() - 0.05) / 0.3, 0.0, 1.0))


def _fitted(envelope: OnsetEnvelope, pulse: FloatArray, path: NDArray[np.intp]) -> Times:
    """The beats of ``path`` put on the onsets, as an even grid if they are even, over all that is audible."""
    frames, weights = exact_frames(pulse, path)
    start, end = (float(at) for at in envelope.frames(np.array(envelope.audible)))
    early = _EARLY_SECONDS * envelope.rate
    grid = steady_grid(frames, weights, _STEADY_SECONDS * envelope.rate)
    if grid is None:
        beats = accented(pulse, smoothed(frames, weights))
    else:
        period, phase = grid
        numbers = np.arange(np.ceil((start - early - phase) / period), np.floor((end - phase) / period) + 1)
        beats = accented(pulse, phase + period * numbers)
    earliest = max(start - early, float(envelope.frames(np.array(-_ROUNDING_SECONDS))))
    inside = (beats >= earliest) & (beats <= end)
    return np.unique(envelope.seconds(beats[inside]))
