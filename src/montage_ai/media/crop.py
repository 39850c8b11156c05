"""The part of a coded picture that its container says is shown: the clean aperture of MOV, the pixel crop of Matroska.

FFmpeg's program crops by it since version 7.1, PyAV does not and hides what it says, so the program is asked, for the
few files that may say something.
"""

from __future__ import annotations

import re
from pathlib import Path

from montage_ai.media.ffmpeg import run_ffmpeg

Crop = tuple[int, int, int, int]
"""Pixels that are not shown: left, right, top, bottom."""

WHOLE: Crop = (0, 0, 0, 0)

_LARGEST_INDEX = 64_000_000  # bytes of an index that is searched
_MATROSKA_HEAD = 1_000_000
_PIXEL_CROPS = (b"\x54\xaa", b"\x54\xbb", b"\x54\xcc", b"\x54\xdd")  # bottom, top, left, right
_STREAM = re.compile(r"^  Stream #0:(\d+)")
_CROPPING = re.compile(r"Frame [Cc]ropping: (\d+)/(\d+)/(\d+)/(\d+)")  # top, bottom, left, right


def container_crop(path: Path, container: str, stream: int, width: int, height: int) -> Crop:
    """What the container says of stream number ``stream``, whose coded pictures are ``width`` by ``height`` pixels."""
    if not _may_crop(path, container):
        return WHOLE
    found = _dumped(path).get(stream, WHOLE)
    left, right, top, bottom = found
    return found if left + right < width and top + bottom < height else WHOLE


def _may_crop(path: Path, container: str) -> bool:
    if "mov" in container.split(","):
        return b"clap" in _index_of_mov(path)
    if "matroska" in container:
        with path.open("rb") as file:
            head = file.read(_MATROSKA_HEAD)
        return any(name in head for name in _PIXEL_CROPS)
    return False


def _index_of_mov(path: Path) -> bytes:
    """The content of the ``moov`` box, where all is said of a movie's tracks."""
    with path.open("rb") as file:
        position, end = 0, path.stat().st_size
        while position + 8 <= end:
            file.seek(position)
            head = file.read(16)
            size = int.from_bytes(head[:4], "big")
            if size == 1:
                size = int.from_bytes(head[8:16], "big")
            elif size == 0:
                size = end - position
            if head[4:8] == b"moov":
                file.seek(position)
                return file.read(min(size, _LARGEST_INDEX))
            if size < 8:
                break
            position += size
    return b""


def _dumped(path: Path) -> dict[int, Crop]:
    """What FFmpeg prints of each stream as it opens the file."""
    opening = ["-protocol_whitelist", "file,pipe", "-i", f"file:{path.absolute()}", "-map", "0:v", "-c", "copy"]
    crops, stream = dict[int, Crop](), -1
    for line in run_ffmpeg([*opening, "-t", "0", "-f", "null", "-"], about=path).splitlines():
        if (named := _STREAM.match(line)) is not None:
            stream = int(named[1])
        elif (said := _CROPPING.search(line)) is not None:
            top, bottom, left, right = map(int, said.groups())
            crops.setdefault(stream, (left, right, top, bottom))
    return crops
