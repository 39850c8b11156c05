"""What pictures show, as vectors of a model of pictures and words."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from montage_ai.errors import TaskError, VerificationError
from montage_ai.models.image_text import ImageTextModel
from montage_ai.models.library import PACKAGES
from montage_ai.models.self_check import check
from montage_ai.tasks.pictures import AGAIN, FRAMES, PackTravels, PictureTask, read_pictures
from montage_ai.tasks.ready import ready
from montage_ai.tasks.task import Line, Needs, OnFraction, Payload, Prior, Promise, Variant

VECTORS = "vectors.f16"

_WIDEST = 4096  # numbers of a vector
_TOLD = 16  # pictures between two words of how far it is


class Embed(PictureTask):
    """A vector for each picture. The output ``vectors.f16`` holds rows of float16, each of length 1, in their order;
    ``data`` says of how many numbers (``width``)."""

    name: ClassVar = "embed"
    version: ClassVar = 1
    needs: ClassVar = Needs(packages=PACKAGES, processors=2, memory=2.0)

    bytes_each: ClassVar = 2 * 1024  # of a vector, at most

    @classmethod
    def priors(cls) -> dict[str, Prior]:
        return {Only.name: Only.prior}

    def variants(self) -> tuple[Variant, ...]:
        return (Only(self),)


class Only(PackTravels):
    """The one way to do it."""

    prior = Prior(Line(6.0, 0.02))

    def compute(self, payload: Payload, folder: Path, on_fraction: OnFraction) -> Payload:
        model = ready(
            self.task.name,
            self.task.weights,
            payload.files,
            folder,
            load=lambda place, device: ImageTextModel(place, device, tower="images"),
            check=lambda place, device: check(ImageTextModel(place, device)),
        )
        rows = []
        for pictures in read_pictures(payload.files[FRAMES], _TOLD):
            rows.append(model.embed_images(pictures))
            on_fraction(min(_TOLD * len(rows) / self.task.count, 1.0))
        vectors = np.concatenate(rows).astype(np.float16)
        if len(vectors) != self.task.count:
            raise TaskError(f"There are {len(vectors)} pictures, not {self.task.count}.", hint=AGAIN)
        path = folder / VECTORS
        path.write_bytes(vectors.tobytes())
        return Payload(files={VECTORS: path}, data={"width": vectors.shape[1]})

    @property
    def promise(self) -> Promise:
        return Promise(frozenset({VECTORS}), 2 * _WIDEST * self.task.count)

    def check(self, computed: Payload) -> None:
        read_vectors(computed, self.task.count)

    def finish(self, payload: Payload, folder: Path) -> Payload:
        return payload


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
