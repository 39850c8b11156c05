"""What can be heard in a clip, measured without any model."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from numpy.typing import NDArray

from montage_ai.errors import MediaError
from montage_ai.media.audio import range_blocks
from montage_ai.media.probe import MediaInfo
from montage_ai.media.speech import WINDOW, speech_likeness

Array = NDArray[np.float32]

SILENCE = -90.0
"""dBFS: nothing is quieter."""

_RATE = 8000
_PIECE = 60 * _RATE  # samples that are heard at once


def measure_sound(info: MediaInfo, duration: float, check: Callable[[], None] = lambda: None) -> dict[str, Array]:
    """For every tenth of a second from the first frame on ``level`` (RMS in dBFS) and ``speech`` (how much it is like
    speech, 0 to 1), each of shape (windows,); nothing for a clip without sound. ``check`` may raise to stop it."""
    if info.audio is None or info.kind != "video":
        return {}
    origin = info.picture.first_pts * info.picture.time_base
    wanted = max(duration, WINDOW)
    levels, speech = list[Array](), list[Array]()
    try:
        blocks = range_blocks(info.path, _RATE, origin=origin, start=0.0, seconds=wanted)
        for sound in _pieces(blocks, round(wanted * _RATE)):
            check()
            levels.append(_levels(sound))
            speech.append(speech_likeness(sound, _RATE).astype(np.float32)[: len(levels[-1])])
    except MediaError:  # its sound is damaged, which is no reason to leave the clip out
        return {}
    return {"level": np.concatenate(levels), "speech": np.concatenate(speech)}


def _pieces(blocks: Iterator[Array], samples: int) -> Iterator[Array]:
    """``samples`` in pieces of a minute; silence where the blocks have ended."""
    held = np.zeros((0, 2), np.float32)
    for _ in range(0, samples, _PIECE):
        size = min(_PIECE, samples)
        samples -= size
        while len(held) < size:
            block = next(blocks, None)
            held = np.concatenate([held, np.zeros((size - len(held), 2), np.float32) if block is None else block])
        yield held[:size]
        held = held[size:]


def _levels(sound: Array) -> Array:
    size = round(WINDOW * _RATE)
    count = max(1, round(len(sound) / size))
    padded = np.pad(sound, ((0, max(0, count * size - len(sound))), (0, 0)))[: count * size]
    power = (padded.reshape(count, -1).astype(np.float64) ** 2).mean(axis=1)
    return np.asarray(np.maximum(10 * np.log10(power + 1e-12), SILENCE), np.float32)
