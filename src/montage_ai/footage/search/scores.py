"""How well every frame of a clip answers a query."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.looks import Answer
from montage_ai.footage.search.query import Query
from montage_ai.footage.search.signals import signals
from montage_ai.footage.search.vocabulary import Vocabulary

Series = NDArray[np.float64]

LIKE = "like the picture"

_QUALITY = 0.3  # of the score of what was only measured is for being good to look at
_MONTHS = dict(enumerate(calendar.month_name))


@dataclass(frozen=True)
class Scores:
    """How well each frame answers, and how much of each thing that was asked for is there: 0 to 1, shape (frames,)."""

    score: Series
    wanted: Mapping[str, Series]


def of_seen(clip: Clip, query: Query, answer: Answer, vocabulary: Vocabulary) -> Scores:
    """Of a clip that a model has seen: measured is only what no picture shows."""
    shows, spoils = answer
    concepts = vocabulary.concepts
    asked = any(concepts[name].measured for name in (*query.wanted, *query.unwanted))
    measured = signals(clip) if asked else {}
    wanted = {name: concepts[name].holds(measured) for name in query.wanted if concepts[name].measured}
    if shows is not None:
        wanted[query.text or LIKE] = shows
    score = _all_of(wanted, clip) * (1 - spoils)
    for name in filter(vocabulary.is_measured, query.unwanted):
        score = score * (1 - concepts[name].holds(measured))
    return Scores(score, wanted)


def of_measured(clip: Clip, query: Query, names: frozenset[str], vocabulary: Vocabulary) -> Scores:
    """Of a clip of which only measures are known; the query's words may stand in its ``names``."""
    measured = signals(clip)
    there = {name: vocabulary.concepts[name].holds(measured) for name in (*query.wanted, *query.unwanted)}
    wanted = {name: there[name] for name in query.wanted}
    wanted |= {word: np.full(len(clip.ticks), float(word in names)) for word in query.words}
    score = _all_of(wanted, clip)
    for name in query.unwanted:
        score = score * (1 - there[name])
    seen = (1 - _QUALITY) + _QUALITY * measured["quality"]
    return Scores(np.asarray(score * seen * (measured["quality"] > 0), np.float64), wanted)


def names_of(clip: Clip) -> frozenset[str]:
    """The words of a clip's name, of the folders that it lies in, and of where and when it was taken."""
    folders = list(clip.info.path.parents)[:2]
    parts = [clip.info.path.stem, *(folder.name for folder in folders), *clip.facts.places]
    words = {
        word for part in parts for word in re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", part).lower())
    }
    if clip.info.taken and (date := re.match(r"(\d{4})-(\d\d)", clip.info.taken)):
        words |= {date[1], _MONTHS.get(int(date[2]), date[1]).lower()}
    return frozenset(words)


def is_excluded(query: Query, names: frozenset[str]) -> bool:
    """Whether a clip with these ``names`` is called what is not wanted."""
    return any(names.issuperset(words) for words in query.unwanted_names)


def named(query: Query, names: Iterable[frozenset[str]]) -> Query:
    """``query`` with those of its words alone that stand in any of ``names``: the others would fit nothing."""
    known = frozenset[str]().union(*names)
    return replace(query, words=tuple(word for word in query.words if word in known))


def terms_in(query: Query, names: frozenset[str]) -> tuple[str, ...]:
    """The words of what a picture can show that stand in ``names``."""
    return tuple(word for word in query.terms if word in names)


def _all_of(wanted: Mapping[str, Series], clip: Clip) -> Series:
    """The geometric mean: 1 where nothing is wanted."""
    logs = [np.log(np.maximum(one, 1e-9)) for one in wanted.values()]
    return np.asarray(np.exp(np.mean(logs, axis=0))) if logs else np.ones(len(clip.ticks))
