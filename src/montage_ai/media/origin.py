"""When and where a file was taken, as cameras write it down."""

from __future__ import annotations

import logging
import re
import warnings
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

Location = tuple[float, float]
"""Degrees of latitude and longitude (WGS 84), north and east positive."""

_ISO_6709 = re.compile(r"(?P<latitude>[+-]\d{2}(?:\.\d+)?)(?P<longitude>[+-]\d{3}(?:\.\d+)?)")
_NAMES = ("com.apple.quicktime.location.ISO6709", "location", "location-eng")

_EXIF, _GPS = 0x8769, 0x8825  # EXIF 2.3: the tags' numbers
_TAKEN, _OFFSET = 0x9003, 0x9011
_LATITUDE_SIDE, _LATITUDE, _LONGITUDE_SIDE, _LONGITUDE = 1, 2, 3, 4


def video_location(metadata: Mapping[str, str]) -> Location | None:
    """From a container's metadata, where phones write it as ISO 6709 (``+48.8577+002.2950/``)."""
    for name in _NAMES:
        if found := _ISO_6709.match(metadata.get(name, "")):
            return _checked(float(found["latitude"]), float(found["longitude"]))
    return None


def video_taken(metadata: Mapping[str, str]) -> str | None:
    """From a container's metadata."""
    return _as_iso(metadata.get("creation_time", "").partition(";")[0])  # FFmpeg joins what is said twice


def moment_of(taken: str) -> datetime:
    """When that was, on the clock of the world: cameras that name no zone are taken to be in this machine's."""
    return datetime.fromisoformat(taken).astimezone(UTC)


def photo_origin(path: Path) -> tuple[str | None, Location | None]:
    """From a photo's EXIF: when (ISO 8601) and where it was taken."""
    from PIL import Image, UnidentifiedImageError  # only for photos

    logging.getLogger("PIL").setLevel(logging.CRITICAL)
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as photo:  # it warns of large photos, too
            exif = photo.getexif()
            return _taken(exif.get_ifd(_EXIF)), _place(exif.get_ifd(_GPS))
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None, None  # of another kind, or damaged: a photo is one without its EXIF, too


def _taken(exif: Mapping[int, Any]) -> str | None:
    date, _, time = str(exif.get(_TAKEN, "")).partition(" ")
    return _as_iso(f"{date.replace(':', '-')}T{time}{exif.get(_OFFSET, '')}".strip())


def _as_iso(text: str) -> str | None:
    """ISO 8601, if it says a day and a time."""
    try:
        return datetime.fromisoformat(text).isoformat() if "T" in text else None
    except ValueError:
        return None


def _place(gps: Mapping[int, Any]) -> Location | None:
    try:
        return _checked(
            _degrees(gps[_LATITUDE]) * (-1 if gps.get(_LATITUDE_SIDE) == "S" else 1),
            _degrees(gps[_LONGITUDE]) * (-1 if gps.get(_LONGITUDE_SIDE) == "W" else 1),
        )
    except (KeyError, TypeError, ValueError, ZeroDivisionError):
        return None


def _degrees(parts: Sequence[Any]) -> float:
    degrees, minutes, seconds = (float(part) for part in parts)
    return degrees + minutes / 60 + seconds / 3600


def _checked(latitude: float, longitude: float) -> Location | None:
    """Nowhere, and the point that devices write which do not know it, are no places."""
    is_somewhere = abs(latitude) <= 90 and abs(longitude) <= 180 and (latitude, longitude) != (0, 0)
    return (latitude, longitude) if is_somewhere else None
