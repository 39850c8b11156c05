"""Models of pictures and words as they are named, a local folder or a repository of the hub, and asked."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from montage_ai.errors import MissingExtraError, TaskError, UserError
from montage_ai.events import Emit, StageDone, StageStarted, ignore
from montage_ai.footage.library import Library
from montage_ai.footage.vectors import KnownModel
from montage_ai.models.image_text import ImageTextModel, Picture, Tower, Vectors, effort
from montage_ai.models.library import EXTRA, is_installed
from montage_ai.parallel import memory
from montage_ai.tasks.task import InputFile
from montage_ai.tasks.weights import WeightFile, Weights, fetched, kept, loaded_names, model_config

DEFAULT, SMALL = "google/siglip2-base-patch16-256", "openai/clip-vit-base-patch32"
_ENOUGH = 6.0  # gigabytes of memory for the default

_LOADING = "Loading the model"
_NUMBERS = TypeAdapter(list[float])


@dataclass(frozen=True)
class Sight:
    """A model. ``name`` is what its user calls it, ``folder`` where it lies on this machine."""

    name: str
    weights: Weights
    folder: Path

    @property
    def effort(self) -> float:
        """See ``Embed``."""
        return effort(model_config(self.folder))


def default_name(library: Library) -> str:
    """The model that was used last, else one that fits into this machine's memory."""
    used = library.vectors.models()
    return used[0].name if used else DEFAULT if memory() >= _ENOUGH else SMALL


def find_sight(name: str, library: Library, emit: Emit = ignore) -> Sight:
    """The model called ``name``: a folder, or ``OWNER/NAME`` or ``OWNER/NAME@REVISION`` on the hub, fetched once.

    Raises ``UserError``, ``MissingExtraError``, and ``UnsuitedError`` where it cannot be fetched.
    """
    if not is_installed():
        raise MissingExtraError("Models need PyTorch and Transformers, which are not installed.", hint=EXTRA)
    folder = Path(name).expanduser()
    if folder.is_dir():
        return Sight(name, Weights(files=_files(folder, library)), folder)
    if name.count("/") != 1 or folder.exists():
        hint = f"Name a folder, or a model of the Hugging Face hub like {DEFAULT}."
        raise UserError("is no model.", file=name, hint=hint)
    repository, _, revision = name.partition("@")
    place = kept(repository, revision or "main")
    if place is None:
        emit(StageStarted(f"Fetching {repository}"))
        started = time.monotonic()
        place = fetched(repository, revision or "main")
        emit(StageDone(f"Fetching {repository}", time.monotonic() - started))
    return Sight(name, Weights(repository=repository, revision=place.name), place)


def known_sight(known: KnownModel) -> Sight:
    """A model that has seen something, as it was then. Raises ``UserError`` where it is not there any more."""
    weights = Weights.model_validate_json(known.weights)
    folder = weights.files[0].file.path.parent if weights.files else kept(weights.repository, weights.revision)
    if folder is None or not folder.is_dir():
        hint = "Put it back, or index with another one: montage-ai index FOOTAGE --model ..."
        raise UserError("The model that has seen the footage is not there any more.", file=known.name, hint=hint)
    return Sight(known.name, weights, folder)


class Reader:
    """Has a model read texts and look at pictures on this machine. What it made of texts is remembered."""

    def __init__(self, sight: Sight, library: Library, emit: Emit = ignore) -> None:
        self._sight, self._library, self._emit = sight, library, emit
        self._model: tuple[Tower, ImageTextModel] | None = None

    def texts(self, texts: Sequence[str]) -> Vectors:
        """A vector for each, shape (texts, width), float32."""
        known = [self._note(f"text {text}") for text in texts]
        new = [text for text, note in zip(texts, known, strict=True) if note is None]
        if new:
            made = iter(self._loaded("texts").embed_texts(new))
            for number, text in enumerate(texts):
                if known[number] is None:
                    known[number] = [float(one) for one in next(made)]
                    self._write(f"text {text}", known[number])
        return np.array(known, np.float32)

    def picture(self, picture: Picture) -> Vectors:
        """Its vector, shape (width,)."""
        vector: Vectors = self._loaded("images").embed_images([picture])[0]
        return vector

    @property
    def scale(self) -> float:
        """See ``ImageTextModel``."""
        known = self._note("scale")
        if known is None:
            known = [self._loaded("texts").scale]
            self._write("scale", known)
        return known[0]

    def _loaded(self, tower: Tower) -> ImageTextModel:
        if self._model is None or self._model[0] != tower:
            started = time.monotonic()
            self._emit(StageStarted(_LOADING))
            self._model = tower, ImageTextModel(self._sight.folder, tower=tower)
            self._emit(StageDone(_LOADING, time.monotonic() - started))
        return self._model[1]

    def _note(self, about: str) -> list[float] | None:
        text = self._library.note("sight", self._digest(about), 1)
        return _NUMBERS.validate_json(text) if text else None

    def _write(self, about: str, numbers: Sequence[float] | None) -> None:
        self._library.write_note("sight", self._digest(about), 1, json.dumps(numbers))

    def _digest(self, about: str) -> str:
        return hashlib.sha256(f"{self._sight.weights.identity} {about}".encode()).hexdigest()


def _files(folder: Path, library: Library) -> tuple[WeightFile, ...]:
    names = loaded_names([path.name for path in folder.iterdir() if path.is_file()])
    if "config.json" not in names:
        raise UserError("holds no model.", file=folder, hint="Name a folder as `save_pretrained` writes it.")
    try:
        return tuple(
            WeightFile(name=one, file=InputFile(path=folder.absolute() / one, sha256=library.digest(folder / one)))
            for one in names
        )
    except OSError as error:
        raise TaskError(f"cannot be read ({error.strerror}).", file=folder) from error
