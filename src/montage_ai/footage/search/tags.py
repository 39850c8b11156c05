"""What each shot shows, in the vocabulary's words."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.signals import signals
from montage_ai.footage.search.vocabulary import Vocabulary

_LEAST = 0.5  # a tag that fits less, on average over the shot, is none


@dataclass(frozen=True)
class Tagged:
    """A shot from second ``start`` to ``end`` of a clip (0 and 0: a photo), and how surely each tag fits, 0 to 1: the
    surest first. There may be none."""

    clip: Clip
    start: float
    end: float
    tags: dict[str, float]


def tag_shots(clip: Clip, vocabulary: Vocabulary) -> Iterator[Tagged]:
    """Each shot of ``clip`` with its tags."""
    there = vocabulary.hold(signals(clip))
    for shot in clip.facts.shots:
        means = {name: float(holds[shot.first : shot.end].mean()) for name, holds in there.items()}
        kept = sorted((name for name, mean in means.items() if mean >= _LEAST), key=lambda name: -means[name])
        yield Tagged(clip, *clip.seconds(shot.first, shot.end), {name: means[name] for name in kept})
