"""What choosing shots may go by beyond what was measured: wishes, moods, and how alike pictures are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.fusion import ByClip, Hits, by_clip, find_texts, frames_said
from montage_ai.footage.search.labels import ZeroShot, intensity
from montage_ai.footage.search.looks import ask
from montage_ai.footage.search.names import is_excluded, named, names_of
from montage_ai.footage.search.query import Query
from montage_ai.footage.search.rating import Rating
from montage_ai.footage.search.seen import Seen, shown
from montage_ai.footage.search.vocabulary import Vocabulary
from montage_ai.footage.texts import Texts
from montage_ai.footage.vectors import Half

Series = NDArray[np.float64]

_FAINT = 0.25  # what shows a wish less well than this counts for less, even where nothing shows it better


@dataclass(frozen=True)
class ClipInsight:
    """For every frame of a clip, shape (frames,), 0 to 1: how well it shows any of what is wanted, against the moment
    that shows it best; how well it shows any of what is not; how intense its mood is, and how surely it has one.

    ``picture`` is its row in ``Insight.pictures``, or -1.
    """

    wanted: Series
    unwanted: Series
    intensity: Series
    mood: Series
    picture: NDArray[np.int64]


@dataclass(frozen=True)
class Insight:
    """What is known of ``clips`` (by SHA-256), the vectors of their ``pictures``, shape (rows, width), and how well
    the best moment shows each wish."""

    clips: Mapping[str, ClipInsight] = field(default_factory=dict)
    pictures: Half = field(default_factory=lambda: np.zeros((0, 0), np.float16))
    best: Mapping[str, float] = field(default_factory=dict)


def gain_insight(
    clips: Sequence[Clip],
    wants: Mapping[str, Query],
    avoids: Mapping[str, Query],
    vocabulary: Vocabulary,
    moods: Sequence[ZeroShot],
    seen: Seen | None,
    texts: Texts,
) -> Insight:
    """What is known of ``clips``; ``wants`` and ``avoids`` are wishes in their user's words, and as understood."""
    names = [names_of(clip) for clip in clips]

    def answers(query: Query, *, in_full: bool) -> list[Series]:
        said = find_texts(query, texts, clips)
        said = Hits([hit for hit in said.wanted if hit.share == 1], said.unwanted) if in_full else said
        rating = Rating(named(query, names), vocabulary, None if seen is None else ask(query, None, seen))
        wish = _Wish(rating, by_clip(said.wanted), by_clip(said.unwanted))
        return [wish.at_frames(clip, own) for clip, own in zip(clips, names, strict=True)]

    wanted = {name: answers(query, in_full=False) for name, query in wants.items()}
    best = {name: max(float(score.max()) for score in scores) for name, scores in wanted.items()}
    reached = [[score / max(best[name], _FAINT) for score in scores] for name, scores in wanted.items()]
    unwanted = [answers(query, in_full=True) for query in avoids.values()]
    made, vectors, count = dict[str, ClipInsight](), list[Half](), 0
    for number, clip in enumerate(clips):
        frames = len(clip.ticks)
        picture, level, sure = np.full(frames, -1), np.zeros(frames), np.zeros(frames)
        if seen is not None and (known := seen.of(clip)) is not None:
            at = shown(clip, known.seconds)
            picture = np.where(at < 0, -1, at + count)
            level, sure = (each[at] * (at >= 0) for each in intensity(moods, known.rows))
            vectors.append(seen.matrix[known.rows])
            count += len(known.rows)
        wish, against = (_any([scores[number] for scores in each], frames) for each in (reached, unwanted))
        made[clip.facts.sha256] = ClipInsight(wish, against, level, sure, picture)
    return Insight(made, np.concatenate(vectors) if vectors else np.zeros((0, 0), np.float16), best)


@dataclass(frozen=True)
class _Wish:
    """Tells how well frames show what is described, as `search` would; ``wanted`` and ``unwanted`` is said of clips."""

    rating: Rating
    wanted: ByClip
    unwanted: ByClip

    def at_frames(self, clip: Clip, names: frozenset[str]) -> Series:
        """For every frame of ``clip``, 0 to 1."""
        rating = self.rating
        if is_excluded(rating.query, names):
            return np.zeros(len(clip.ticks))
        scores = rating.scores(clip, names, rating.said_by_names(clip, names))
        score = np.zeros(len(clip.ticks)) if scores is None else scores.score.copy()
        for _, hit in self.wanted.get(clip.facts.sha256, ()):
            inside = frames_said(clip, hit.said)
            score[inside] = np.maximum(score[inside], rating.if_said(clip, names, hit.share)[inside])
        for _, hit in self.unwanted.get(clip.facts.sha256, ()):
            score[frames_said(clip, hit.said)] = 0.0
        return score


def _any(scores: Sequence[Series], frames: int) -> Series:
    return np.max(scores, axis=0) if scores else np.zeros(frames)
