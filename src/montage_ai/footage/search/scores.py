"""How well every frame of a clip answers a query."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.looks import Answer
from montage_ai.footage.search.names import stands_in
from montage_ai.footage.search.query import Query
from montage_ai.footage.search.signals import signals
from montage_ai.footage.search.vocabulary import Vocabulary

Series = NDArray[np.float64]

LIKE = "like the picture"

_QUALITY = 0.3  # of the score of what was only measured is for being good to look at


@dataclass(frozen=True)
class Scores:
    """How well each frame answers, and how much of each thing that was asked for is there: 0 to 1, shape (frames,)."""

    score: Series
    wanted: Mapping[str, Series]


def of_seen(clip: Clip, query: Query, answer: Answer, vocabulary: Vocabulary, said: float = 0.0) -> Scores:
    """Of a clip that a model has seen: measured is only what no picture shows.

    What is asked for is there for ``said`` at least, 0 to 1, though nobody sees it.
    """
    shows, spoils = answer
    concepts = vocabulary.concepts
    asked = any(concepts[name].measured for name in (*query.wanted, *query.unwanted))
    measured = signals(clip) if asked else {}
    wanted = {name: concepts[name].holds(measured) for name in query.wanted if concepts[name].measured}
    if shows is None:
        wanted = {name: np.maximum(one, said) for name, one in wanted.items()}
    else:
        wanted[query.text or LIKE] = np.maximum(shows, said)
    score = _all_of(wanted, clip) * (1 - spoils)
    for name in filter(vocabulary.is_measured, query.unwanted):
        score = score * (1 - concepts[name].holds(measured))
    return Scores(score, wanted)


def of_measured(clip: Clip, query: Query, names: frozenset[str], vocabulary: Vocabulary, said: float = 0.0) -> Scores:
    """Of a clip of which only measures are known; the query's words may stand in its ``names``. ``said`` as above."""
    measured = signals(clip)
    there = {name: vocabulary.concepts[name].holds(measured) for name in (*query.wanted, *query.unwanted)}
    told = {name: 0.0 if query.text and vocabulary.is_measured(name) else said for name in query.wanted}
    wanted = {name: np.maximum(there[name], told[name]) for name in query.wanted}
    wanted |= {word: np.full(len(clip.ticks), max(float(stands_in(word, names)), said)) for word in query.words}
    score = _all_of(wanted, clip)
    for name in query.unwanted:
        score = score * (1 - there[name])
    seen = (1 - _QUALITY) + _QUALITY * measured["quality"]
    return Scores(np.asarray(score * seen * (measured["quality"] > 0), np.float64), wanted)


def _all_of(wanted: Mapping[str, Series], clip: Clip) -> Series:
    """The geometric mean: 1 where nothing is wanted."""
    logs = [np.log(np.maximum(one, 1e-9)) for one in wanted.values()]
    return np.asarray(np.exp(np.mean(logs, axis=0))) if logs else np.ones(len(clip.ticks))
