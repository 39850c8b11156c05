"""Having a model read texts and look at pictures on this machine."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import islice
from pathlib import Path

import numpy as np
from pydantic import TypeAdapter

from montage_ai.events import Emit, StageDone, StageStarted, Tally, counted, ignore
from montage_ai.footage.library import Library
from montage_ai.models.image_text import ImageTextModel, Picture, Tower, Vectors

_LOADING, _READING = "Loading the model", "Reading descriptions"
_AT_ONCE = 8  # texts
_NUMBERS = TypeAdapter(list[float])


class Reader:
    """Has a model read texts and look at pictures on this machine.

    What it made of texts is remembered: the model is loaded, from where ``folder`` says, only for what is new.
    """

    def __init__(self, identity: str, folder: Callable[[], Path], library: Library, emit: Emit = ignore) -> None:
        self._identity, self._folder, self._library, self._emit = identity, folder, library, emit
        self._model: tuple[Tower, ImageTextModel] | None = None

    def texts(self, texts: Sequence[str]) -> Vectors:
        """A vector for each, shape (texts, width), float32."""
        known = {text: self._note(f"text {text}") for text in texts}
        new = [text for text, note in known.items() if note is None]
        if new:
            known |= self._read(new)
        return np.array([known[text] for text in texts], np.float32)

    def _read(self, texts: Sequence[str]) -> dict[str, list[float]]:
        model, made = self._loaded("texts"), dict[str, list[float]]()
        emit, started = self._emit if len(texts) > _AT_ONCE else ignore, time.monotonic()
        emit(StageStarted(_READING, float(len(texts)), "descriptions"))
        tally = Tally(emit, _READING)
        for some in _batches(texts):
            for text, vector in zip(some, model.embed_texts(some), strict=True):
                made[text] = [float(one) for one in vector]
                self._write(f"text {text}", made[text])
            tally.set(_READING, float(len(made)))
        emit(StageDone(_READING, time.monotonic() - started, counted(len(texts), "description")))
        return made

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
            self._model = tower, ImageTextModel(self._folder(), tower=tower)
            self._emit(StageDone(_LOADING, time.monotonic() - started))
        return self._model[1]

    def _note(self, about: str) -> list[float] | None:
        text = self._library.note("sight", self._digest(about), 1)
        return _NUMBERS.validate_json(text) if text else None

    def _write(self, about: str, numbers: Sequence[float]) -> None:
        self._library.write_note("sight", self._digest(about), 1, json.dumps(numbers))

    def _digest(self, about: str) -> str:
        return hashlib.sha256(f"{self._identity} {about}".encode()).hexdigest()


def _batches(texts: Sequence[str]) -> Iterator[list[str]]:
    rest = iter(texts)
    while some := list(islice(rest, _AT_ONCE)):
        yield some
