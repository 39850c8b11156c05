"""What a model has seen of the footage, to be compared with texts."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from montage_ai.events import Emit
from montage_ai.footage.clip import Clip, frames_of
from montage_ai.footage.found_model import known_folder
from montage_ai.footage.library import Library
from montage_ai.footage.reader import Reader
from montage_ai.footage.sampling import SAMPLER_VERSION
from montage_ai.footage.search.nearest import products
from montage_ai.footage.vectors import Half, Rows
from montage_ai.models.image_text import Picture

Floats = NDArray[np.float32]
Series = NDArray[np.float64]

NEUTRAL = ("a photo", "a picture of something", "a frame of a video", "a scene", "an image")
"""Descriptions that fit every picture: what fits no better than they do is not there."""

_ASKED = 4096  # rows, at most, that say how well those fit


class Reads(Protocol):
    """What makes vectors of texts, shape (texts, width), and of a picture, shape (width,).

    ``scale`` makes their products differences of log odds.
    """

    @property
    def scale(self) -> float: ...
    def texts(self, texts: Sequence[str]) -> Floats: ...
    def picture(self, picture: Picture) -> Floats: ...


@dataclass(frozen=True)
class Seen:
    """The vectors of pictures, shape (rows, width), which of them are whose (by the clip's SHA-256), and the model's
    reader of texts."""

    matrix: Half
    pictures: Mapping[str, Rows]
    reader: Reads

    @cached_property
    def usual(self) -> float:
        """The product that says nothing: as well as ``NEUTRAL`` fits, on average over pictures."""
        scale = self.reader.scale
        found = scale * products(self.some, self.reader.texts(NEUTRAL)).astype(np.float64)
        if not len(found):
            return 0.0
        return float(np.mean(np.log(np.mean(np.exp(found - found.max()), axis=1))) + found.max()) / scale

    @property
    def some(self) -> Half:
        """Rows of all parts of the matrix, few enough to be averaged."""
        return self.matrix[:: max(1, len(self.matrix) // _ASKED)]

    def of(self, clip: Clip) -> Rows | None:
        """Where a clip's pictures are; None where the model has not seen it."""
        return self.pictures.get(clip.facts.sha256)

    def has_seen_all_of(self, clip: Clip) -> bool:
        """Whether it has a picture of each shot."""
        known = self.of(clip)
        return known is not None and bool((shown(clip, known.seconds) >= 0).all())


def shown(clip: Clip, seconds: Series) -> NDArray[np.int64]:
    """For each frame the number of the picture that stands for it: of its shot the last one before, else the first; -1
    where its shot has none."""
    pictures = frames_of(clip, seconds)
    last = np.searchsorted(pictures, np.arange(len(clip.times)), side="right") - 1
    for shot in clip.facts.shots:
        inside = np.flatnonzero((pictures >= shot.first) & (pictures < shot.end))
        span = slice(shot.first, shot.end)
        last[span] = np.maximum(last[span], inside[0]) if len(inside) else -1
    return last


def last_seen(library: Library, clips: Iterable[Clip], emit: Emit) -> Seen | None:
    """What the model has seen that was used last; None where that is none of ``clips``.

    It is loaded once it is to read something.
    """
    known = next(iter(library.vectors.models()), None)
    if known is None:
        return None
    pictures = library.vectors.rows(known.identity, SAMPLER_VERSION)
    if not any(clip.facts.sha256 in pictures for clip in clips):
        return None
    known = next(one for one in library.vectors.models() if one.identity == known.identity)  # with all these rows
    reader = Reader(known.identity, lambda: known_folder(known, library), library, emit)
    return Seen(library.vectors.matrix(known), pictures, reader)
