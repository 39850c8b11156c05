"""What a model that has seen the pictures says of a query."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.nearest import products
from montage_ai.footage.search.query import Query
from montage_ai.footage.vectors import Half, Rows

Floats = NDArray[np.float32]
Series = NDArray[np.float64]

NEUTRAL = ("a photo", "a picture of something", "a frame of a video", "a scene", "an image")
"""Descriptions that fit every picture: what fits no better than they do is not there."""

_ASKED = 4096  # rows, at most, that say how well those fit
_LIKE_SCALE = 10.0

Answer = tuple[Series | None, Series]
"""For every frame of a clip how surely it shows what is wanted (None: that is nothing), and what is not: 0 to 1."""


class Reads(Protocol):
    """What makes vectors of texts, shape (texts, width); ``scale`` makes products differences of log odds."""

    @property
    def scale(self) -> float: ...
    def texts(self, texts: Sequence[str]) -> Floats: ...


@dataclass(frozen=True)
class Looks:
    """How surely each picture of each clip (by SHA-256) shows what is wanted, and what is not: 0 to 1.

    ``wanted`` is None where nothing is that a picture can show.
    """

    pictures: Mapping[str, Rows]
    wanted: Series | None
    unwanted: Series

    def of(self, clip: Clip) -> Answer | None:
        """None where the model has not seen the clip."""
        seen = self.pictures.get(clip.facts.sha256)
        if seen is None:
            return None
        rows = seen.rows[_shown(clip, seen.seconds)]
        return None if self.wanted is None else self.wanted[rows], self.unwanted[rows]


def ask(query: Query, like: Floats | None, matrix: Half, pictures: Mapping[str, Rows], reader: Reads) -> Looks:
    """Compare every row of ``matrix`` with ``query``, and with ``like``, the vector of a picture.

    A text is there as surely as it fits better than ``NEUTRAL`` does: "none of these" is possible whatever the model.
    """
    texts = [*([query.text] if query.text else []), *query.unwanted_texts]
    if not texts and like is None:
        return Looks(pictures, None, np.zeros(len(matrix)))
    vectors, scale = reader.texts([*texts, *NEUTRAL]), reader.scale
    usual = _usual(matrix, vectors[len(texts) :], scale)
    asked, pivot, slope = vectors[: len(texts)], np.full(len(texts), usual), np.full(len(texts), scale)
    wants = bool(query.text)
    if like is not None:
        both = like + asked[0] if wants else like
        asked = np.concatenate([(both / np.linalg.norm(both))[np.newaxis], asked[wants:]]).astype(np.float32)
        middle = float(np.mean(products(matrix[:: _step(matrix)], asked[:1])))
        most = float(products(matrix, asked[:1]).max(initial=middle))
        pivot = np.array([(middle + most) / 2, *pivot[wants:]])
        slope = np.array([_LIKE_SCALE / max(most - middle, 1e-3), *slope[wants:]])
        wants = True
    sure = _logistic(slope * (products(matrix, asked).astype(np.float64) - pivot))
    return Looks(
        pictures,
        sure[:, 0] if wants else None,
        sure[:, wants:].max(axis=1) if sure.shape[1] > wants else np.zeros(len(matrix)),
    )


def _usual(matrix: Half, neutral: Floats, scale: float) -> float:
    """The product that says nothing: as well as neutral descriptions fit, on average over pictures."""
    found = scale * products(matrix[:: _step(matrix)], neutral).astype(np.float64)
    if not len(found):
        return 0.0
    return float(np.mean(np.log(np.mean(np.exp(found - found.max()), axis=1))) + found.max()) / scale


def _step(matrix: Half) -> int:
    return max(1, len(matrix) // _ASKED)


def _shown(clip: Clip, seconds: Series) -> NDArray[np.int64]:
    """For each frame the number of the picture that stands for it: of its shot the last one before, else the first."""
    pictures = np.clip(np.searchsorted(clip.times, seconds + 1e-6, side="right") - 1, 0, len(clip.times) - 1)
    shown = np.clip(np.searchsorted(pictures, np.arange(len(clip.times)), side="right") - 1, 0, len(pictures) - 1)
    for shot in clip.facts.shots:
        inside = np.flatnonzero((pictures >= shot.first) & (pictures < shot.end))
        if len(inside):
            shown[shot.first : shot.end] = np.maximum(shown[shot.first : shot.end], inside[0])
    return shown


def _logistic(odds: Series) -> Series:
    return 1.0 / (1.0 + np.exp(-np.clip(odds, -60, 60)))
