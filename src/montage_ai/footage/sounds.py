"""What can be heard in a clip, measured without any model."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from montage_ai.errors import MediaError
from montage_ai.media.audio import read_range
from montage_ai.media.probe import MediaInfo
from montage_ai.media.speech import WINDOW, speech_likeness

Array = NDArray[np.float32]

SILENCE = -90.0
"""dBFS: nothing is quieter."""

_RATE = 8000
_PIECE = 60.0  # seconds that are heard at once


def measure_sound(info: MediaInfo, duration: float, check: Callable[[], None] = lambda: None) -> dict[str, Array]:
    """For every tenth of a second from the first frame on ``level`` (RMS in dBFS) and ``speech`` (how much it is like
    speech, 0 to 1), each of shape (windows,); nothing for a clip without sound. ``check`` may raise to stop it."""
    if info.audio is None or info.kind != "video":
        return {}
    origin = info.picture.first_pts * info.picture.time_base
    levels, speech = list[Array](), list[Array]()
    for start in np.arange(0.0, max(duration, WINDOW), _PIECE):
        check()
        seconds = min(_PIECE, duration - float(start))
        try:
            sound = read_range(info.path, _RATE, origin=origin, start=float(start), seconds=seconds)
        except MediaError:  # its sound is damaged, which is no reason to leave the clip out
            return {}
        levels.append(_levels(sound))
        speech.append(speech_likeness(sound, _RATE).astype(np.float32)[: len(levels[-1])])
    return {"level": np.concatenate(levels), "speech": np.concatenate(speech)}


def _levels(sound: Array) -> Array:
    size = round(WINDOW * _RATE)
    count = max(1, round(len(sound) / size))
    padded = np.pad(sound, ((0, max(0, count * size - len(sound))), (0, 0)))[: count * size]
    power = (padded.reshape(count, -1).astype(np.float64) ** 2).mean(axis=1)
    return np.asarray(np.maximum(10 * np.log10(power + 1e-12), SILENCE), np.float32)
