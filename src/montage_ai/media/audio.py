"""The sound of a file as samples."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import av
import av.error
import numpy as np
from numpy.typing import NDArray

from montage_ai.errors import MediaError
from montage_ai.media.probe import open_media

Samples = NDArray[np.float32]

_GAP = 0.05  # seconds: what time stamps may be off by without a gap


def read_mono(path: Path, sample_rate: int) -> Samples:
    """All of a file's sound mixed to one channel: shape (n,), -1 to 1.

    Raises ``MediaError`` for a file without sound, or with none that can be decoded.
    """
    blocks = [block[:, 0] for block in sound_blocks(path, sample_rate, channels=1)]
    if not blocks:
        raise MediaError("holds no sound that can be decoded.", file=path, hint="Give another piece of music.")
    return np.concatenate(blocks)


def sound_blocks(path: Path, sample_rate: int, *, channels: int = 2, start: float = 0.0) -> Iterator[Samples]:
    """The sound from ``start`` seconds on, in blocks of shape (n, channels).

    ``start`` counts from the first sample of the stream. A damaged stretch is skipped.
    """
    skip = round(start * sample_rate)
    for block in _resampled(path, sample_rate, channels):
        if skip >= len(block):
            skip -= len(block)
            continue
        yield block[skip:]
        skip = 0


def read_range(path: Path, sample_rate: int, *, origin: Fraction, start: float, seconds: float) -> Samples:
    """Stereo sound of shape (n, 2) for the ``seconds`` from ``start`` on, silent where the file has none.

    ``start`` counts from ``origin``, in seconds of the container's own time line: give the time of the clip's
    first frame to stay in step with its picture.
    """
    wanted = np.zeros((round(seconds * sample_rate), 2), np.float32)
    first = float(origin) + start
    with open_media(path) as container:
        if not container.streams.audio:
            return wanted
        stream = container.streams.audio[0]
        if stream.time_base and first > 1:
            container.seek(int((first - 1) / stream.time_base), stream=stream)
        for time, block in _converted(container, stream, sample_rate, channels=2):
            position = round((time - first) * sample_rate)
            if position >= len(wanted):
                break
            _place(wanted, block, position)
    return wanted


def _place(target: Samples, block: Samples, position: int) -> None:
    """Copy ``block`` into ``target`` at ``position``, which may lie before or behind it."""
    low, high = max(0, position), min(len(target), position + len(block))
    if low < high:
        target[low:high] = block[low - position : high - position]


def _resampled(path: Path, sample_rate: int, channels: int) -> Iterator[Samples]:
    with open_media(path) as container:
        if not container.streams.audio:
            raise MediaError("holds no sound.", file=path, hint="Give a piece of music.")
        for _, block in _converted(container, container.streams.audio[0], sample_rate, channels):
            yield block


def _converted(
    container: av.container.InputContainer, stream: av.AudioStream, sample_rate: int, channels: int
) -> Iterator[tuple[float, Samples]]:
    """Resampled blocks with the time of their first sample, in seconds of the container's time line.

    Time runs on with the samples, except over a gap in the file's own time stamps. The format may change within a file.
    """
    shape: tuple[int, str, str] | None = None
    resampler, time = None, 0.0
    for frame in _decoded(container, stream):
        here = (frame.sample_rate, frame.layout.name, frame.format.name)
        if resampler is None or here != shape:
            yield from _drained(resampler, time, channels)
            shape, resampler = here, av.AudioResampler("flt", "mono" if channels == 1 else "stereo", sample_rate)
            time = frame.time if frame.time is not None else time
        elif frame.time is not None and abs(frame.time - time) > _GAP:
            yield from _drained(resampler, time, channels)
            resampler, time = av.AudioResampler("flt", "mono" if channels == 1 else "stereo", sample_rate), frame.time
        for part in resampler.resample(frame):
            block = _samples(part, channels)
            yield time, block
            time += len(block) / sample_rate
    yield from _drained(resampler, time, channels)


def _drained(resampler: av.AudioResampler | None, time: float, channels: int) -> Iterator[tuple[float, Samples]]:
    """What the resampler still holds."""
    if resampler is not None:
        for part in resampler.resample(None):
            yield time, _samples(part, channels)


def _decoded(container: av.container.InputContainer, stream: av.AudioStream) -> Iterator[av.AudioFrame]:
    packets = container.demux(stream)
    while (packet := _next(packets)) is not None:
        with contextlib.suppress(av.error.FFmpegError):  # a damaged stretch
            yield from packet.decode()


def _next(packets: Iterator[av.Packet[av.AudioStream]]) -> av.Packet[av.AudioStream] | None:
    """The next packet; None at the end, or where the file cannot be read further."""
    try:
        return next(packets, None)
    except av.error.FFmpegError:
        return None


def _samples(frame: av.AudioFrame, channels: int) -> Samples:
    return frame.to_ndarray().astype(np.float32, copy=False).reshape(-1, channels)
