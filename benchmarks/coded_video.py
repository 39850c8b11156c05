"""Clips whose every frame says which frame of which clip it is, in black and white blocks that survive encoding.

A picture is divided into 8 by 4 cells: 4 bits of clip, 12 bits of frame and 16 bits of check, white for 1.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from benchmarks.measuring import ffmpeg, run
from montage_ai.edit.timeline import ClipSource
from montage_ai.media.files import sha256

Plane = NDArray[np.uint8]

COLUMNS, ROWS = 8, 4
MOST_FRAMES = 1 << 12
SIZE = (192, 108)
SECONDS = 24

_BLACK, _WHITE = 32, 220
_SURE = 40  # how far from grey a cell must be to count


@dataclass(frozen=True)
class CodedClip:
    """Clip ``number``; its frames' times are ``ticks`` in ``time_base`` units, from the first."""

    number: int
    name: str
    source: ClipSource
    ticks: NDArray[np.int64]
    time_base: Fraction

    def time_of(self, frame: int) -> Fraction:
        """Seconds from the first frame."""
        return int(self.ticks[frame]) * self.time_base


def draw(clip: int, frame: int, width: int, height: int) -> Plane:
    """The picture of a clip's frame: luma, shape (height, width)."""
    word = (clip << 12 | frame) << 16 | _check(clip << 12 | frame)
    bits = np.array([word >> place & 1 for place in range(COLUMNS * ROWS)], np.uint8).reshape(ROWS, COLUMNS)
    cells = np.where(bits, _WHITE, _BLACK).astype(np.uint8)
    rows, columns = np.arange(height) * ROWS // height, np.arange(width) * COLUMNS // width
    return cells[rows][:, columns]


def read(luma: Plane) -> tuple[int, int] | None:
    """The clip and the frame that a picture shows; None where it is no such picture, or two of them mixed."""
    height, width = luma.shape[0] / ROWS, luma.shape[1] / COLUMNS
    rows = [slice(round((r + 0.35) * height), round((r + 0.65) * height) + 1) for r in range(ROWS)]
    columns = [slice(round((c + 0.35) * width), round((c + 0.65) * width) + 1) for c in range(COLUMNS)]
    means = np.array([luma[row, column].mean() for row in rows for column in columns]) - (_BLACK + _WHITE) / 2
    word = sum(1 << place for place, mean in enumerate(means) if mean > 0)
    payload = word >> 16
    sound = np.abs(means).min() > _SURE and word & 0xFFFF == _check(payload)
    return (payload >> 12, payload & 0xFFF) if sound else None


def coded_clips(folder: Path) -> list[CodedClip]:
    """Clips at the usual rates, of variable rate, turned, and in a container without an index."""
    rates = {"23.976": Fraction(24000, 1001), "25": Fraction(25), "29.97": Fraction(30000, 1001)}
    rates["59.94"] = Fraction(60000, 1001)
    paths: list[Path] = []
    for name, rate in rates.items():
        paths.append(_write(folder / f"{name}.mp4", len(paths), range(round(SECONDS * rate)), 1 / rate))
    paths.append(_write(folder / "variable.mp4", len(paths), _irregular(), Fraction(1, 90_000)))
    lying = folder / "lying.mp4"
    _write(lying, len(paths), range(round(SECONDS * rates["29.97"])), 1 / rates["29.97"], lying=True)
    paths.append(_copied(lying, folder / "turned.mp4", "-display_rotation", "90"))
    plain = _write(folder / "plain.mp4", len(paths), range(SECONDS * 25), Fraction(1, 25))
    paths.append(_copied(plain, folder / "stream.ts"))
    return [_clip(number, path) for number, path in enumerate(paths)]


def codes(path: Path) -> Iterator[tuple[int, int] | None]:
    """What each frame of a film says, in the order of showing."""
    with av.open(str(path)) as film:
        film.streams.video[0].thread_type = "AUTO"
        for frame in film.decode(video=0):
            yield read(_luma(frame))


def _check(payload: int) -> int:
    return (payload * 40503 + 0x5A5A >> 3) & 0xFFFF


def _irregular() -> list[int]:
    """Times in ticks of 1/90,000 s, 8 to 75 ms apart."""
    gaps = np.random.default_rng(7).choice([720, 1500, 2250, 3000, 3003, 3600, 6750], size=SECONDS * 30)
    return [0, *np.cumsum(gaps).tolist()]


def _write(path: Path, number: int, ticks: Iterable[int], time_base: Fraction, *, lying: bool = False) -> Path:
    """Encode a clip, with a key frame every two seconds and B-frames as cameras do; ``lying`` on its right side."""
    width, height = SIZE[::-1] if lying else SIZE
    with av.open(str(path), "w") as container:
        stream: Any = container.add_stream("libx264", rate=30, options={"preset": "veryfast", "crf": "23", "g": "50"})
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = time_base
        stream.time_base = time_base
        for index, tick in enumerate(ticks):
            luma = draw(number, index, *SIZE)
            frame = av.VideoFrame.from_ndarray(_grey(np.rot90(luma, -1) if lying else luma), "yuv420p")
            frame.pts, frame.time_base = tick, time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def _grey(luma: Plane) -> Plane:
    """A luma plane as YUV 4:2:0 without colour."""
    return np.vstack([luma, np.full((luma.shape[0] // 2, luma.shape[1]), 128, np.uint8)])


def _copied(source: Path, target: Path, *options: str) -> Path:
    run(ffmpeg(*options, "-i", source, "-c", "copy", target))
    return target


def _clip(number: int, path: Path) -> CodedClip:
    """The clip with the times that its file says, in the order of showing."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        time_base = stream.time_base  # the stream forgets it when the container is closed
        assert time_base is not None
        times = sorted(packet.pts for packet in container.demux(stream) if packet.pts is not None and packet.size)
    ticks = np.array(times, np.int64)
    assert len(ticks) < MOST_FRAMES
    source = ClipSource(path=path, sha256=sha256(path))
    return CodedClip(number, path.stem, source, ticks - ticks[0], time_base)


def _luma(frame: av.VideoFrame) -> Plane:
    plane = frame.planes[0]
    pixels: Plane = np.frombuffer(memoryview(plane), np.uint8)
    return pixels.reshape(plane.height, plane.line_size)[:, : plane.width]
