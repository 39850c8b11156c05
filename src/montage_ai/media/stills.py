"""Still pictures as JPEG: of arrays, and taken from a video."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
from av.video.reformatter import Interpolation

from montage_ai.media.decode import Plane
from montage_ai.media.probe import open_media

_QUALITY = 82


def encode_jpeg(picture: Plane) -> bytes:
    """``picture`` (BGR) as JPEG of good quality."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()


class Stills:
    """Takes pictures from the video at ``path``, one open for all; used as a context manager."""

    def __init__(self, path: Path, side: int = 256) -> None:
        self._container = open_media(path)
        self._stream = self._container.streams.video[0]
        self._side = side

    def __enter__(self) -> Stills:
        return self

    def __exit__(self, *_: object) -> None:
        self._container.close()

    def at(self, seconds: Fraction) -> bytes | None:
        """The frame on screen at ``seconds``, its longer side scaled to ``side`` pixels; None behind the end.

        It costs the decoding from the key frame before.
        """
        base = self._stream.time_base or Fraction(1, 90_000)
        wanted = int(seconds / base)
        self._container.seek(wanted, stream=self._stream)
        for frame in self._container.decode(self._stream):
            if frame.pts is not None and frame.pts + (frame.duration or 1) > wanted:
                scale = self._side / max(frame.width, frame.height)
                width, height = (max(2, round(length * scale)) for length in (frame.width, frame.height))
                small = frame.reformat(width, height, "bgr24", interpolation=Interpolation.AREA)
                return encode_jpeg(small.to_ndarray().astype(np.uint8, copy=False))
        return None
