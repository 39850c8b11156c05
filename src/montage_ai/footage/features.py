"""What can be measured on the frames of a clip without any model. Consumers of the decode pass.

``FrameMeasures`` looks at every frame, ``SampleMeasures`` at two a second, ``Faces`` and ``FramePack`` at one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import cast

import cv2
import numpy as np
from numpy.typing import NDArray

from montage_ai.media.decode import Frame, frame_at
from montage_ai.media.photos import Plane
from montage_ai.media.probe import MediaInfo
from montage_ai.media.stills import encode_jpeg

Array = NDArray[np.float32]

cv2.setNumThreads(1)  # clips are measured side by side: more threads a clip only wait for each other

_FLOW_SIDE = 160
_FLOW_POINTS = 48
_FLOW_RENEW = 6
_FLOW_RATE = 15.0  # a second
_STILL = 0.3  # pixels
_PARTS = (6, 4)
_FACE_STEP = 1.35  # between the sizes that are tried: 1.2 finds hardly more, and takes two thirds longer
_LAYOUT = (4, 4)

PACK_SHORTER, PACK_LONGER, PACK_BYTES = 256, 512, 20_000
"""Sides in pixels (models look at about 256 by 256) and bytes of a picture of the frame pack, at most."""

_TINY = (32, 18)
_LOOK = 2  # frames from one look for a new shot to the next: to look at each costs the pass another 2 %
_JUMP = 8.0  # grey levels between two looks, on average: a new shot may have begun
_APART = Fraction(1, 5)  # seconds between such frames
_NOISE, _SPOT = 1.0, 10.0  # grey levels, on average and anywhere, below which a picture repeats another


class FrameMeasures:
    """Per frame: ``luma`` and ``contrast`` (mean and deviation, 0 to 255), ``change`` (mean absolute difference
    from the frame before), ``dx`` and ``dy`` (motion of the whole picture) and ``subject`` (motion within it), in
    picture widths a frame."""

    NAMES = ("luma", "contrast", "change", "dx", "dy", "subject")

    def __init__(self) -> None:
        self._rows: list[list[float]] = []
        self._before: Plane | None = None
        self._tracked: Plane | None = None
        self._due = _Every(_FLOW_RATE)
        self._waiting = 0  # frames since motion was measured: they share the next measurement
        self._measured = 0
        self._points: NDArray[np.float32] | None = None

    def push(self, frame: Frame) -> None:
        scale = _FLOW_SIDE / max(frame.luma.shape)
        small = cast("Plane", cv2.resize(frame.luma, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA))
        mean, deviation = cv2.meanStdDev(small)
        change = 0.0 if self._before is None else cv2.mean(cv2.absdiff(self._before, small))[0]
        self._before = small
        self._rows.append([mean[0, 0], deviation[0, 0], change, 0.0, 0.0, 0.0])
        self._waiting += 1
        if self._due(frame.time):
            self._measure_motion(small)

    def arrays(self) -> dict[str, Array]:
        """The measures by name, each of shape (frames,)."""
        table = np.array(self._rows, np.float32).reshape(-1, len(self.NAMES))
        return {name: table[:, i] for i, name in enumerate(self.NAMES)}

    def _measure_motion(self, now: Plane) -> None:
        """Measure the motion since the last time and share it out evenly among the frames in between."""
        before, self._tracked = self._tracked, now
        waiting, self._waiting = self._waiting, 0
        if before is None or cv2.mean(cv2.absdiff(before, now))[0] <= 0.05:
            return
        motion = [part / waiting for part in self._motion(before, now)]
        self._measured += 1
        for row in self._rows[-waiting:]:
            row[3:] = motion

    def _motion(self, before: Plane, now: Plane) -> tuple[float, float, float]:
        """Median displacement of tracked corners (Lucas and Kanade 1981, pyramidal), and the spread around it."""
        if self._points is None or self._measured % _FLOW_RENEW == 0:
            self._points = cast("Array | None", cv2.goodFeaturesToTrack(before, _FLOW_POINTS, 0.01, 8))
        if self._points is None:
            return 0.0, 0.0, 0.0
        moved, found, _ = cv2.calcOpticalFlowPyrLK(
            before, now, self._points, np.empty_like(self._points), winSize=(11, 11), maxLevel=3
        )
        kept = found[:, 0] == 1
        if kept.sum() < 6:
            self._points = None
            return 0.0, 0.0, 0.0
        shift = (moved - self._points)[kept, 0]
        self._points = moved[kept].astype(np.float32, copy=False)
        whole = _quantile(shift, 0.5)
        if float(np.hypot(*whole)) > _STILL and not _moved_as_a_whole(whole, before, now):
            whole = np.zeros(2, np.float32)
        apart = np.linalg.norm(shift - whole, axis=1)
        return whole[0] / now.shape[1], whole[1] / now.shape[1], float(_quantile(apart, 0.8)) / now.shape[1]


def _quantile(values: Array, share: float) -> Array:
    """As numpy's along the first axis, which for few values takes ten times as long."""
    place = share * (len(values) - 1)
    low = int(place)
    ordered = np.sort(values, axis=0)
    return np.asarray(ordered[low] + (ordered[min(low + 1, len(values) - 1)] - ordered[low]) * np.float32(place - low))


