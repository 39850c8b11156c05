"""What a model is to tell of every picture: vocabularies of labels, shipped as data and extended by the user's own."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Annotated

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator
from scipy.special import softmax

from montage_ai import config
from montage_ai.errors import ConfigError
from montage_ai.footage.search.nearest import products
from montage_ai.footage.search.seen import Seen

Series = NDArray[np.float64]

_FOLDER = "vocabularies"
_PLACE = "{}"


class Labels(BaseModel):
    """A vocabulary: a picture shows one of ``labels`` (a name, and what it looks like in words), or none.

    See ``vocabularies/scenes.toml`` for the rest.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    labels: Mapping[str, str] = Field(min_length=1)
    templates: tuple[str, ...] = Field(("a photo of {}",), min_length=1)
    least: float = Field(0.3, ge=0, le=1)
    most: int = Field(3, ge=1)
    moods: bool = False
    intensity: Mapping[str, Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]] = {}

    @field_validator("templates")
    @classmethod
    def _with_a_place(cls, templates: tuple[str, ...]) -> tuple[str, ...]:
        if any(_PLACE not in one for one in templates):
            raise ValueError("each must hold {}")
        return templates

    @model_validator(mode="after")
    def _known(self) -> Labels:
        if unknown := [name for name in self.intensity if name not in self.labels]:
            raise ValueError(f"intensity: {unknown[0]!r} is no label")
        return self

    def chosen(self, probabilities: Series) -> dict[str, float]:
        """The labels of pictures (see ``ZeroShot``) that are sure enough on average, the surest first."""
        means = dict(zip(self.labels, probabilities.mean(axis=0), strict=True)) if len(probabilities) else {}
        sure = sorted((name for name, mean in means.items() if mean >= self.least), key=lambda name: -means[name])
        return {name: float(means[name]) for name in sure[: self.most]}


class ZeroShot:
    """Tells which of ``labels`` pictures show that were ``seen``, from the labels' names alone (A. Radford et al.,
    ICML 2021)."""

    def __init__(self, labels: Labels, seen: Seen) -> None:
        self.labels, self._seen = labels, seen
        names = list(labels.labels.values())
        texts = [template.replace(_PLACE, name) for name in names for template in labels.templates]
        mean = seen.reader.texts(texts).reshape(len(names), len(labels.templates), -1).mean(axis=1)
        self._vectors = mean / np.maximum(np.linalg.norm(mean, axis=1, keepdims=True), 1e-9)

    def probabilities(self, rows: NDArray[np.int64]) -> Series:
        """How surely each picture (its row in ``Seen``) shows each label, shape (rows, labels).

        One of all is there, or none: "none" fits as well as descriptions of any picture do, and is beforehand as
        likely as all labels together.
        """
        fits = products(self._seen.matrix[rows], self._vectors).astype(np.float64)
        odds = self._seen.reader.scale * (fits - self._seen.usual)
        none = np.full((len(rows), 1), np.log(len(self.labels.labels)))
        return np.asarray(softmax(np.concatenate([odds, none], axis=1), axis=1)[:, :-1])


def load_labels() -> dict[str, Labels]:
    """The shipped vocabularies by name, and the user's own in their place or beside them. Raises ``ConfigError``."""
    own = config.settings_dir() / _FOLDER
    files = [*resources.files(__package__).joinpath(_FOLDER).iterdir(), *(own.iterdir() if own.is_dir() else ())]
    named = {Path(file.name).stem: file for file in files if file.name.endswith(".toml")}
    return {name: _read(file) for name, file in sorted(named.items())}


def _read(file: Traversable) -> Labels:
    try:
        return Labels.model_validate(tomllib.loads(file.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot be read ({error}).", file=str(file), hint="Repair it.") from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        told = fault["msg"].removeprefix("Value error, ").lower()
        raise ConfigError(f"{': '.join(filter(None, [where, told]))}.", file=str(file), hint="Change it.") from error


def intensity(asked: Sequence[ZeroShot], rows: NDArray[np.int64]) -> tuple[Series, Series]:
    """How intense the mood of each picture is, 0 to 1, and how surely it has a mood that is, shape (rows,)."""
    weighed, sure = np.zeros(len(rows)), np.zeros(len(rows))
    for one in asked:
        known = np.array([name in one.labels.intensity for name in one.labels.labels])
        values = np.array([one.labels.intensity.get(name, 0.0) for name in one.labels.labels])
        likely = one.probabilities(rows) * known
        weighed, sure = weighed + likely @ values, sure + likely.sum(axis=1)
    return weighed / np.maximum(sure, 1e-9), np.minimum(sure, 1.0)
