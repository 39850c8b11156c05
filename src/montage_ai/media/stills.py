"""Still pictures as JPEG."""

from __future__ import annotations

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation

from montage_ai.media.decode import Plane

_QUALITY = 82


def encode_jpeg(picture: Plane) -> bytes:
    """``picture`` (BGR) as JPEG of good quality."""
    _, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    return data.tobytes()


def still(frame: av.VideoFrame, side: int = 256) -> bytes:
    """A decoded frame as JPEG, its longer side scaled to ``side`` pixels."""
    scale = side / max(frame.width, frame.height)
    width, height = (max(2, round(length * scale)) for length in (frame.width, frame.height))
    small = frame.reformat(width, height, "bgr24", interpolation=Interpolation.AREA)
    return encode_jpeg(small.to_ndarray().astype(np.uint8, copy=False))
