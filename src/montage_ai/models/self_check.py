"""Whether a model on a device does what it should, found out before its first result is believed.

There are GPUs and drivers on which every picture gets the same vector, without any error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import cv2
import numpy as np

from montage_ai.errors import UnsuitedError
from montage_ai.models.captions import CaptionModel
from montage_ai.models.device import Device
from montage_ai.models.image_text import ImageTextModel, Picture, Vectors

_SIDE = 256
_KNOWN = {
    "a red circle": ("circle", (220, 30, 30)),
    "a green square": ("square", (30, 180, 40)),
    "a blue circle": ("circle", (30, 50, 220)),
    "a yellow square": ("square", (235, 215, 30)),
}
_ALIKE = 0.9999


def check_captions(model: CaptionModel) -> None:
    """Raises ``UnsuitedError`` where drawn pictures are all the same to a model, or it says the same of them all."""
    check_sight(model)
    said = model.captions([_drawn(*drawing) for drawing in _KNOWN.values()])
    if len(set(said)) == 1:
        wrong = f"it says {said[0]!r} of every picture" if said[0] else "it says nothing"
        raise UnsuitedError(f"The model does not work on {model.device.name}: {wrong}.", hint=_HINT)


class Sees(Protocol):
    """A model on a device that makes a vector of each picture, shape (pictures, width)."""

    device: Device

    def embed_images(self, pictures: Sequence[Picture]) -> Vectors: ...


def check_sight(model: Sees) -> Vectors:
    """The vectors of drawn pictures. Raises ``UnsuitedError`` where they are not numbers, or all the same."""
    pictures = model.embed_images([_drawn(*drawing) for drawing in _KNOWN.values()])
    check_vectors(pictures, model.device.name)
    return pictures


def check(model: ImageTextModel) -> None:
    """Raises ``UnsuitedError`` where drawn pictures get vectors that are not numbers or all the same, or where their
    descriptions are closer to others of them."""
    pictures = check_sight(model)
    texts = model.embed_texts(list(_KNOWN))
    if not np.array_equal((texts @ pictures.T).argmax(axis=1), np.arange(len(_KNOWN))):
        wrong = "it takes drawn pictures for others than are described"
        raise UnsuitedError(f"The model does not work on {model.device.name}: {wrong}.", hint=_HINT)


_HINT = "Choose another machine (--offload) or another model (--model)."


def check_vectors(vectors: Vectors, where: str) -> None:
    """Raises ``UnsuitedError`` for vectors of different pictures that are no unit vectors, or all the same."""
    if not np.isfinite(vectors).all() or (np.abs(np.linalg.norm(vectors, axis=1) - 1) > 0.01).any():
        raise UnsuitedError(f"The model does not work on {where}: what it makes are no vectors.", hint=_HINT)
    if len(vectors) > 1 and (vectors[1:] @ vectors[0] > _ALIKE).all():
        raise UnsuitedError(f"The model does not work on {where}: all pictures get the same vector.", hint=_HINT)


def _drawn(shape: str, colour: tuple[int, int, int]) -> Picture:
    picture = np.full((_SIDE, _SIDE, 3), 128, np.uint8)
    if shape == "circle":
        cv2.circle(picture, (_SIDE // 2, _SIDE // 2), _SIDE // 3, colour, -1)
    else:
        cv2.rectangle(picture, (_SIDE // 5, _SIDE // 5), (4 * _SIDE // 5, 4 * _SIDE // 5), colour, -1)
    return picture
