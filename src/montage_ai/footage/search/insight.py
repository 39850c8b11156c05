"""What choosing shots may go by beyond what was measured: wishes, moods, and how alike pictures are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.fusion import by_clip, find_texts
from montage_ai.footage.search.labels import Labels, ZeroShot, intensity
from montage_ai.footage.search.looks import Looks, ask
from montage_ai.footage.search.query import Query
from montage_ai.footage.search.scores import names_of, of_measured, of_seen
from montage_ai.footage.search.seen import Seen, shown
from montage_ai.footage.search.vocabulary import Vocabulary
from montage_ai.footage.texts import Text, Texts
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
    moods: Sequence[Labels],
    seen: Seen | None,
    texts: Texts,
) -> Insight:
    """What is known of ``clips``; ``wants`` and ``avoids`` are wishes in their user's words, and as understood."""

    def answers(query: Query) -> list[Series]:
        wish = _Wish(query, vocabulary, seen, texts)
        return [wish.at_frames(clip) for clip in clips]

    wanted = {name: answers(query) for name, query in wants.items()}
    best = {name: max(float(score.max()) for score in scores) for name, scores in wanted.items()}
    reached = [[score / max(best[name], _FAINT) for score in scores] for name, scores in wanted.items()]
    unwanted = [answers(query) for query in avoids.values()]
    asked = [] if seen is None else [ZeroShot(one, seen) for one in moods if one.intensity]
    made, vectors, count = dict[str, ClipInsight](), list[Half](), 0
    for number, clip in enumerate(clips):
        frames = len(clip.ticks)
        picture, level, sure = np.full(frames, -1), np.zeros(frames), np.zeros(frames)
        if seen is not None and (known := seen.of(clip)) is not None:
            at = shown(clip, known.seconds)
            picture, (level, sure) = at + count, (each[at] for each in intensity(asked, known.rows))
            vectors.append(seen.matrix[known.rows])
            count += len(known.rows)
        wish, against = (_any([scores[number] for scores in each], frames) for each in (reached, unwanted))
        made[clip.facts.sha256] = ClipInsight(wish, against, level, sure, picture)
    return Insight(made, np.concatenate(vectors) if vectors else np.zeros((0, 0), np.float16), best)


class _Wish:
    """Tells how well frames show what a query describes."""

    def __init__(self, query: Query, vocabulary: Vocabulary, seen: Seen | None, texts: Texts) -> None:
        self._query, self._vocabulary = query, vocabulary
        self._looks: Looks | None = None if seen is None else ask(query, None, seen)
        hits = find_texts(query, texts)
        self._said, self._said_against = by_clip(hits.wanted), by_clip(hits.unwanted)

    def at_frames(self, clip: Clip) -> Series:
        """For every frame of ``clip``, 0 to 1."""
        names = names_of(clip)
        if any(word in names for word in self._query.unwanted_words):
            return np.zeros(len(clip.ticks))
        answer = self._looks.of(clip) if self._looks else None
        if answer is not None and (answer[0] is not None or self._query.unwanted_texts):
            score = of_seen(clip, self._query, answer, self._vocabulary).score.copy()
        else:
            score = of_measured(clip, self._query, names, self._vocabulary).score.copy()
        for _, hit in self._said.get(clip.facts.sha256, ()):
            inside = _frames(clip, hit.said)
            score[inside] = np.maximum(score[inside], hit.share)
        for _, hit in self._said_against.get(clip.facts.sha256, ()):
            score[_frames(clip, hit.said)] = 0.0
        return score


def _frames(clip: Clip, said: Text) -> slice:
    """Those that a text is about."""
    if clip.is_photo:
        return slice(None)
    low, high = np.searchsorted(clip.times, [said.start - 1e-6, said.end - 1e-6])
    return slice(int(low), int(high))


def _any(scores: Sequence[Series], frames: int) -> Series:
    return np.max(scores, axis=0) if scores else np.zeros(frames)
