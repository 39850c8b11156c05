"""What pictures show, as vectors of a model of pictures and words."""

from __future__ import annotations

import hashlib
import io
import zipfile
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
from pydantic import Field

from montage_ai import config
from montage_ai.errors import TaskError, VerificationError
from montage_ai.events import counted
from montage_ai.media.files import publishing
from montage_ai.models.image_text import ImageTextModel, Picture
from montage_ai.models.library import PACKAGES, torch
from montage_ai.parallel import share
from montage_ai.tasks.task import InputFile, Line, Needs, OnFraction, Payload, Prior, Task, Variant, Work
from montage_ai.tasks.weights import Weights

VECTORS = "vectors.f16"

_FRAMES = "frames"
_WIDTH = 1024  # of a vector, at most, for all that is known beforehand
_TOLD = 16  # pictures between two words of how far it is
_EPOCH = (1980, 1, 1, 0, 0, 0)
_LARGEST = 1_000_000  # bytes of a picture: what is larger was not made by us
_AGAIN = "Run the command again."


class Embed(Task):
    """A vector for each of the ``count`` pictures of ``pack``, a zip of JPEGs (see ``write_pack``), in their order.

    ``effort`` is what the model does for a picture, in GFLOP. The output ``vectors.f16`` holds rows of float16, each of
    length 1; ``data`` says of how many numbers (``width``).
    """

    name: ClassVar = "embed"
    version: ClassVar = 1
    needs: ClassVar = Needs(packages=PACKAGES, processors=2, memory=2.0)

    pack: InputFile
    count: int = Field(ge=1)
    weights: Weights
    effort: float = Field(gt=0)

    @classmethod
    def priors(cls) -> dict[str, Prior]:
        return {Only.name: Only.prior}

    def variants(self) -> tuple[Variant, ...]:
        return (Only(self),)

    def inputs(self) -> tuple[InputFile, ...]:
        return (self.pack, *(one.file for one in self.weights.files))

    @property
    def about(self) -> str:
        return counted(self.count, "picture")


class Only(Variant):
    """The one way: the pack travels as it is."""

    name = "only"
    prior = Prior(Line(6.0, 0.02))

    def __init__(self, task: Embed) -> None:
        self.task = task

    @property
    def work(self) -> Work:
        count, size = self.task.count, self.task.pack.path.stat().st_size
        return Work(up=size + self.task.weights.size, units=count * self.task.effort, down=2 * _WIDTH * count)

    def prepare(self, folder: Path) -> Payload:
        return Payload(files={_FRAMES: self.task.pack.path, **self.task.weights.payload()})

    def compute(self, payload: Payload, folder: Path, on_fraction: OnFraction) -> Payload:
        model = _model(self.task.weights, payload, folder)
        rows = []
        for jpegs in _some_at_once(read_pack(payload.files[_FRAMES])):
            rows.append(model.embed_images([read_picture(jpeg) for jpeg in jpegs]))
            on_fraction(min(_TOLD * len(rows) / self.task.count, 1.0))
        vectors = np.concatenate(rows).astype(np.float16)
        if len(vectors) != self.task.count:
            raise TaskError(f"There are {len(vectors)} pictures, not {self.task.count}.", hint=_AGAIN)
        path = folder / VECTORS
        path.write_bytes(vectors.tobytes())
        return Payload(files={VECTORS: path}, data={"width": vectors.shape[1]})

    def finish(self, payload: Payload, folder: Path) -> Payload:
        read_vectors(payload, self.task.count)
        return payload


def write_pack(folder: Path, jpegs: Sequence[bytes]) -> InputFile:
    """Write pictures as the input of ``Embed`` into ``folder``: the same pictures make the same file."""
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
                    raise TaskError(f"holds a picture that is not ours ({name}).", file=path, hint=_AGAIN)
                yield archive.read(name)
    except zipfile.BadZipFile as error:
        raise TaskError(f"is no pack of pictures ({error}).", file=path, hint=_AGAIN) from error


def read_picture(jpeg: bytes) -> Picture:
    """The picture, RGB. Raises ``TaskError`` for what is none."""
    picture = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if picture is None:
        raise TaskError("A picture cannot be decoded.", hint=_AGAIN)
    return np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)


def read_vectors(outputs: Payload, count: int) -> np.ndarray[Any, np.dtype[np.float16]]:
    """The vectors of ``count`` pictures, shape (count, width), from the task's outputs.

    They may come from another machine: raises ``VerificationError`` for what is not that.
    """
    path, width = outputs.files.get(VECTORS), outputs.data.get("width")
    if path is None or not isinstance(width, int) or width <= 0 or path.stat().st_size != 2 * width * count:
        raise VerificationError(f"The vectors are not those of {count} pictures.", file=path)
    found = np.fromfile(path, np.float16).reshape(count, width)
    lengths = np.linalg.norm(found.astype(np.float32), axis=1)
    if not np.isfinite(lengths).all() or (np.abs(lengths - 1) > 0.01).any():
        raise VerificationError("The vectors are not of length 1.", file=path)
    return found


_loaded: dict[str, Any] = {}
"""The model of the job before, in a worker that stays warm."""


def _model(weights: Weights, payload: Payload, folder: Path) -> Any:
    """The model on this machine's best device, checked there once before anything it says is believed."""
    from montage_ai.models.device import best_device
    from montage_ai.models.self_check import check

    torch().set_num_threads(share())
    if weights.identity not in _loaded:
        place, device = weights.lay_out(payload.files, folder), best_device()
        surroundings = f"{weights.identity} {device.name} {torch().__version__}"
        mark = config.cache_dir() / "checked" / hashlib.sha256(surroundings.encode()).hexdigest()
        if not mark.exists():
            check(ImageTextModel(place, device))
            mark.parent.mkdir(parents=True, exist_ok=True)
            mark.touch()
        _loaded.clear()
        _loaded[weights.identity] = ImageTextModel(place, device, tower="images")
    return _loaded[weights.identity]


def _some_at_once(jpegs: Iterator[bytes]) -> Iterator[list[bytes]]:
    while some := list(islice(jpegs, _TOLD)):
        yield some
