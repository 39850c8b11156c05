"""The stretches of shots that answer a query best."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.fusion import Hits, fuse
from montage_ai.footage.search.looks import Answer, Looks
from montage_ai.footage.search.moment import Moment
from montage_ai.footage.search.query import Query
from montage_ai.footage.search.scores import Scores, is_excluded, named, names_of, of_measured, of_seen, terms_in
from montage_ai.footage.search.vocabulary import Vocabulary

Series = NDArray[np.float64]

_STEADY = 1.0  # seconds over which an answer must hold
_EDGE = 0.6  # of a moment's best score, down to which it reaches
_SHORTEST = 1.0  # seconds, where the shot has as many
_A_SHOT = 3  # moments of a shot, at most
_NO_HITS = Hits()


@dataclass(frozen=True)
class Found:
    """Moments, the best first.

    ``unknown`` are words that mean nothing here, and stand in no name; ``unseen`` counts those of
    the ``clips`` of which no model has seen every shot.
    """

    moments: list[Moment]
    unknown: tuple[str, ...]
    unseen: int
    clips: int


def find_moments(
    clips: Sequence[Clip], query: Query, vocabulary: Vocabulary, looks: Looks | None = None, hits: Hits = _NO_HITS
) -> Found:
    """The moments of ``clips`` that answer ``query``, also those that hardly do.

    Of the clips that a model has seen ``looks`` says what pictures show. ``hits`` are what is said of them.
    """
    names = {id(clip): names_of(clip) for clip in clips}
    shown = {id(clip): answer for clip in clips if looks is not None and (answer := looks.of(clip)) is not None}
    unseen = sum(looks is None or not looks.seen.has_seen_all_of(clip) for clip in clips)
    of_names = named(query, names.values())
    is_known = query.wanted or of_names.words or query.unwanted or query.unwanted_names  # else all would fit
    left = [clip for clip in clips if not is_excluded(query, names[id(clip)])]
    moments = list[Moment]()
    for clip in left:
        answer = shown.get(id(clip))
        if answer is not None and (answer[0] is not None or query.unwanted_texts):
            moments += _looked(clip, query, answer, names[id(clip)], vocabulary)
        elif is_known:
            scores = of_measured(clip, of_names, names[id(clip)], vocabulary)
            for shot in clip.facts.shots:
                moments += _in_shot(clip, scores, shot.first, shot.end, _STEADY)
    said = {term for hit in hits.wanted for term in hit.terms}
    unknown = () if shown else tuple(word for word in query.words if word not in of_names.words and word not in said)
    return Found(fuse(moments, left, hits), unknown, unseen, len(clips))


def _looked(
    clip: Clip, query: Query, answer: Answer, names: frozenset[str], vocabulary: Vocabulary
) -> Iterable[Moment]:
    """Of a clip that a model has seen."""
    scores = of_seen(clip, query, answer, vocabulary)
    hits = terms_in(query, names)
    share = len(hits) / len(query.terms) if hits else 0.0
    for shot in clip.facts.shots:
        for moment in _in_shot(clip, scores, shot.first, shot.end, steady=0.0):
            why = {**moment.why, **dict.fromkeys(hits, 1.0)}
            yield replace(moment, named=share, score=max(moment.score, share), why=why)


def _in_shot(clip: Clip, scores: Scores, first: int, end: int, steady: float) -> Iterable[Moment]:
    """The best stretch, and others that are as good for themselves; an answer must hold ``steady`` seconds."""
    fps = float(clip.info.picture.fps)
    size = min(max(round(steady * fps), 1), end - first)
    left = uniform_filter1d(scores.score[first:end], size, mode="nearest")
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
            {name: float(one[span].mean()) for name, one in scores.wanted.items()},
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
