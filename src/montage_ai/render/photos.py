"""A photo as a short video with its slow move, drawn to a fraction of a pixel (FFmpeg's zoompan takes whole ones)."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from montage_ai.edit.timeline import Item, Move
from montage_ai.isolation import isolated
from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.files import publishing
from montage_ai.media.photos import Plane, read_photo
from montage_ai.media.probe import Colour, MediaInfo, VideoStream
from montage_ai.paths import AnyPath
from montage_ai.render.encoding import time_arguments, timescale
from montage_ai.render.layers import Canvas

_VERSION = 2

Point = tuple[float, float]
"""Shares of a picture's width and height."""

_WHOLE_BELOW = 0.62  # as for videos: a much narrower photo is shown whole over a blurred copy


@dataclass(frozen=True)
class PhotoFilm:
    """A photo's item as a video, with ``before`` and ``after`` more frames at its ends.

    It begins ``before`` frames before the item. It is lossless, so that the film's one lossy encode stays its only one,
    and so large that it is only there while a segment is made of it.
    """

    item: Item
    canvas: Canvas
    before: int
    after: int
    folder: Path

    @property
    def digest(self) -> str:
        """A digest of all that its pixels depend on."""
        item, canvas = self.item, self.canvas
        move = item.move.model_dump(mode="json") if item.move else None
        parts = [_VERSION, item.clip.sha256, move, item.focus, item.frames, self.before, self.after]
        size = [canvas.width, canvas.height, str(canvas.fps)]
        return hashlib.sha256(json.dumps([*parts, *size]).encode()).hexdigest()

    @property
    def info(self) -> MediaInfo:
        """The video's headers, also while it is not there."""
        width, height, fps = self.canvas.width, self.canvas.height, self.canvas.fps
        video = VideoStream(
            codec="h264",
            coded_width=width,
            coded_height=height,
            sample_aspect=Fraction(1),
            rotation=0,
            width=width,
            height=height,
            fps=fps,
            time_base=1 / Fraction(timescale(fps)),
            first_pts=0,
            offset=Fraction(0),
            frames=self.before + self.item.frames + self.after,
            bit_depth=8,
            alpha=False,
            colour=Colour(matrix=1, primaries=1, transfer=1),
        )
        path = self.folder / f"{self.digest}.mp4"
        seconds = float(video.frames / fps)
        return MediaInfo(
            path=path, kind="video", container="mov,mp4", duration=seconds, bit_rate=0, video=video, audio=None
        )

    def make(self) -> None:
        """Draw it. Raises ``MediaError`` for a photo that cannot be decoded."""
        _draw(self.item, self.canvas, self.before, self.after, self.info.path)


@isolated(memory=1.5, silence=600.0)
def _draw(item: Item, canvas: Canvas, before: int, after: int, path: AnyPath) -> None:
    move = item.move or Move(zoom=(1.0, 1.0))
    backdrop, at = _fill_frame(read_photo(item.clip.path), canvas, item.focus, max(move.zoom))
    move = move.model_copy(update={"start": at(move.start), "end": at(move.end)})
    shares = (np.arange(-before, item.frames + after) / max(item.frames - 1, 1)).clip(0, 1)
    with publishing(path, durable=False) as draft:
        run_ffmpeg(_arguments(canvas, draft), feed=_frames(backdrop, canvas, move, shares), about=item.clip.path)


def _arguments(canvas: Canvas, output: Path) -> list[str]:
    size, rate = f"{canvas.width}x{canvas.height}", f"{canvas.fps.numerator}/{canvas.fps.denominator}"
    return [
        *("-loglevel", "error", "-f", "rawvideo", "-pix_fmt", "bgr24", "-video_size", size, "-framerate", rate),
        *("-i", "pipe:0", "-vf", "scale=out_color_matrix=bt709:out_range=tv", "-pix_fmt", "yuv444p"),
        *("-colorspace", "bt709", "-color_primaries", "bt709", "-color_trc", "bt709", "-color_range", "tv"),
        *("-c:v", "libx264", "-preset", "ultrafast", "-qp", "0", *time_arguments(canvas.fps), f"file:{output}"),
    ]


def _fill_frame(photo: Plane, canvas: Canvas, focus: Point, zoom: float) -> tuple[Plane, Callable[[Point], Point]]:
    """The photo in the film's shape, as large as the closest view needs; and where a point of the photo is then."""
    height, width = photo.shape[:2]
    target = (round(canvas.width * zoom), round(canvas.height * zoom))
    ratio = (width / height) / (canvas.width / canvas.height)
    if ratio < _WHOLE_BELOW:
        shown = ratio  # of the width; all of the height
        return _over_blur(photo, target), lambda point: (0.5 + (point[0] - 0.5) * shown, point[1])
    crop_w, crop_h = (width / ratio, height) if ratio > 1 else (width, height * ratio)
    x = min(max(focus[0] * width - crop_w / 2, 0), width - crop_w)
    y = min(max(focus[1] * height - crop_h / 2, 0), height - crop_h)
    cropped = _resize(photo[round(y) : round(y + crop_h), round(x) : round(x + crop_w)], target)
    return cropped, lambda point: ((point[0] * width - x) / crop_w, (point[1] * height - y) / crop_h)


def _over_blur(photo: Plane, target: tuple[int, int]) -> Plane:
    width, height = target
    scale = min(width / photo.shape[1], height / photo.shape[0])
    whole = _resize(photo, (max(1, int(photo.shape[1] * scale)), max(1, int(photo.shape[0] * scale))))
    middle = photo[int(photo.shape[0] * 0.3) : int(photo.shape[0] * 0.7) + 1]
    small = cv2.GaussianBlur(cv2.resize(middle, (width // 8 + 1, height // 8 + 1)), (0, 0), 6)
    back = (cv2.resize(small, target) * 0.9).astype(np.uint8)
    x, y = (width - whole.shape[1]) // 2, (height - whole.shape[0]) // 2
    back[y : y + whole.shape[0], x : x + whole.shape[1]] = whole
    return back


def _frames(backdrop: Plane, canvas: Canvas, move: Move, shares: NDArray[np.float64]) -> Iterator[bytes]:
    """One view after the other, eased at both ends."""
    height, width = backdrop.shape[:2]
    for share in shares:
        eased = share * share * (3 - 2 * share)
        zoom = move.zoom[0] + (move.zoom[1] - move.zoom[0]) * eased
        centre = [a + (b - a) * eased for a, b in zip(move.start, move.end, strict=True)]
        scale = canvas.width * zoom / width  # film pixels a photo pixel
        half_w, half_h = canvas.width / 2 / scale, canvas.height / 2 / scale
        x = min(max(centre[0] * width, half_w), width - half_w)
        y = min(max(centre[1] * height, half_h), height - half_h)
        view = np.array([[scale, 0, canvas.width / 2 - scale * x], [0, scale, canvas.height / 2 - scale * y]])
        yield cv2.warpAffine(
            backdrop, view, (canvas.width, canvas.height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        ).tobytes()


def _resize(picture: Plane, target: tuple[int, int]) -> Plane:
    shrinks = target[0] < picture.shape[1]
    resized = cv2.resize(picture, target, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC)
    return resized.astype(np.uint8, copy=False)
