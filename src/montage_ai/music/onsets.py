"""Where notes begin: the onset envelope of a piece of music, and the onsets picked from it.

The envelope is SuperFlux (Böck and Widmer, "Maximum Filter Vibrato Suppression for Onset Detection", DAFx 2013): the
rise of log-magnitude in mel-spaced bands, each compared with the loudest of its neighbours two frames before, so that a
gliding tone is no onset. It is computed in blocks; an hour of music needs some tens of megabytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, maximum_filter1d, uniform_filter1d

FloatArray = NDArray[np.float32]

FRAMES_PER_SECOND = 100
SILENCE = 1e-4
"""A peak below this (-80 dBFS) is silence."""

_WINDOW_SECONDS = 0.046
_BLOCK_FRAMES = 1024
_BANDS = 40
_LOWEST_HZ, _HIGHEST_HZ = 30.0, 10_000.0
_COMPRESSION = 1000.0  # log(1 + c * magnitude): what lies 60 dB below the peak still counts a little
_LAG = 2  # frames; a window of 4.6 frames has not risen after one
_REGION_EDGES_HZ = (150.0, 800.0, 4000.0)
_AUDIBLE = 1e-3  # of the peak: where the music starts and ends

# The flux of a note peaks before the note: its window meets the attack ahead of its centre. Measured on clicks and
# plucked notes over silence and over chords.
_LEAD_SECONDS = 0.006


@dataclass(frozen=True)
class OnsetEnvelope:
    """How strongly notes begin in each frame.

    ``strength`` has shape (n,), in log-magnitude; ``regions`` has shape (n, 4): the same for bass, low middle, high
    middle and treble alone. ``strength`` is the mean of the four, so that a kick, which fills few bands, counts like a
    hi-hat. ``rate`` is in frames a second. ``audible`` is the span in seconds between the silences at both ends; (0, 0)
    where all is silence.
    """

    strength: FloatArray
    regions: FloatArray
    rate: float
    audible: tuple[float, float]

    def seconds(self, frames: NDArray[np.float64]) -> NDArray[np.float64]:
        """The times, in seconds, of notes whose flux peaks at (fractional) ``frames``."""
        return np.maximum(frames / self.rate + _LEAD_SECONDS, 0.0)

    def frames(self, seconds: NDArray[np.float64]) -> NDArray[np.float64]:
        """The (fractional) frames at which the flux of notes that begin at ``seconds`` peaks."""
        return (seconds - _LEAD_SECONDS) * self.rate


def onset_envelope(samples: FloatArray, sample_rate: int) -> OnsetEnvelope:
    """The onset envelope of mono ``samples`` of shape (n,); loudness of the whole does not matter."""
    hop = max(1, round(sample_rate / FRAMES_PER_SECOND))
    peak = peak_level(samples)
    if peak < SILENCE:
        empty = np.zeros(len(samples) // hop + 1, np.float32)
        return OnsetEnvelope(empty, np.zeros((empty.size, 4), np.float32), sample_rate / hop, (0.0, 0.0))
    fluxes = list(_flux_blocks(samples, sample_rate, hop, 1 / peak))
    regions = np.concatenate([of_regions for _, of_regions in fluxes])
    strength = np.concatenate([of_all for of_all, _ in fluxes])
    return OnsetEnvelope(strength, regions, sample_rate / hop, _audible_span(samples, sample_rate, peak))


def peak_level(samples: FloatArray) -> float:
    """The largest absolute sample; 0 for no samples."""
    return float(max(samples.max(), -samples.min())) if samples.size else 0.0


def pulse_train(envelope: OnsetEnvelope) -> FloatArray:
    """The envelope made ready for beat tracking: local mean lowered, loud and soft passages evened, unit RMS."""
    rate = envelope.rate
    sharp = gaussian_filter1d(envelope.strength, 0.01 * rate)
    rise = np.maximum(0.0, sharp - 0.5 * uniform_filter1d(sharp, round(0.8 * rate)))
    spread = np.sqrt(np.maximum(0.0, uniform_filter1d(np.square(rise, dtype=np.float64), round(8 * rate))))
    level = float(np.sqrt(np.mean(np.square(rise, dtype=np.float64))))
    if level == 0.0:
        return np.zeros_like(rise)
    even = rise / (spread + 0.5 * level)
    return np.asarray(even / np.sqrt(np.mean(np.square(even))), dtype=np.float32)


def pick_onsets(envelope: OnsetEnvelope, min_gap: float = 0.06, threshold: float = 0.12) -> NDArray[np.float64]:
    """The times in seconds of clear onsets, shape (m,).

    An onset is a local maximum that rises ``threshold`` (mean log-magnitude a band) above its surroundings, and the
    largest within ``min_gap`` seconds (Böck, Krebs and Schedl, "Evaluating the Online Capabilities of Onset Detection
    Methods", ISMIR 2012).
    """
    strength = gaussian_filter1d(envelope.strength, 0.005 * envelope.rate)
    around = uniform_filter1d(strength, round(0.4 * envelope.rate))
    tallest = maximum_filter1d(strength, 2 * round(min_gap * envelope.rate / 2) + 1)
    peaks = np.flatnonzero((strength == tallest) & (strength > around + threshold))
    return envelope.seconds(sharpened(strength, peaks))


def sharpened(curve: FloatArray, peaks: NDArray[np.intp]) -> NDArray[np.float64]:
    """The tops of the parabolas through ``curve`` at ``peaks`` and their neighbours, in fractional frames."""
    if len(curve) < 3:
        return peaks.astype(np.float64)
    inner = np.clip(peaks, 1, len(curve) - 2)
    before, at, after = (curve[inner + k].astype(np.float64) for k in (-1, 0, 1))
    bend = before - 2 * at + after
    shift = np.where(bend < 0, 0.5 * (before - after) / np.where(bend < 0, bend, 1.0), 0.0)
    return np.asarray(inner + np.clip(shift, -0.5, 0.5))


def windowed(samples: FloatArray, size: int, hop: int) -> Iterator[FloatArray]:
    """Blocks of shape (at most 1024, ``size``): the samples around 0, ``hop``, 2 ``hop``, ...; zeros beyond both."""
    frames = len(samples) // hop + 1
    for first in range(0, frames, _BLOCK_FRAMES):
        count = min(_BLOCK_FRAMES, frames - first)
        start = first * hop - size // 2
        end = start + (count - 1) * hop + size
        inside = samples[max(0, start) : min(end, len(samples))]
        block = np.pad(inside, (max(0, -start), max(0, end - len(samples))))
        yield np.lib.stride_tricks.sliding_window_view(block, size)[::hop]


def _flux_blocks(
    samples: FloatArray, sample_rate: int, hop: int, gain: float
) -> Iterator[tuple[FloatArray, FloatArray]]:
    size = 2 ** round(np.log2(_WINDOW_SECONDS * sample_rate))
    filters, regions = _filters(size, sample_rate)
    window = np.hanning(size + 1)[:size].astype(np.float32)
    window *= gain * _COMPRESSION * 2 / window.sum()
    before: FloatArray | None = None
    for block in windowed(samples, size, hop):
        spectrum = np.abs(scipy.fft.rfft(block * window, axis=1))
        logs = np.log1p(spectrum @ filters)
        history = np.repeat(logs[:1], _LAG, axis=0) if before is None else before
        past = np.concatenate([history, logs])[: len(logs)]
        rise = np.maximum(0.0, logs - _loudest_of_three(past))
        by_region = rise @ regions
        yield by_region.mean(axis=1), by_region
        before = np.concatenate([history, logs])[-_LAG:]


def _loudest_of_three(bands: FloatArray) -> FloatArray:
    """Each band, or a neighbour that is louder."""
    loudest = bands.copy()
    np.maximum(loudest[:, 1:], bands[:, :-1], out=loudest[:, 1:])
    np.maximum(loudest[:, :-1], bands[:, 1:], out=loudest[:, :-1])
    return loudest


def _filters(size: int, sample_rate: int) -> tuple[FloatArray, FloatArray]:
    """Triangular mel-spaced filters, shape (bins, bands), and the mean over each region, shape (bands, 4)."""
    edges = _mel_spaced(_BANDS + 2, min(_HIGHEST_HZ, sample_rate / 2))
    bins = np.arange(size // 2 + 1) * sample_rate / size
    low, centre, high = edges[:-2], np.maximum(edges[1:-1], edges[:-2] + 1e-9), edges[2:]
    width = sample_rate / size  # a band narrower than a bin would fall between two
    rising = (bins[:, None] - low + width) / (centre - low + width)
    falling = (high + width - bins[:, None]) / (high - centre + width)
    filters = np.maximum(0.0, np.minimum(rising, falling))
    region_of = np.digitize(centre, _REGION_EDGES_HZ)
    regions = (region_of[:, None] == np.arange(4)).astype(np.float32)
    return filters.astype(np.float32), regions / np.maximum(1, regions.sum(axis=0))


def _mel_spaced(count: int, highest: float) -> NDArray[np.float64]:
    def mel(hertz: float) -> float:
        return float(2595 * np.log10(1 + hertz / 700))

    return np.asarray(700 * (10 ** (np.linspace(mel(_LOWEST_HZ), mel(highest), count) / 2595) - 1))


def _audible_span(samples: FloatArray, sample_rate: int, peak: float) -> tuple[float, float]:
    quiet_before = _quiet_samples(samples, _AUDIBLE * peak)
    quiet_after = _quiet_samples(samples[::-1], _AUDIBLE * peak)
    return quiet_before / sample_rate, (len(samples) - quiet_after) / sample_rate


def _quiet_samples(samples: FloatArray, level: float) -> int:
    """How many samples come before the first above ``level``; in blocks, to make no copy of an hour of sound."""
    size = 1 << 16
    for start in range(0, len(samples), size):
        loud = np.abs(samples[start : start + size]) > level
        if loud.any():
            return start + int(np.argmax(loud))
    return len(samples)
