"""The sound of a file as samples.

FFmpeg's program decodes and resamples it. (PyAV frees the channel layouts of some files twice, and the process dies.)
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from montage_ai.errors import FFmpegError, MediaError
from montage_ai.media.ffmpeg import ffmpeg_output
from montage_ai.media.probe import MediaInfo, probe

Samples = NDArray[np.float32]

_GAP = 0.05  # seconds: what time stamps may be off by without a gap
_BEFORE = 1  # seconds that are read before a range, in which its decoder gets going


def read_mono(path: Path, sample_rate: int, *, seconds: float | None = None, side: bool = False) -> Samples:
    """All of a file's sound (or its first ``seconds``) mixed to one channel: shape (n,), -1 to 1.

    With ``side`` that is half the difference between left and right, not half their sum. Raises ``MediaError`` for a
    file without sound, or with none that can be decoded.
    """
    mix = ["-af", "aformat=channel_layouts=stereo,pan=mono|c0=0.5*c0-0.5*c1"] if side else []
    length = [] if seconds is None else ["-t", f"{seconds:.3f}"]
    blocks = list(_decoded(path, sample_rate, 1, filters=mix, length=length))
    if not blocks:
        raise MediaError("holds no sound that can be decoded.", file=path, hint="Give another piece of music.")
    return np.concatenate(blocks)[:, 0]


def sound_blocks(path: Path, sample_rate: int, *, channels: int = 2, start: float = 0.0) -> Iterator[Samples]:
    """The sound from ``start`` seconds on, in blocks of shape (n, channels).

    ``start`` counts from the first sample of the stream. A damaged stretch is skipped.
    """
    skip = round(start * sample_rate)
    for block in _decoded(path, sample_rate, channels):
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
    position = 0
    for block in range_blocks(path, sample_rate, origin=origin, start=start, seconds=seconds):
        part = block[: len(wanted) - position]
        wanted[position : position + len(part)] = part
        position += len(part)
    return wanted


def range_blocks(path: Path, sample_rate: int, *, origin: Fraction, start: float, seconds: float) -> Iterator[Samples]:
    """The same in blocks, which end where the sound does."""
    info = probe(path)
    if info.audio is None:
        return
    first = float(origin) + start
    early = first - _BEFORE - float(info.start)
    # Time stamps as they are in the file: FFmpeg counts them from another zero for each kind of container.
    reading = ["-copyts", *(["-noaccurate_seek", "-ss", f"{early:.6f}"] if early > 0 else [])]
    steps = [
        f"atrim=start={first:.6f}:end={first + seconds:.6f}",
        f"asetpts=PTS-({first:.6f})/TB",
        f"aresample={sample_rate}:async=1:min_hard_comp={_GAP}:first_pts=0",
    ]
    length = ["-t", f"{seconds + 0.1:.6f}"]
    yield from _decoded(path, sample_rate, 2, before=reading, filters=["-af", ",".join(steps)], length=length)


def _decoded(
    path: Path,
    sample_rate: int,
    channels: int,
    *,
    before: list[str] | None = None,
    filters: list[str] | None = None,
    length: list[str] | None = None,
) -> Iterator[Samples]:
    """What FFmpeg makes of the stream that is heard, in blocks of shape (n, channels)."""
    sound = _sound_of(probe(path), path)
    arguments = [
        *("-loglevel", "error", *(before or []), "-i", f"file:{path.absolute()}", "-map", f"0:{sound}", "-vn"),
        *(*(filters or []), *(length or []), "-ac", str(channels), "-ar", str(sample_rate)),
        *("-c:a", "pcm_f32le", "-f", "f32le", "pipe:1"),
    ]
    found = False
    try:
        for block in ffmpeg_output(arguments, unit=4 * channels, about=path):
            found = True
            yield np.frombuffer(block, "<f4").reshape(-1, channels).astype(np.float32, copy=False)
    except FFmpegError as error:
        if not found:  # else it is damaged, and what could be decoded was
            what = "holds no sound that can be decoded."
            raise MediaError(what, file=path, hint="Give another piece of music.") from error


def _sound_of(info: MediaInfo, path: Path) -> int:
    """The number of the stream."""
    if info.audio is None:
        raise MediaError("holds no sound.", file=path, hint="Give a piece of music.")
    return info.audio.index
