"""The brief: what one film shall be. It says what is wanted; the timeline says what was decided."""

from __future__ import annotations

import re
import unicodedata
from fractions import Fraction
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field

from montage_ai.edit.choices import Aspect, Density, Quality, Sound, Stabilization
from montage_ai.edit.styles import Style
from montage_ai.errors import UserError

_NAMED = r"(?P<name>.+?)"
_SECONDS = r"\d+(?:\.\d+)?"
_PIN = re.compile(rf"{_NAMED}(?:@(?P<at>{_SECONDS}))?", re.DOTALL)
_EXCLUDE = re.compile(rf"{_NAMED}(?:@(?P<low>{_SECONDS})-(?P<high>{_SECONDS}))?", re.DOTALL)


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Pin(_Part):
    """A clip that must be in the film, at ``at`` seconds of it where that is given."""

    clip: str
    at: float | None = None

    @classmethod
    def parse(cls, text: str) -> Pin:
        """From ``CLIP`` or ``CLIP@SECONDS``."""
        match = _PIN.fullmatch(text)
        if match is None:
            raise UserError(f"{text!r} is no pin.", hint="Write CLIP or CLIP@SECONDS, like beach.mp4@12.5.")
        return cls(clip=match["name"], at=float(match["at"]) if match["at"] else None)


class Exclusion(_Part):
    """A clip, or the stretch from ``low`` to ``high`` seconds of it, that must not be in the film."""

    clip: str
    low: float = 0.0
    high: float = float("inf")

    @classmethod
    def parse(cls, text: str) -> Exclusion:
        """From ``CLIP`` or ``CLIP@SECONDS-SECONDS``."""
        match = _EXCLUDE.fullmatch(text)
        if match is None or (match["low"] and float(match["low"]) >= float(match["high"])):
            raise UserError(f"{text!r} excludes nothing.", hint="Write CLIP or CLIP@FROM-TO, like beach.mp4@3-7.5.")
        if match["low"] is None:
            return cls(clip=match["name"])
        return cls(clip=match["name"], low=float(match["low"]), high=float(match["high"]))


class Brief(_Part):
    """What one film shall be."""

    style: Style
    duration: float | None = Field(None, ge=0.5, le=24 * 3600, allow_inf_nan=False)
    """Seconds; None: the music's length, or what the footage can fill."""
    aspect: Aspect = "16:9"
    quality: Quality = "standard"
    fps: Fraction | None = Field(None, ge=1, le=240)
    """None: the rate that most of the footage has."""
    density: Density = "auto"
    beat_offset: float = Field(0.0, ge=-2, le=2)
    """Seconds by which every cut comes after its beat."""
    stabilize: Stabilization = "auto"
    sound: Sound = "music"
    pins: tuple[Pin, ...] = ()
    exclusions: tuple[Exclusion, ...] = ()
    wants: tuple[str, ...] = ()
    """What the film is to show, in words as `search` takes them ..."""
    avoids: tuple[str, ...] = ()
    """... and what it is not."""
    lut: Path | None = None
    seed: int = Field(0, ge=0)


def names_clip(name: str, path: Path) -> bool:
    """Whether a user's ``name`` (a path, a file name, or that without its suffix) means the file at ``path``.

    Letters with accents are the same however a system writes them: keyboards and the Mac's file system differ.
    """
    given, there = (Path(unicodedata.normalize("NFC", str(one))) for one in (Path(name).expanduser(), path.absolute()))
    if Path(name).name != name:
        return given.absolute() == there or there.parts[-len(given.parts) :] == given.parts
    return str(given) in (there.name, there.stem)