def _moved_as_a_whole(shift: Array, before: Plane, now: Plane) -> bool:
    """Whether ``shift`` brings most parts of the picture closer to what they are now.

    On a plain ground most corners may lie on one thing that passes; what stands around it is then spoilt by its motion.
    """
    to = np.array([[1, 0, shift[0]], [0, 1, shift[1]]], np.float32)
    moved = cv2.warpAffine(before, to, now.shape[::-1], borderMode=cv2.BORDER_REPLICATE)
    apart = [cv2.resize(cv2.absdiff(one, now), _PARTS, interpolation=cv2.INTER_AREA) for one in (before, moved)]
    closer = apart[0].astype(np.int16) - apart[1]
    return bool((closer > 0).sum() >= (closer < 0).sum())


class SampleMeasures:
    """Twice a second: ``sharpness`` (variance of the Laplacian at full size, over the picture's own variance),
    ``edges`` (share of edge pixels), ``warmth`` and ``tint`` (mean Cr and Cb less 128), ``saturation``, ``clipped``
    (share of pure black and white), and ``layout``: mean Y, Cb, Cr of a 4 by 4 grid, which says how alike pictures are.
    """

    def __init__(self, rate: float = 2.0) -> None:
        self._due = _Every(rate)
        self._rows: list[Array] = []

    def push(self, frame: Frame) -> None:
        if self._due(frame.time):
            self._rows.append(np.concatenate([_measure_sample(frame), _layout(frame)]))

    def arrays(self) -> dict[str, Array]:
        """``sample_time`` and the measures by name, shape (samples,), and ``layout``, shape (samples, 48)."""
        table = np.array(self._rows, np.float32)
        names = ("sample_time", "sharpness", "edges", "warmth", "tint", "saturation", "clipped")
        return {name: table[:, i] for i, name in enumerate(names)} | {"layout": table[:, len(names) :]}


@dataclass(frozen=True, slots=True)
class Face:
    """A face at ``time`` seconds; its box as shares of the picture's width and height."""

    time: float
    x: float
    y: float
    width: float
    height: float
    smile: bool


