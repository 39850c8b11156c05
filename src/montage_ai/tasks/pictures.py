"""Pictures as they travel to a model: JPEGs in a zip that does not compress."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from montage_ai.errors import TaskError
from montage_ai.media.files import publishing
from montage_ai.models.image_text import Picture
from montage_ai.tasks.task import InputFile

AGAIN = "Run the command again."

_EPOCH = (1980, 1, 1, 0, 0, 0)
_LARGEST = 1_000_000  # bytes of a picture: what is larger was not made by us


def write_pack(folder: Path, jpegs: Sequence[bytes]) -> InputFile:
    """Write pictures as an input of tasks into ``folder``: the same pictures make the same file."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_STORED) as archive:
        for number, jpeg in enumerate(jpegs):
            archive.writestr(zipfile.ZipInfo(f"{number:06}.jpg", _EPOCH), jpeg)
    digest = hashlib.sha256(packed.getvalue()).hexdigest()
    path = folder / f"{digest[:32]}.zip"
    with publishing(path) as draft:
        draft.write_bytes(packed.getvalue())
    return InputFile(path=path, sha256=digest)


def read_pack(path: Path) -> Iterator[bytes]:
    """The JPEGs in a pack. Raises ``TaskError`` for what is none."""
    try:
        with zipfile.ZipFile(path) as archive:
            for name in sorted(archive.namelist()):
                if archive.getinfo(name).file_size > _LARGEST:
                    raise TaskError(f"holds a picture that is not ours ({name}).", file=path, hint=AGAIN)
                yield archive.read(name)
    except zipfile.BadZipFile as error:
        raise TaskError(f"is no pack of pictures ({error}).", file=path, hint=AGAIN) from error


def read_picture(jpeg: bytes) -> Picture:
    """The picture, RGB. Raises ``TaskError`` for what is none."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if picture is None:
        raise TaskError("A picture cannot be decoded.", hint=AGAIN)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def read_pictures(path: Path, at_once: int) -> Iterator[list[Picture]]:
    """The pictures in a pack, ``at_once`` of them together. Raises ``TaskError`` for what is none."""
    jpegs = read_pack(path)
    while some := list(islice(jpegs, at_once)):
        yield [read_picture(jpeg) for jpeg in some]
