"""What each shot shows, in the words of vocabularies."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from montage_ai.footage.clip import Clip, frames_of
from montage_ai.footage.search.labels import Labels, ZeroShot
from montage_ai.footage.search.seen import Seen
from montage_ai.footage.search.signals import signals
from montage_ai.footage.search.vocabulary import Vocabulary

Series = NDArray[np.float64]

_LEAST = 0.5  # a measured tag that fits less, on average over the shot, is none


@dataclass(frozen=True)
class Tagged:
    """A stretch of a clip from second ``start`` to ``end`` (0 and 0: a photo), and how surely each tag and each mood
    fits, 0 to 1: the surest first. There may be none."""

    start: float
    end: float
    tags: dict[str, float]
    moods: dict[str, float]


@dataclass(frozen=True)
class TaggedClip:
    """A clip: what it shows on average, and in each of its shots."""

    clip: Clip
    whole: Tagged
    shots: tuple[Tagged, ...]


class Tagger:
    """Tags clips by what was measured, and by what a model has ``seen``, where there is one, in terms of ``labels``."""

    def __init__(self, vocabulary: Vocabulary, labels: Sequence[Labels], seen: Seen | None) -> None:
        self._vocabulary, self._seen = vocabulary, seen
        self._asked = [] if seen is None else [ZeroShot(one, seen) for one in labels]

    def tag(self, clip: Clip) -> TaggedClip:
        """The tags of a clip and its shots. Of one that was seen, only what no picture shows is measured."""
        known = self._seen.of(clip) if self._seen else None
        held = self._vocabulary.tags(signals(clip))
        if known is None:
            told = _Told(clip, held, np.zeros(0, np.int64), [])
        else:
            held = {name: holds for name, holds in held.items() if self._vocabulary.is_measured(name)}
            likely = [(one.labels, one.probabilities(known.rows)) for one in self._asked]
            told = _Told(clip, held, frames_of(clip, known.seconds), likely)
        shots = tuple(told.between(shot.first, shot.end) for shot in clip.facts.shots)
        return TaggedClip(clip, told.between(0, len(clip.ticks)), shots)


@dataclass(frozen=True)
class _Told:
    """Of every frame what was measured, and of the pictures, which were taken at ``frames``, what they show."""

    clip: Clip
    held: Mapping[str, Series]
    frames: NDArray[np.int64]
    likely: Sequence[tuple[Labels, Series]]

    def between(self, first: int, end: int) -> Tagged:
        """From frame ``first`` to before ``end``."""
        means = {name: float(holds[first:end].mean()) for name, holds in self.held.items()}
        tags, moods = {name: mean for name, mean in means.items() if mean >= _LEAST}, dict[str, float]()
        inside = (self.frames >= first) & (self.frames < end)
        for labels, probabilities in self.likely:
            (moods if labels.moods else tags).update(labels.chosen(probabilities[inside]))
        return Tagged(*self.clip.seconds(first, end), _surest(tags), _surest(moods))


def _surest(tags: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(tags.items(), key=lambda one: -one[1]))
