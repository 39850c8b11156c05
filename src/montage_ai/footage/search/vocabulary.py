"""What words mean in what was measured: shipped as data, and extended by the user's own ``words.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from montage_ai import config
from montage_ai.errors import ConfigError

Series = NDArray[np.float64]

SignalName = Literal[
    "faces",
    "smiles",
    "motion",
    "pan",
    "shake",
    "light",
    "contrast",
    "colour",
    "red",
    "blue",
    "sharp",
    "sound",
    "speech",
    "photo",
    "upright",
]


class Condition(BaseModel):
    """A signal that begins to say yes at ``begin``, and surely does from ``sure`` on; either may be the larger."""

    model_config = ConfigDict(frozen=True, extra="forbid", populate_by_name=True)

    signal: SignalName
    begin: float = Field(alias="from")
    sure: float = Field(alias="to")

    def holds(self, values: Series) -> Series:
        """How surely it holds for each value: 0 to 1."""
        if self.begin == self.sure:
            return (values >= self.sure).astype(np.float64)
        return np.clip((values - self.begin) / (self.sure - self.begin), 0.0, 1.0)


class Concept(BaseModel):
    """What can be asked for by any of ``words``: all ``signals`` must hold.

    ``measured``: no model that looks at single pictures knows it better. Without ``tag`` no shot is tagged with it.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    words: tuple[str, ...] = Field(min_length=1)
    signals: tuple[Condition, ...] = Field(min_length=1)
    measured: bool = False
    tag: bool = True

    def holds(self, signals: Mapping[str, Series]) -> Series:
        """How surely it holds in each frame: 0 to 1."""
        each = [condition.holds(signals[condition.signal]) for condition in self.signals]
        return np.asarray(np.min(each, axis=0), np.float64)


@dataclass(frozen=True)
class Vocabulary:
    """Concepts by name, and the names by what they are called."""

    concepts: Mapping[str, Concept]

    @property
    def names(self) -> dict[str, str]:
        """Each word or phrase, in lower case, and the concept that it means."""
        return {word.lower(): name for name, concept in self.concepts.items() for word in (name, *concept.words)}

    def is_measured(self, concept: str | None) -> bool:
        """Whether a concept, or none, is one that is left to what was measured also where there is a model."""
        return concept is not None and self.concepts[concept].measured

    def tags(self, signals: Mapping[str, Series]) -> dict[str, Series]:
        """How surely each concept that is a tag holds in each frame."""
        return {name: concept.holds(signals) for name, concept in self.concepts.items() if concept.tag}


_CONCEPTS = TypeAdapter(dict[str, Concept])


def load_vocabulary() -> Vocabulary:
    """The shipped concepts, and the user's own in their place or beside them. Raises ``ConfigError``."""
    shipped = _CONCEPTS.validate_python(
        tomllib.loads(resources.files(__package__).joinpath("words.toml").read_text("utf-8"))
    )
    own = config.settings_dir() / "words.toml"
    return Vocabulary({**shipped, **(_read(own) if own.exists() else {})})


def _read(path: Path) -> dict[str, Concept]:
    try:
        return _CONCEPTS.validate_python(tomllib.loads(path.read_text("utf-8")))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigError(f"cannot be read ({error}).", file=path, hint="Repair it.") from error
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(str(part) for part in fault["loc"])
        raise ConfigError(f"{where}: {fault['msg'].lower()}.", file=path, hint="Change it.") from error
