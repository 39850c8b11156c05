"""Photos: read upright, whatever their EXIF orientation says."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np

from montage_ai.errors import MediaError
from montage_ai.media.decode import Plane


def read_photo(path: Path) -> Plane:
    """The photo as (height, width, 3) BGR, 8 bit, turned upright.

    Raises ``MediaError`` where it cannot be decoded.
    """
    picture = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR) if path.stat().st_size else None
    if picture is None:
        raise MediaError("cannot be decoded as a photo.", file=path, hint="It may be damaged: save it again.")
    return picture.astype(np.uint8, copy=False)
