"""How the music sounds, ten times a second: loudness, spectral shape and pitch classes, from one pass."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from montage_ai.music.onsets import SILENCE, FloatArray, peak_level, windowed

TEXTURES_PER_SECOND = 10

_WINDOW_SECONDS = 0.19
_BANDS = 12
_BAND_EDGES_HZ = np.geomspace(40.0, 10_000.0, _BANDS + 1)
_LOWEST_PITCH_HZ, _HIGHEST_PITCH_HZ = 100.0, 2000.0
_FLOOR_DB = -90.0


@dataclass(frozen=True)
class Texture:
    """``loudness`` (n,) in dB; ``bands`` (n, 12) in dB; ``chroma`` (n, 12), rows of unit length; ``rate`` in Hz."""

    loudness: FloatArray
    bands: FloatArray
    chroma: FloatArray
    rate: float

    def chroma_between(self, start: float, end: float) -> FloatArray:
        """The pitch classes that sound from ``start`` to ``end`` seconds, shape (12,), summed."""
        first = max(0, round(start * self.rate))
        return np.asarray(self.chroma[first : max(first + 1, round(end * self.rate))].sum(axis=0))


def texture(samples: FloatArray, sample_rate: int) -> Texture:
    """The texture of mono ``samples`` of shape (n,)."""
    hop = max(1, round(sample_rate / TEXTURES_PER_SECOND))
    size = 2 ** round(np.log2(_WINDOW_SECONDS * sample_rate))
    hertz = np.arange(size // 2 + 1) * sample_rate / size
    to_bands, to_chroma = _band_matrix(hertz), _chroma_matrix(hertz)
    window = np.hanning(size).astype(np.float32)
    parts = []
    for block in windowed(samples, size, hop):
        power = np.abs(scipy.fft.rfft(block * window, axis=1)) ** 2 / (window.sum() ** 2 / 4)
        parts.append((_decibels(power.sum(axis=1)), _decibels(power @ to_bands), _unit(np.sqrt(power) @ to_chroma)))
    loudness, bands, chroma = (np.concatenate(part) for part in zip(*parts, strict=True))
    if peak_level(samples) < SILENCE:
        loudness = np.full_like(loudness, _FLOOR_DB)
    return Texture(loudness, bands, chroma, sample_rate / hop)


def _band_matrix(hertz: NDArray[np.float64]) -> FloatArray:
    band = np.digitize(hertz, _BAND_EDGES_HZ) - 1
    return np.asarray(band[:, None] == np.arange(_BANDS), dtype=np.float32)


def _chroma_matrix(hertz: NDArray[np.float64]) -> FloatArray:
    """Each bin to the nearest pitch class of the tempered scale on A = 440 Hz."""
    pitch = np.rint(12 * np.log2(np.maximum(hertz, 1.0) / 440.0)) % 12
    heard = (hertz >= _LOWEST_PITCH_HZ) & (hertz <= _HIGHEST_PITCH_HZ)
    return np.asarray((pitch[:, None] == np.arange(12)) & heard[:, None], dtype=np.float32)


def _decibels(power: NDArray[np.float32]) -> FloatArray:
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (_FLOOR_DB / 10))), dtype=np.float32)


def _unit(rows: FloatArray) -> FloatArray:
    return np.asarray(rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-9), dtype=np.float32)