@dataclass
class Faces:
    """Once a second: frontal faces and smiles (Viola and Jones 2001, the cascades that come with OpenCV)."""

    side: int = 480
    found: list[Face] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._due = _Every(1.0)
        self._face = _cascade("haarcascade_frontalface_default.xml")
        self._smile = _cascade("haarcascade_smile.xml")

    def push(self, frame: Frame) -> None:
        if not self._due(frame.time):
            return
        picture = frame.upright_luma(self.side)
        height, width = picture.shape
        smallest = max(24, round(0.06 * height))
        for x, y, w, h in self._face.detectMultiScale(picture, _FACE_STEP, 4, minSize=(smallest, smallest)):
            mouth = cv2.resize(picture[y + h // 2 : y + h, x : x + w], (96, 48))
            smile = len(self._smile.detectMultiScale(mouth, 1.3, 12, minSize=(28, 14))) > 0
            self.found.append(Face(float(frame.time), x / width, y / height, w / width, h / height, smile))


class FramePack:
    """One small JPEG a second, and at least one of every shot: for people, and for models that look at pictures."""

    def __init__(self) -> None:
        self._due = _Every(1.0)
        self._before: Plane | None = None
        self._last = Fraction(0)
        self._regular: list[Picture] = []
        self._extra: list[Picture] = []

    def push(self, frame: Frame) -> None:
        is_due = self._due(frame.time)
        if is_due:
            self._regular.append(_picture(frame))
        if frame.index % _LOOK:
            return
        before, self._before = self._before, _little(frame.luma)
        jumped = before is not None and _differ(before, self._before) > _JUMP
        if jumped and not is_due and frame.time - self._last >= _APART:
            self._last = frame.time
            self._extra.append(_picture(frame))

    def finish(self, info: MediaInfo, spans: Sequence[tuple[Fraction, Fraction]]) -> Pictures:
        """All pictures in order. ``spans`` are the shots' first moments, and those at which they have ended."""
        chosen = list(self._regular)
        for start, end in spans:
            if not any(start <= one.time < end for one in self._regular):
                inside = [one for one in self._extra if start <= one.time < end] or _looked_up(info, start, end)
                chosen += inside[:1]
        chosen.sort(key=lambda one: one.time)
        return Pictures(tuple((float(one.time), one.jpeg) for one in chosen), np.array(_are_new(chosen), np.float32))


@dataclass(frozen=True)
class Pictures:
    """Seconds and JPEG of each, and for each 1 where it differs from the last one before it that did, else 0."""

    pack: tuple[tuple[float, bytes], ...]
    new: Array


@dataclass(frozen=True)
class Picture:
    """A picture of the pack, with the little of its luma and chroma by which repeats are told."""

    time: Fraction
    jpeg: bytes
    tiny: Plane


def _picture(frame: Frame) -> Picture:
    tiny = np.concatenate([_little(plane) for plane in (frame.luma, frame.u, frame.v)])
    return Picture(frame.time, encode_jpeg(frame.bgr(PACK_SHORTER, PACK_LONGER), most=PACK_BYTES), tiny)


def _looked_up(info: MediaInfo, start: Fraction, end: Fraction) -> list[Picture]:
    """A picture from the middle of a short shot in which none was taken."""
    frame = frame_at(info, (start + end) / 2) or frame_at(info, start)
    return [_picture(frame)] if frame is not None and start <= frame.time < end else []


def _are_new(pictures: Sequence[Picture]) -> list[bool]:
    new, last = list[bool](), None
    for one in pictures:
        new.append(last is None or _is_another(last, one.tiny))
        last = one.tiny if new[-1] else last
    return new


def _little(plane: Plane) -> Plane:
    return np.asarray(cv2.resize(plane, _TINY, interpolation=cv2.INTER_AREA), np.uint8)


def _differ(one: Plane, other: Plane) -> float:
    return float(cv2.mean(cv2.absdiff(one, other))[0])


def _is_another(one: Plane, other: Plane) -> bool:
    """Whether something is to be seen in one picture that is not in the other, even if it is small."""
    return _differ(one, other) > _NOISE or float(cv2.absdiff(one, other).max()) > _SPOT


class _Every:
    """True for the first frame and then ``rate`` times a second."""

    def __init__(self, rate: float) -> None:
        self._step = Fraction(1) / Fraction(rate)
        self._next = Fraction(0)

    def __call__(self, time: Fraction) -> bool:
        if time < self._next:
            return False
        self._next = (time // self._step + 1) * self._step
        return True


def _measure_sample(frame: Frame) -> Array:
    full = frame.full_luma()
    deviation = float(cv2.meanStdDev(full)[1][0, 0])
    detail = float(cv2.meanStdDev(cv2.Laplacian(full, cv2.CV_16S))[1][0, 0])
    edges = np.count_nonzero(cv2.Canny(frame.luma, 60, 150)) / frame.luma.size
    u, v = (plane.astype(np.float32) - 128 for plane in (frame.u, frame.v))
    clipped = np.count_nonzero((frame.luma <= 18) | (frame.luma >= 233)) / frame.luma.size
    saturation = float(np.hypot(u, v).mean())
    sharpness = (detail / max(deviation, 1.0)) ** 2
    return np.array([frame.time, sharpness, edges, v.mean(), u.mean(), saturation, clipped], np.float32)


def _layout(frame: Frame) -> Array:
    cells = [
        cv2.resize(plane, _LAYOUT, interpolation=cv2.INTER_AREA).ravel() for plane in (frame.luma, frame.u, frame.v)
    ]
    return np.concatenate(cells).astype(np.float32)


@cache
def _cascade_file(name: str) -> str:
    return str(Path(cv2.__file__).parent / "data" / name)


def _cascade(name: str) -> cv2.CascadeClassifier:
    return cv2.CascadeClassifier(_cascade_file(name))
