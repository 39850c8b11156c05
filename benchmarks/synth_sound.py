"""Pieces of sound made to measure: written as 16-bit stereo WAV files."""

from __future__ import annotations

import wave
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

RATE = 44_100
Samples = NDArray[np.float64]


def write_wav(path: Path, mono: Samples) -> Path:
    """``mono``, -1 to 1, on both channels."""
    pcm = np.repeat((np.clip(mono, -1, 1) * 32767).astype("<i2"), 2)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(2)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(pcm.tobytes())
    return path


def drums(seconds: float, tempo: float = 120.0) -> Samples:
    """A bass drum on every beat and noise between: percussive, with high peaks and silence around them."""
    times = _times(seconds)
    beat = 60 / tempo
    phase, half = times % beat, (times + beat / 2) % beat
    kick = np.sin(2 * np.pi * (55 + 60 * np.exp(-phase * 40)) * phase) * np.exp(-phase * 14)
    hat = np.random.default_rng(3).standard_normal(len(times)) * np.exp(-half * 60)
    return np.asarray(0.85 * kick + 0.12 * hat)


def loud(seconds: float) -> Samples:
    """Clipped chords, as loud as a file can be: many peaks between samples."""
    times = _times(seconds)
    root = 110 * 2 ** (np.floor(times / 2) % 4 * 3 / 12)
    phase = 2 * np.pi * np.cumsum(root) / RATE
    return np.asarray(np.clip(4 * (np.sin(phase) + np.sin(1.5 * phase) + np.sin(2.52 * phase)), -0.99, 0.99))


def quiet(seconds: float) -> Samples:
    """A soft tone that swells, about -33 LUFS."""
    times = _times(seconds)
    return np.asarray(0.03 * np.sin(2 * np.pi * 330 * times) * (0.75 + 0.25 * np.sin(2 * np.pi * times / 5)))


def silence(seconds: float) -> Samples:
    """Nothing."""
    return np.zeros(round(seconds * RATE))


KINDS: dict[str, Callable[[float], Samples]] = {"loud": loud, "quiet": quiet, "percussive": drums, "silent": silence}


def _times(seconds: float) -> Samples:
    return np.arange(round(seconds * RATE)) / RATE
