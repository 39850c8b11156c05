"""What is known about one clip after its analysis."""

from __future__ import annotations

import io
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from montage_ai.footage.features import Face
from montage_ai.footage.shots import Boundary, Shot
from montage_ai.media.probe import MediaInfo

Array = NDArray[np.float32]


class ClipFacts(BaseModel):
    """The part of a clip's analysis that is not arrays."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    info: MediaInfo
    sha256: str
    duration: float
    """Seconds that could be decoded; 0 for a photo."""
    damage: str | None
    boundaries: tuple[Boundary, ...]
    shots: tuple[Shot, ...]
    faces: tuple[Face, ...]
    places: tuple[str, ...] = ()
    """Names of where it was taken, from the nearest town to the country."""


@dataclass(frozen=True)
class Clip:
    """One source file and what is known about it.

    ``ticks`` holds the time of each frame in units of the stream's time base, from the first frame on;
    ``arrays`` the measures of ``footage.features`` and, where it has sound, of ``footage.sounds`` by name.
    """

    facts: ClipFacts
    ticks: NDArray[np.int64]
    arrays: dict[str, Array]

    @property
    def info(self) -> MediaInfo:
        return self.facts.info

    @property
    def name(self) -> str:
        return self.info.path.name

    @property
    def is_photo(self) -> bool:
        return self.info.kind == "photo"

    def time_of(self, frame: int) -> Fraction:
        """Exact seconds from the first frame to frame number ``frame``; one past the last is the clip's end."""
        picture = self.info.picture
        if frame < len(self.ticks):
            return int(self.ticks[frame]) * picture.time_base
        return int(self.ticks[-1]) * picture.time_base + 1 / picture.fps

    def seconds(self, first: int, end: int) -> tuple[float, float]:
        """Where the stretch from frame ``first`` to before ``end`` begins and ends; 0 and 0 for a photo."""
        return (0.0, 0.0) if self.is_photo else (float(self.time_of(first)), float(self.time_of(end)))

    @cached_property
    def times(self) -> NDArray[np.float64]:
        """Seconds from the first frame, shape (frames,)."""
        return np.asarray(self.ticks * float(self.info.picture.time_base), np.float64)

    def packed_arrays(self) -> bytes:
        """``ticks`` and ``arrays`` as they are kept: a compressed .npz file."""
        packed = io.BytesIO()
        np.savez_compressed(packed, allow_pickle=False, ticks=self.ticks, **self.arrays)
        return packed.getvalue()


def unpacked_clip(facts: ClipFacts, packed: bytes) -> Clip:
    """The clip of ``facts`` with its ``packed_arrays``."""
    with np.load(io.BytesIO(packed), allow_pickle=False) as stored:
        arrays = {name: stored[name] for name in stored.files}
    return Clip(facts, arrays.pop("ticks"), arrays)


def frames_of(clip: Clip, seconds: NDArray[np.float64]) -> NDArray[np.int64]:
    """The number of the frame that each of a clip's pictures is of."""
    return np.clip(np.searchsorted(clip.times, seconds + 1e-6, side="right") - 1, 0, len(clip.times) - 1)
