"""Still pictures as JPEG."""

from __future__ import annotations

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation

from montage_ai.media.photos import Plane

_QUALITIES = (82, 70, 55, 40, 25)


def encode_jpeg(picture: Plane, most: int | None = None) -> bytes:
    """``picture`` (BGR) as JPEG: of good quality, or of as good a one, and as large, as ``most`` bytes allow."""
    for quality in _QUALITIES:
        data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
        if most is None or len(data) <= most or max(picture.shape) < 4:
            return data
    half = cv2.resize(picture, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
    return encode_jpeg(np.asarray(half, np.uint8), most)


def still(frame: av.VideoFrame, side: int = 256) -> bytes:
    """A decoded frame as JPEG, its longer side scaled to ``side`` pixels."""
    scale = side / max(frame.width, frame.height)
    width, height = (max(2, round(length * scale)) for length in (frame.width, frame.height))
    small = frame.reformat(width, height, "bgr24", interpolation=Interpolation.AREA)
    return encode_jpeg(small.to_ndarray().astype(np.uint8, copy=False))
