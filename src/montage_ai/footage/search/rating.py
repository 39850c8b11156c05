"""How well a clip answers a query, by whatever is known of it."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.looks import Answer, Looks
from montage_ai.footage.search.names import stands_in
from montage_ai.footage.search.query import Query
from montage_ai.footage.search.scores import Scores, of_measured, of_seen
from montage_ai.footage.search.vocabulary import Vocabulary

Series = NDArray[np.float64]


@dataclass(frozen=True)
class Rating:
    """Rates clips by ``query``, as far as its words stand in names at all; ``looks`` are those of a model."""

    query: Query
    vocabulary: Vocabulary
    looks: Looks | None
    _known: dict[tuple[str, frozenset[str], float], Series] = field(
        default_factory=dict, init=False, repr=False, compare=False
    )

    def sees(self, clip: Clip) -> bool:
        """Whether a model answers for the clip, not only what was measured."""
        return self._answer(clip) is not None

    def scores(self, clip: Clip, names: frozenset[str], said: float = 0.0) -> Scores | None:
        """For a clip with these ``names``; None where nothing is asked for that is known of it.

        ``said`` is the share of what is asked for that is there because someone says so, 0 to 1. It makes up for what a
        model does not see, never for what is not wanted, nor, beside it, for what is measured.
        """
        query = self.query
        if (answer := self._answer(clip)) is not None:
            return of_seen(clip, query, answer, self.vocabulary, said)
        if query.wanted or query.words or query.unwanted or query.unwanted_names:  # else all would fit
            return of_measured(clip, query, names, self.vocabulary, said)
        return None

    def if_said(self, clip: Clip, names: frozenset[str], said: float) -> Series:
        """The scores where a text says ``said`` of what is asked for, shape (frames,)."""
        key = clip.facts.sha256, names, said  # many texts of a clip say the same share
        if key not in self._known:
            scores = self.scores(clip, names, said)
            self._known[key] = np.full(len(clip.ticks), said) if scores is None else scores.score
        return self._known[key]

    def in_names(self, names: frozenset[str]) -> tuple[str, ...]:
        """The words that are asked for and stand in ``names``."""
        return tuple(word for word in self.query.terms if stands_in(word, names))

    def said_by_names(self, clip: Clip, names: frozenset[str]) -> float:
        """The share of what is asked for that ``names`` say; of what was only measured, each word counts by itself."""
        share = len(self.in_names(names)) / max(len(self.query.terms), 1)
        return share if self.sees(clip) else float(share == 1)

    def _answer(self, clip: Clip) -> Answer | None:
        answer = None if self.looks is None else self.looks.of(clip)
        return answer if answer is not None and (answer[0] is not None or self.query.unwanted_texts) else None
