"""The film as data: items of whole output frames, each from a clip.

An item holds the exact source start, as a rational number of seconds from the clip's first frame, and a number of
output frames. Where an item begins in the film follows from the frames before it, so nothing can drift: cut k was
placed on frame round(beat_time_k * fps) and the items hold the differences.
"""

from __future__ import annotations

from fractions import Fraction
from itertools import accumulate
from math import floor
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator

from montage_ai.edit.choices import Quality, Sound, Stabilization, TransitionKind
from montage_ai.edit.grade import Grade
from montage_ai.footage.clip import Clip


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Source(_Part):
    """A file that the film uses, known by its content."""

    path: Path
    sha256: str


class ClipSource(Source):
    """A clip that the film uses. ``rate`` is its own, in frames a second, ``seconds`` its length; None for a photo."""

    kind: Literal["video", "photo"] = "video"
    rate: Fraction | None = None
    seconds: Fraction | None = None


class Move(_Part):
    """The slow move over a photo: from one zoom and centre (shares of the picture) to another."""

    zoom: tuple[float, float] = (1.0, 1.08)
    start: tuple[float, float] = (0.5, 0.5)
    end: tuple[float, float] = (0.5, 0.5)


class Item(_Part):
    """One stretch of a clip in the film."""

    clip: ClipSource
    start: Fraction = Field(ge=0)
    """Seconds from the clip's first frame."""
    frames: int = Field(ge=1)
    """Output frames."""
    speed: Fraction = Field(Fraction(1), gt=0, le=16)
    focus: tuple[float, float] = (0.5, 0.5)
    """The point that cropping keeps in the picture, as shares of width and height."""
    stabilize: Stabilization = "never"
    """``auto``: looked at closely when it is rendered, and left alone if it does not shake after all."""
    grade: Grade = Grade()
    move: Move | None = None
    section: str = ""
    """The part of the film's arc that the item stands in."""

    def source_time(self, frame: int, fps: Fraction) -> Fraction:
        """The clip's time (seconds from its first frame) that output frame ``frame`` of the item shows."""
        return self.start + frame * self.speed / fps

    def end(self, fps: Fraction) -> Fraction:
        """The clip's time at the item's end."""
        return self.source_time(self.frames, fps)


class Transition(_Part):
    """A join of ``frames`` output frames, centred on the cut that it takes the place of."""

    kind: TransitionKind
    frames: int = Field(ge=2)


class Timeline(_Part):
    """A film. ``transitions[k]`` joins item k and item k + 1; None is a cut."""

    fps: Fraction = Field(gt=0, le=1000)
    width: int = Field(ge=16, le=16_384, multiple_of=2)
    height: int = Field(ge=16, le=16_384, multiple_of=2)
    items: tuple[Item, ...] = Field(min_length=1)
    transitions: tuple[Transition | None, ...] = ()
    music: Source | None = None
    sound: Sound = "music"
    quality: Quality = "standard"
    opening_fade: float = Field(0.0, ge=0, le=3600)
    closing_fade: float = Field(0.0, ge=0, le=3600)
    style: str = ""

    @model_validator(mode="after")
    def _consistent(self) -> Timeline:
        if len(self.transitions) != len(self.items) - 1:
            raise ValueError("there must be one transition (or None) between each two items")
        for k, item in enumerate(self.items):
            before = self.transitions[k - 1] if k else None
            after = self.transitions[k] if k < len(self.transitions) else None
            if half_after(before) + half_before(after) > item.frames:
                raise ValueError(f"the transitions around item {k} are longer than it is")
            if item.clip.kind == "video" and item.source_time(-half_before(before), self.fps) < 0:
                raise ValueError(f"the transition into item {k} shows it from before its clip begins")
        return self

    @property
    def frames(self) -> int:
        """Length of the film in output frames."""
        return sum(item.frames for item in self.items)

    @property
    def duration(self) -> Fraction:
        """Length of the film in seconds."""
        return self.frames / self.fps

    @property
    def starts(self) -> tuple[int, ...]:
        """The output frame at which each item begins; those after the first are the cuts."""
        return tuple(accumulate((item.frames for item in self.items[:-1]), initial=0))


def clip_source(clip: Clip) -> ClipSource:
    """``clip`` as items name it."""
    path, digest = clip.info.path, clip.facts.sha256
    if clip.is_photo:
        return ClipSource(path=path, sha256=digest, kind="photo")
    return ClipSource(path=path, sha256=digest, rate=clip.info.picture.fps, seconds=clip.time_of(len(clip.ticks)))


def half_before(transition: Transition | None) -> int:
    """Frames of a transition that lie before its cut."""
    return transition.frames // 2 if transition else 0


def half_after(transition: Transition | None) -> int:
    """Frames of a transition that lie after its cut."""
    return transition.frames - transition.frames // 2 if transition else 0


def frame_of(seconds: float | Fraction, fps: Fraction) -> int:
    """The output frame nearest to a moment; half-way cases go up, always the same way."""
    return int(Fraction(seconds) * fps + Fraction(1, 2))


def shown_source_frames(item: Item, fps: Fraction, times: NDArray[np.int64], time_base: Fraction) -> NDArray[np.int64]:
    """The source frame that each output frame of ``item`` shows, shape (item.frames,).

    ``times`` holds the source frames' times in ``time_base`` units. Source frame j belongs to output frame
    round((t_j - start) / speed * fps), halves up; an output frame shows the last source frame that belongs to it or to
    an earlier one. This is what FFmpeg's ``fps`` filter does, in exact numbers.
    """
    slots = [floor((int(t) * time_base - item.start) / item.speed * fps + Fraction(1, 2)) for t in times]
    shown = np.searchsorted(np.array(slots), np.arange(item.frames), "right") - 1
    return np.clip(shown, 0, len(times) - 1)
