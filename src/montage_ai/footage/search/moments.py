"""The stretches of shots that answer a query best."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.fusion import Hits, fuse
from montage_ai.footage.search.looks import Looks
from montage_ai.footage.search.moment import Moment
from montage_ai.footage.search.names import is_excluded, named, names_of, stands_in
from montage_ai.footage.search.query import Query
from montage_ai.footage.search.rating import Rating
from montage_ai.footage.search.scores import Scores
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
    unseen = sum(looks is None or not looks.seen.has_seen_all_of(clip) for clip in clips)
    rating = Rating(named(query, names.values()), vocabulary, looks)
    left = [clip for clip in clips if not is_excluded(query, names[id(clip)])]
    moments = [moment for clip in left for moment in _of_clip(clip, rating, names[id(clip)])]
    found = fuse(moments, left, hits, lambda clip, said: rating.if_said(clip, names[id(clip)], said))
    is_looked_at = looks is not None and any(looks.of(clip) is not None for clip in clips)
    unknown = () if is_looked_at else _unknown(query, list(names.values()), hits)
    return Found(found, unknown, unseen, len(clips))


def _unknown(query: Query, names: Sequence[frozenset[str]], hits: Hits) -> tuple[str, ...]:
    """The words that mean nothing in what was measured, and that nobody says."""
    said = {term for hit in (*hits.wanted, *hits.unwanted) for term in hit.terms}
    asked = [(word,) for word in query.words] + list(query.unwanted_names)
    return tuple(
        " ".join(words)
        for words in asked
        if not said.issuperset(words) and not any(all(stands_in(word, one) for word in words) for one in names)
    )


def _of_clip(clip: Clip, rating: Rating, names: frozenset[str]) -> Iterable[Moment]:
    scores, share = rating.scores(clip, names), rating.said_by_names(clip, names)
    if scores is None:
        return
    lifted, hits = scores.score, tuple[str, ...]()
    if share:
        lifted, hits = rating.if_said(clip, names, share), rating.in_names(names)
    for shot in clip.facts.shots:
        for moment in _in_shot(clip, scores, lifted, shot.first, shot.end, 0.0 if rating.sees(clip) else _STEADY):
            yield replace(moment, named=share, why={**moment.why, **dict.fromkeys(hits, 1.0)})


def _in_shot(clip: Clip, scores: Scores, lifted: Series, first: int, end: int, steady: float) -> Iterable[Moment]:
    """The best stretch, and others that are as good for themselves; an answer must hold ``steady`` seconds.

    They are found by ``scores`` and rated by ``lifted``, which may be higher.
    """
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
            peak if lifted is scores.score else max(peak, float(lifted[span].max())),
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
