"""What a model that has seen the pictures says of a query."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.nearest import products
from montage_ai.footage.search.query import Query
from montage_ai.footage.search.seen import Floats, Seen, shown

Series = NDArray[np.float64]

_LIKE_SCALE = 10.0

Answer = tuple[Series | None, Series]
"""For every frame of a clip how surely it shows what is wanted (None: that is nothing), and what is not: 0 to 1."""


@dataclass(frozen=True)
class Looks:
    """How surely each picture that was ``seen`` shows what is wanted, and what is not: 0 to 1, shape (rows,).

    ``wanted`` is None where nothing is that a picture can show.
    """

    seen: Seen
    wanted: Series | None
    unwanted: Series

    def of(self, clip: Clip) -> Answer | None:
        """None where the model has not seen the clip; 0 in shots of which it has seen no picture."""
        known = self.seen.of(clip)
        if known is None:
            return None
        at = shown(clip, known.seconds)
        rows, is_seen = known.rows[at], at >= 0
        return None if self.wanted is None else self.wanted[rows] * is_seen, self.unwanted[rows] * is_seen


def ask(query: Query, like: Floats | None, seen: Seen) -> Looks:
    """Compare every picture that was ``seen`` with ``query``, and with ``like``, the vector of a picture.

    A text is there as surely as it fits better than ``NEUTRAL`` does: "none of these" is possible whatever the model.
    """
    texts = [*([query.text] if query.text else []), *query.unwanted_texts]
    if not texts and like is None:
        return Looks(seen, None, np.zeros(len(seen.matrix)))
    asked, scale = seen.reader.texts(texts) if texts else np.zeros((0, 0), np.float32), seen.reader.scale
    pivot, slope = np.full(len(texts), seen.usual), np.full(len(texts), scale)
    wants = bool(query.text)
    if like is not None:
        both = like + asked[0] if wants else like
        alike = (both / np.linalg.norm(both))[np.newaxis].astype(np.float32)
        asked = np.concatenate([alike, *([asked[wants:]] if len(texts) > wants else [])])
        middle = float(np.mean(products(seen.some, asked[:1])))
        same = float(alike[0] @ like)  # of a picture that is the one asked for: another one need not be as near as any
        most = max(same, float(products(seen.matrix, asked[:1]).max(initial=middle)))
        pivot = np.array([(middle + most) / 2, *pivot[wants:]])
        slope = np.array([_LIKE_SCALE / max(most - middle, 1e-3), *slope[wants:]])
        wants = True
    sure = _logistic(slope * (products(seen.matrix, asked).astype(np.float64) - pivot))
    return Looks(
        seen,
        sure[:, 0] if wants else None,
        sure[:, wants:].max(axis=1) if sure.shape[1] > wants else np.zeros(len(seen.matrix)),
    )


def _logistic(odds: Series) -> Series:
    return 1.0 / (1.0 + np.exp(-np.clip(odds, -60, 60)))
