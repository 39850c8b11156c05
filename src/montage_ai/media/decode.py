"""The decode pass: one decode of a clip, shared by everything that looks at its frames."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Protocol, cast

import av
import av.error
import cv2
import numpy as np
from av.video.reformatter import ColorRange, Interpolation, VideoReformatter
from numpy.typing import NDArray

from montage_ai.errors import IrregularTimesError, MediaError
from montage_ai.media.photos import Plane
from montage_ai.media.probe import MediaInfo, Shape, open_media, picture_stream, shown_at
from montage_ai.media.stretch import APPENDABLE, seek, seek_margin

ANALYSIS_SIDE = 320
"""Pixels of the longer side of the picture that consumers get."""

_BACKWARDS, _FORWARDS = 1, 10  # seconds: FFmpeg's program, too, takes larger steps for those of another recording
_HALVINGS = {2: 1, 4: 2, 8: 3}  # by how many times smaller a picture becomes
_CONVERTED = frozenset({0, 1, 2, 4, 5, 6, 7, 9})  # matrices that swscale knows
_TURNS = {90: cv2.ROTATE_90_COUNTERCLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_CLOCKWISE}


@dataclass(frozen=True, slots=True)
class Frame:
    """One frame of a clip, upright, as 8-bit limited-range YUV 4:2:0 scaled to ``ANALYSIS_SIDE``.

    ``luma`` is (height, width); ``u`` and ``v`` are half of that each way. ``time`` is in seconds from the
    clip's first frame. Planes are only valid until the next frame is asked for: copy what is kept.
    """

    index: int
    time: Fraction
    luma: Plane
    u: Plane
    v: Plane
    _full: av.VideoFrame = field(repr=False)
    _rotation: int = 0
    _mirrored: bool = False
    _sample_aspect: Fraction = Fraction(1)

    @property
    def coded_size(self) -> tuple[int, int]:
        """Width and height of the picture as coded."""
        return self._full.width, self._full.height

    def full_luma(self) -> Plane:
        """The luma plane as coded, at full size: not turned upright, no copy where the format is 8-bit planar."""
        name = self._full.format.name
        planar = name.startswith(("yuv", "nv12", "gray")) and self._full.format.components[0].bits == 8
        frame = self._full if planar and name != "yuyv422" else self._full.reformat(format="gray")
        return _plane(frame, 0)

    def upright_luma(self, side: int) -> Plane:
        """The luma plane upright, its longer side scaled to ``side`` pixels."""
        width, height = _fit(round(self._full.width * self._sample_aspect), self._full.height, side)
        small = cv2.resize(self.full_luma(), (width, height), interpolation=cv2.INTER_AREA)
        return turn(small.astype(np.uint8, copy=False), self._rotation, self._mirrored)

    def bgr(self, shorter: int, longer: int) -> Plane:
        """The frame upright as (height, width, 3) BGR: as large as it is, or scaled down to ``shorter`` pixels on its
        shorter side, or to ``longer`` on the other where that is less."""
        width, height = round(self._full.width * self._sample_aspect), self._full.height
        scale = min(1.0, max(shorter / min(width, height), 2 / min(width, height)), longer / max(width, height))
        width, height = _fit(width, height, max(2, round(scale * max(width, height))))
        small = self._full.reformat(width, height, "bgr24", interpolation=Interpolation.AREA)
        return turn(small.to_ndarray().astype(np.uint8, copy=False), self._rotation, self._mirrored)


class Consumer(Protocol):
    """Something that looks at every frame of a clip, in order."""

    def push(self, frame: Frame) -> None: ...


@dataclass(frozen=True, slots=True)
class Decoded:
    """How a decode pass went.

    ``ticks`` holds the time of every frame in units of ``time_base``, counted from the first frame; ``damage``
    says what was wrong with the file (None: nothing). ``shapes`` are the sizes of its pictures, and ``resized`` the
    numbers of the frames that begin another one.
    """

    ticks: NDArray[np.int64]
    time_base: Fraction
    duration: float
    damage: str | None
    shapes: tuple[Shape, ...] = ()
    resized: tuple[int, ...] = ()


def decode_pass(
    info: MediaInfo,
    consumers: Sequence[Consumer],
    *,
    threads: int = 1,
    on_time: Callable[[float], None] | None = None,
) -> Decoded:
    """Decode ``info`` once and hand every frame to every consumer.

    A damaged stretch is skipped and a truncated file read to where it ends; the result says so.
    Raises ``MediaError`` where no frame can be decoded.
    """
    reader = _Reader(info, threads)
    ticks: list[int] = []
    time_base = info.picture.time_base
    shapes, resized = list[Shape](), list[int]()
    for frame in reader:
        ticks.append(int(frame.time / time_base))
        width, height = frame.coded_size
        if not shapes or (width, height) != (shapes[-1].coded_width, shapes[-1].coded_height):
            resized += [frame.index] if shapes else []
            shapes.append(Shape(start=frame.time, coded_width=width, coded_height=height))
        for consumer in consumers:
            consumer.push(frame)
        if on_time is not None:
            on_time(float(frame.time))
    if not ticks:
        raise MediaError("holds no picture that can be decoded.", file=info.path, hint="Export the clip again.")
    duration = float(ticks[-1] * time_base + 1 / info.picture.fps)
    return Decoded(
        np.array(ticks, np.int64),
        time_base,
        duration,
        reader.damage(duration, len(ticks)),
        tuple(shapes) if resized else (),
        tuple(resized),
    )


def frame_at(info: MediaInfo, time: Fraction) -> Frame | None:
    """The first frame at ``time`` seconds or later, found by seeking; None where there is none that can be decoded."""
    return next((frame for frame in _Reader(info, 1, time) if frame.time >= time), None)


def photo_frame(picture: Plane) -> Frame:
    """A photo ((height, width, 3) BGR, upright) as the one frame of a clip."""
    full = av.VideoFrame.from_ndarray(picture, "bgr24")
    width, height = _fit(full.width, full.height, ANALYSIS_SIDE)
    small = full.reformat(width, height, "yuv420p", dst_color_range=ColorRange.MPEG, interpolation=Interpolation.AREA)
    luma, u, v = (_plane(small, i).copy() for i in range(3))
    return Frame(0, Fraction(0), luma, u, v, full)


def turn(picture: Plane, rotation: int, mirrored: bool = False) -> Plane:
    """``picture`` turned by ``rotation`` degrees counter-clockwise (a multiple of 90), then ``mirrored``."""
    turned = np.asarray(cv2.rotate(picture, _TURNS[rotation]), np.uint8) if rotation else picture
    return np.asarray(cv2.flip(turned, 1), np.uint8) if mirrored else turned


def halved(plane: Plane) -> Plane:
    """Half the size; one row or column that is left over is cut, so that OpenCV's exact and fast 2:1 path is taken."""
    height, width = max(1, plane.shape[0] // 2), max(1, plane.shape[1] // 2)
    return cast("Plane", cv2.resize(plane[: 2 * height, : 2 * width], (width, height), interpolation=cv2.INTER_AREA))


class _Reader:
    """Iterates over a clip's frames, from a key frame before ``start`` on, and counts what could not be decoded."""

    def __init__(self, info: MediaInfo, threads: int, start: Fraction = Fraction(0)) -> None:
        self.info = info
        self.threads = threads
        self.start = start
        self.errors = 0
        self.broken_end: str | None = None

    def __iter__(self) -> Iterator[Frame]:
        picture = self.info.picture
        width, height = _fit(round(picture.coded_width * picture.sample_aspect), picture.coded_height, ANALYSIS_SIDE)
        reformat = VideoReformatter().reformat
        last = Fraction(-1)
        index = 0
        for at, frame in self._frames():
            time = (at - picture.first_pts) * picture.time_base
            if self._jumps(last, time):
                raise IrregularTimesError("has time stamps that jump.", file=self.info.path, hint="Convert it to MP4.")
            if time <= last:  # a second picture for the same moment is never shown
                continue
            last = time
            planes = _halved_to(frame, width, height) or _scaled_to(frame, width, height, reformat)
            luma, u, v = (turn(plane, picture.rotation, picture.mirrored) for plane in planes)
            yield Frame(index, time, luma, u, v, frame, picture.rotation, picture.mirrored, picture.sample_aspect)
            index += 1

    def _jumps(self, last: Fraction, time: Fraction) -> bool:
        """Whether another recording begins, in a container that can be appended to another by its bytes."""
        if last < 0 or self.start or not set(self.info.container.split(",")) & APPENDABLE:
            return False
        return not last - _BACKWARDS <= time <= last + _FORWARDS

    def _frames(self) -> Iterator[tuple[int, av.VideoFrame]]:
        """Every frame that has a time, with it; in AVI the last ones have none, and follow at the same pace."""
        with open_media(self.info.path) as container:
            stream = picture_stream(container)
            if stream is None:
                return
            stream.thread_type = "FRAME" if self.threads > 1 else "NONE"
            stream.codec_context.thread_count = self.threads
            if self.start:
                seek(container, self.info, self.start - seek_margin(self.info, self.start))
            packets = container.demux(stream)
            last, step, in_order = 0, 1, container.format.name == "avi"
            while True:
                try:
                    packet = next(packets)
                except StopIteration:
                    return
                except av.error.FFmpegError as error:
                    self.broken_end = error.strerror
                    return
                try:
                    for frame in packet.decode():
                        at = shown_at(frame, container)
                        if at is None and in_order:
                            at = last + step
                        if at is not None:
                            last, step = at, max(at - last, 1)
                            yield at, frame
                except av.error.EOFError:
                    return
                except av.error.FFmpegError:
                    self.errors += 1

    def damage(self, decoded: float, frames: int) -> str | None:
        """What was wrong, when ``decoded`` seconds in so many ``frames`` could be read."""
        said, listed = self.info.duration, self.info.picture.frames
        few = frames < 0.98 * listed - 2 if listed else decoded < 0.9 * said - 0.5
        if self.broken_end or (few and decoded < said - 2 / self.info.picture.fps):
            return f"only the first {decoded:.1f} of {said:.1f} seconds can be read"
        return f"{self.errors} damaged places were skipped" if self.errors else None


def _halved_to(frame: av.VideoFrame, width: int, height: int) -> list[Plane] | None:
    """The planes at a half, a quarter or an eighth of their size, where that is all: in a third of swscale's time."""
    halvings = _HALVINGS.get(frame.width // width, 0)
    is_plain = frame.format.name == "yuv420p" and frame.color_range in (ColorRange.UNSPECIFIED, ColorRange.MPEG)
    if not halvings or not is_plain or (frame.width, frame.height) != (width << halvings, height << halvings):
        return None
    planes = [_plane(frame, i) for i in range(3)]
    for _ in range(halvings):
        planes = [halved(plane) for plane in planes]
    return planes


def _scaled_to(frame: av.VideoFrame, width: int, height: int, reformat: Callable[..., av.VideoFrame]) -> list[Plane]:
    if frame.colorspace not in _CONVERTED:  # its planes still say what is bright and where there is colour
        frame.colorspace, frame.color_primaries, frame.color_trc = 2, 2, 2
    small = reformat(frame, width, height, "yuv420p", dst_color_range=ColorRange.MPEG, interpolation=Interpolation.AREA)
    return [_plane(small, i) for i in range(3)]


def _plane(frame: av.VideoFrame, index: int) -> Plane:
    plane = frame.planes[index]
    pixels: Plane = np.frombuffer(memoryview(plane), np.uint8)
    return pixels.reshape(plane.height, plane.line_size)[:, : plane.width]


def _fit(width: int, height: int, side: int) -> tuple[int, int]:
    """The even size closest to ``width`` by ``height`` whose longer side is ``side`` pixels."""
    scale = side / max(width, height)
    return tuple(max(2, 2 * round(length * scale / 2)) for length in (width, height))  # type: ignore[return-value]
