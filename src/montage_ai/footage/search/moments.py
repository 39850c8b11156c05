"""The stretches of shots that answer a query best."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.looks import Answer, Looks
from montage_ai.footage.search.query import Query
from montage_ai.footage.search.signals import signals
from montage_ai.footage.search.vocabulary import Vocabulary

Series = NDArray[np.float64]

LIKE = "like the picture"

_STEADY = 1.0  # seconds over which an answer must hold
_EDGE = 0.6  # of a moment's best score, down to which it reaches
_SHORTEST = 1.0  # seconds, where the shot has as many
_QUALITY = 0.3  # of the score is for being good to look at
_A_SHOT = 3  # moments of a shot, at most
_RANKS = 60  # as Cormack et al. have it
_MONTHS = dict(enumerate(calendar.month_name))


@dataclass(frozen=True)
class Moment:
    """A stretch of a shot: seconds from the clip's first frame, 0 and 0 for a photo.

    ``best`` is the second that answers best; ``score`` is 0 to 1; ``why`` says how much each thing that was asked for
    is there, 0 to 1. ``named`` is the share of the words that stand in names.
    """

    clip: Clip
    start: float
    end: float
    best: float
    score: float
    why: Mapping[str, float]
    named: float = 0.0


@dataclass(frozen=True)
class Found:
    """Moments, the best first.

    ``unknown`` are words that mean nothing here, and stand in no name; ``unseen`` counts those of
    the ``clips`` that no model has seen.
    """

    moments: list[Moment]
    unknown: tuple[str, ...]
    unseen: int
    clips: int


def find_moments(clips: Sequence[Clip], query: Query, vocabulary: Vocabulary, looks: Looks | None = None) -> Found:
    """The moments of ``clips`` that answer ``query``, also those that hardly do.

    Of the clips that a model has seen ``looks`` says what pictures show. Names that speak of it lift a moment: the two
    orders are fused by reciprocal ranks (G. Cormack et al., SIGIR 2009), since their scores cannot be compared.
    """
    names = {id(clip): _words_of(clip) for clip in clips}
    shown = {id(clip): answer for clip in clips if looks is not None and (answer := looks.of(clip)) is not None}
    known = [word for word in query.words if any(word in words for words in names.values())]
    is_known = query.wanted or known or query.unwanted or query.unwanted_words  # else all would fit
    moments = list[Moment]()
    for clip in clips:
        answer = shown.get(id(clip))
        if answer is not None and (answer[0] is not None or query.unwanted_texts):
            moments += _looked(clip, query, answer, names[id(clip)], vocabulary)
        elif is_known:
            moments += _measured(clip, query, known, names[id(clip)], vocabulary)
    unknown = () if shown else tuple(word for word in query.words if word not in known)
    return Found(_in_order(moments), unknown, len(clips) - len(shown), len(clips))


def _in_order(moments: Sequence[Moment]) -> list[Moment]:
    """The best first, see ``find_moments``."""
    by_score = sorted(moments, key=lambda moment: (-moment.score, moment.clip.name, moment.start))
    shares = sorted({moment.named for moment in moments if moment.named}, reverse=True)
    ranks = {id(moment): 1 / (_RANKS + rank) for rank, moment in enumerate(by_score)}
    for moment in moments:
        if moment.named:
            ranks[id(moment)] += 1 / (_RANKS + shares.index(moment.named))
    return sorted(by_score, key=lambda moment: -ranks[id(moment)])


def _looked(
    clip: Clip, query: Query, answer: Answer, names: frozenset[str], vocabulary: Vocabulary
) -> Iterable[Moment]:
    """Of a clip that a model has seen."""
    if any(word in names for word in query.unwanted_words):
        return
    shows, spoils = answer
    concepts = vocabulary.concepts
    asked = any(concepts[name].measured for name in (*query.wanted, *query.unwanted))
    measured = signals(clip) if asked else {}
    wanted = {name: concepts[name].holds(measured) for name in query.wanted if concepts[name].measured}
    if shows is not None:
        wanted[query.text or LIKE] = shows
    score = _all_of(wanted) * (1 - spoils)
    for name in filter(vocabulary.is_measured, query.unwanted):
        score = score * (1 - concepts[name].holds(measured))
    hits = [word for word in query.terms if word in names]
    named = len(hits) / len(query.terms) if hits else 0.0
    for shot in clip.facts.shots:
        for moment in _in_shot(clip, score, wanted, shot.first, shot.end, steady=0.0):
            why = {**moment.why, **dict.fromkeys(hits, 1.0)}
            yield replace(moment, named=named, score=max(moment.score, named), why=why)


def _measured(
    clip: Clip, query: Query, words: Iterable[str], names: frozenset[str], vocabulary: Vocabulary
) -> Iterable[Moment]:
    """Of a clip of which only measures are known."""
    measured = signals(clip)
    there = {name: vocabulary.concepts[name].holds(measured) for name in (*query.wanted, *query.unwanted)}
    wanted = {name: there[name] for name in query.wanted}
    wanted |= {word: np.full(len(clip.ticks), float(word in names)) for word in words}
    score = _all_of(wanted)
    for name in query.unwanted:
        score = score * (1 - there[name])
    if any(word in names for word in query.unwanted_words):
        return
    seen = (1 - _QUALITY) + _QUALITY * measured["quality"]
    score = np.asarray(score * seen * (measured["quality"] > 0), np.float64)
    for shot in clip.facts.shots:
        yield from _in_shot(clip, score, wanted, shot.first, shot.end, steady=_STEADY)


def _all_of(wanted: Mapping[str, Series]) -> Series:
    """The geometric mean: 1 where nothing is wanted."""
    logs = [np.log(np.maximum(one, 1e-9)) for one in wanted.values()]
    return np.asarray(np.exp(np.mean(logs, axis=0))) if logs else np.ones(1)


def _in_shot(
    clip: Clip, score: Series, wanted: Mapping[str, Series], first: int, end: int, *, steady: float
) -> Iterable[Moment]:
    """The best stretch, and others that are as good for themselves; an answer must hold ``steady`` seconds."""
    fps = float(clip.info.picture.fps)
    size = min(max(round(steady * fps), 1), end - first)
    left = uniform_filter1d(score[first:end], size, mode="nearest")
    least, top = round(_SHORTEST * fps), float(left.max())
    for _ in range(_A_SHOT):
        best = int(left.argmax())
        peak = float(left[best])
        if peak <= 0 or peak < _EDGE * top:
            return
        low, high = _stretch(left, best, _EDGE * peak, least)
        span = slice(first + low, first + high)
        yield Moment(
            clip,
            *clip.seconds(first + low, first + high),
            float(clip.time_of(first + best)),
            peak,
            {name: float(one[span].mean()) for name, one in wanted.items()},
        )
        left[max(low - least, 0) : high + least] = 0.0


def _stretch(score: Series, best: int, edge: float, least: int) -> tuple[int, int]:
    """Frames around ``best`` that stay above ``edge``, and at least ``least`` of them where there are as many."""
    low = high = best
    while low > 0 and score[low - 1] >= edge:
        low -= 1
    while high < len(score) and score[high] >= edge:
        high += 1
    lacking = max(least - (high - low), 0)
    low = max(low - lacking // 2, 0)
    high = min(max(high, low + least), len(score))
    return max(min(low, high - least), 0), high


def _words_of(clip: Clip) -> frozenset[str]:
    """The words of a clip's name and of the folders that it lies in, and of the day on which it was taken."""
    parts = [clip.info.path.stem, *(folder.name for folder in list(clip.info.path.parents)[:2])]
    words = {
        word for part in parts for word in re.findall(r"[^\W_]+", re.sub(r"(?<=[a-z])(?=[A-Z])", " ", part).lower())
    }
    if clip.info.taken:
        year, month, *_ = clip.info.taken.split("-")
        words |= {year, _MONTHS.get(int(month), year).lower()} if month.isdecimal() else {year}
    return frozenset(words)
