"""Tasks of models that look at pictures, and how these travel: JPEGs in a zip that does not compress."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import ClassVar

import cv2
import numpy as np
from pydantic import Field

from montage_ai.errors import TaskError
from montage_ai.events import counted
from montage_ai.media.files import publishing
from montage_ai.models.image_text import Picture
from montage_ai.tasks.task import InputFile, Payload, Task, Variant, Work
from montage_ai.tasks.weights import Weights

FRAMES = "frames"
"""The pack in a payload."""

AGAIN = "Run the command again."

_EPOCH = (1980, 1, 1, 0, 0, 0)
_LARGEST = 1_000_000  # bytes of a picture: what is larger was not made by us


class PictureTask(Task):
    """What a model makes of each of the ``count`` pictures of ``pack`` (see ``write_pack``), in their order.

    ``effort`` is what the model does to look at a picture, in GFLOP; ``bytes_each`` about what it makes of one.
    """

    bytes_each: ClassVar[int]

    pack: InputFile
    count: int = Field(ge=1)
    weights: Weights
    effort: float = Field(gt=0)

    def inputs(self) -> tuple[InputFile, ...]:
        return (self.pack, *(one.file for one in self.weights.files))

    @property
    def about(self) -> str:
        return counted(self.count, "picture")


class PackTravels(Variant):
    """The one way: the pack travels as it is, and files of the model with it."""

    name = "only"

    def __init__(self, task: PictureTask) -> None:
        self.task = task

    @property
    def work(self) -> Work:
        task, size = self.task, self.task.pack.path.stat().st_size
        return Work(up=size + task.weights.size, units=task.count * task.effort, down=task.bytes_each * task.count)

    def prepare(self, folder: Path) -> Payload:
        return Payload(files={FRAMES: self.task.pack.path, **self.task.weights.payload()})


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
