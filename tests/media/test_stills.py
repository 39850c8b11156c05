"""Pictures as JPEG: at the right size, and close to what they show."""

from __future__ import annotations

import av
import cv2
import numpy as np

from montage_ai.media.stills import encode_jpeg, still


def test_jpegs_are_close_to_the_picture() -> None:
    x, y = np.meshgrid(np.arange(160), np.arange(90))
    picture = cv2.cvtColor((128 + 60 * np.sin(x / 7) * np.cos(y / 9)).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    again = cv2.imdecode(np.frombuffer(encode_jpeg(picture), np.uint8), cv2.IMREAD_COLOR)
    assert np.abs(again.astype(int) - picture).mean() < 4


def test_a_frame_is_scaled_to_its_longer_side() -> None:
    for width, height, shape in ((640, 360, (36, 64)), (360, 640, (64, 36))):
        frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 90, np.uint8), "bgr24")
        picture = cv2.imdecode(np.frombuffer(still(frame, 64), np.uint8), cv2.IMREAD_GRAYSCALE)
        assert picture.shape == shape
        assert abs(picture.mean() - 90) < 2
