"""The stretches of shots that answer a query best."""

from __future__ import annotations

import calendar
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.query import Query
from montage_ai.footage.search.signals import signals
from montage_ai.footage.search.vocabulary import Vocabulary

Series = NDArray[np.float64]

_STEADY = 1.0  # seconds over which an answer must hold
_EDGE = 0.6  # of a moment's best score, down to which it reaches
_SHORTEST = 1.0  # seconds, where the shot has as many
_QUALITY = 0.3  # of the score is for being good to look at
_A_SHOT = 3  # moments of a shot, at most
_MONTHS = dict(enumerate(calendar.month_name))


@dataclass(frozen=True)
class Moment:
    """A stretch of a shot: seconds from the clip's first frame, 0 and 0 for a photo.

    ``best`` is the second that answers best; ``score`` is 0 to 1; ``why`` says how much each thing that was asked for
    is there, 0 to 1.
    """

    clip: Clip
    start: float
    end: float
    best: float
    score: float
    why: dict[str, float]


@dataclass(frozen=True)
class Found:
    """Moments, the best first. ``unknown`` are words that mean nothing here, and stand in no name."""

    moments: list[Moment]
    unknown: tuple[str, ...]


def find_moments(clips: Sequence[Clip], query: Query, vocabulary: Vocabulary) -> Found:
    """The moments of ``clips`` that answer ``query``, also those that hardly do."""
    names = {id(clip): _words_of(clip) for clip in clips}
    known = [word for word in query.words if any(word in words for words in names.values())]
    is_known = query.wanted or known or query.unwanted or query.unwanted_words  # else all would fit
    looked = clips if is_known else ()
    moments = [moment for clip in looked for moment in _in_clip(clip, query, known, names[id(clip)], vocabulary)]
    moments.sort(key=lambda moment: (-moment.score, moment.clip.name, moment.start))
    return Found(moments, tuple(word for word in query.words if word not in known))


def _in_clip(
    clip: Clip, query: Query, words: Iterable[str], names: frozenset[str], vocabulary: Vocabulary
) -> Iterable[Moment]:
    measured = signals(clip)
    there = {name: vocabulary.concepts[name].holds(measured) for name in (*query.wanted, *query.unwanted)}
    wanted = {name: there[name] for name in query.wanted}
    wanted |= {word: np.full(len(clip.ticks), float(word in names)) for word in words}
    score = np.exp(np.mean([np.log(np.maximum(one, 1e-6)) for one in wanted.values()], axis=0)) if wanted else 1.0
    for name in query.unwanted:
        score = score * (1 - there[name])
    if any(word in names for word in query.unwanted_words):
        return
    seen = (1 - _QUALITY) + _QUALITY * measured["quality"]
    score = np.asarray(score * seen * (measured["quality"] > 0), np.float64)
    for shot in clip.facts.shots:
        yield from _in_shot(clip, score, wanted, shot.first, shot.end)


def _in_shot(clip: Clip, score: Series, wanted: dict[str, Series], first: int, end: int) -> Iterable[Moment]:
    """The best stretch, and others that are as good for themselves."""
    fps = float(clip.info.picture.fps)
    size = min(max(round(_STEADY * fps), 1), end - first)
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
