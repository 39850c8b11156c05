"""Styles: how a kind of film is paced, ordered, joined and coloured. Data, one TOML file each."""

from __future__ import annotations

import tomllib
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from montage_ai import config
from montage_ai.edit.choices import TransitionKind
from montage_ai.edit.grade import Grade
from montage_ai.errors import UserError


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pacing(_Part):
    """Length of shots against the energy of the music, in beats: ``slow`` where it is lowest, ``fast`` where it is
    highest, never under ``min_seconds`` or over ``max_seconds``. ``variation`` 0 to 1 breaks up the regularity."""

    slow: float = Field(8, gt=0, le=64)
    fast: float = Field(2, gt=0, le=64)
    min_seconds: float = Field(0.4, ge=0.1, le=60)
    max_seconds: float = Field(8.0, ge=0.2, le=120)
    variation: float = Field(0.2, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> Pacing:
        if self.min_seconds > self.max_seconds:
            raise ValueError("min_seconds is over max_seconds")
        return self


class Arc(_Part):
    """The intensity (0 to 1) of each part of the film, and how much it counts against the music's own energy."""

    intro: float = Field(0.2, ge=0, le=1)
    build: float = Field(0.5, ge=0, le=1)
    climax: float = Field(1.0, ge=0, le=1)
    sustain: float = Field(0.7, ge=0, le=1)
    outro: float = Field(0.2, ge=0, le=1)
    weight: float = Field(0.4, ge=0, le=1)


class Taste(_Part):
    """Weights of what selection looks for in a shot; each is explained in ``edit.selection``."""

    quality: float = Field(1.0, ge=0, le=5)
    motion: float = Field(0.6, ge=0, le=5)
    faces: float = Field(0.3, ge=0, le=5)
    variety: float = Field(0.8, ge=0, le=5)
    continuity: float = Field(0.2, ge=0, le=5)
    chronology: float = Field(0.0, ge=0, le=5)
    arc: float = Field(0.4, ge=0, le=5)
    mood: float = Field(0.6, ge=0, le=5)


class Transitions(_Part):
    """Joins other than cuts: ``kind`` between sections of the music, or at every ``share`` of the other joins."""

    between_sections: TransitionKind | None = None
    elsewhere: TransitionKind | None = None
    share: float = Field(0.0, ge=0, le=1)
    seconds: float = Field(0.5, ge=0.1, le=3)
    opening_fade: float = Field(0.0, ge=0, le=5)
    closing_fade: float = Field(0.0, ge=0, le=5)


class Style(_Part):
    """One kind of film."""

    name: str
    summary: str = ""
    pacing: Pacing = Pacing()
    arc: Arc = Arc()
    taste: Taste = Taste()
    transitions: Transitions = Transitions()
    look: Grade = Grade()
    match_neighbours: float = Field(0.5, ge=0, le=1)
    """How far neighbouring shots are brought together in brightness and colour temperature."""
    photo_move: float = Field(0.08, ge=0, le=0.4)
    """How far a photo is zoomed into while it is shown."""


def style_names() -> list[str]:
    """Names of the styles that come with the program and of the user's own."""
    return sorted({Path(file.name).stem for folder in _folders() for file in folder.iterdir() if _is_style(file)})


def load_style(name: str) -> Style:
    """The style called ``name``, or of the TOML file that ``name`` is the path of.

    Raises ``UserError`` that names the file and the field for one that is not valid.
    """
    given = Path(name)
    if given.suffix == ".toml":
        if given.exists() and not given.is_file():
            raise UserError("is not a file.", file=name, hint="Give the path of a .toml file.")
        return _read(given)
    for folder in _folders():
        for file in folder.iterdir():
            if _is_style(file) and Path(file.name).stem == name:
                return _read(file)
    known = ", ".join(style_names())
    raise UserError(f"There is no style {name!r}.", hint=f"Styles are: {known}; or give the path of a .toml file.")


def _folders() -> list[Path | Traversable]:
    own = config.data_dir() / "styles"
    return [*([own] if own.is_dir() else []), resources.files("montage_ai.edit") / "styles"]


def _is_style(file: Path | Traversable) -> bool:
    return file.name.endswith(".toml")


def _read(file: Path | Traversable) -> Style:
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
        return Style.model_validate({"name": Path(file.name).stem} | content)
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"cannot be read as a style ({error}).", file=str(file)) from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, e['loc']))}: {e['msg']}" for e in error.errors())
        raise UserError(f"is not a valid style: {faults}.", file=str(file), hint="See docs/styles.md.") from error
