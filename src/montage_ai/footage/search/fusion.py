"""One order of moments from several: by how well they fit, by the words of names, and by what is said of them.

The orders are fused by reciprocal ranks (G. Cormack et al., SIGIR 2009), since their scores cannot be compared.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from montage_ai.footage.clip import Clip
from montage_ai.footage.search.moment import Moment
from montage_ai.footage.search.query import Query
from montage_ai.footage.texts import Hit, Text, Texts

_RANKS = 60  # as Cormack et al. have it

Ranked = tuple[Moment, int | None]
"""A moment, and the rank (0 is the best) of the text that speaks of it."""

Rate = Callable[[Clip, float], NDArray[np.float64]]
"""How well each frame of a clip answers where so large a share of what is asked for is said of it, 0 to 1."""

ByClip = Mapping[str, Sequence[tuple[int, Hit]]]


@dataclass(frozen=True)
class Hits:
    """The texts that hold words that are ``wanted``, the best first, and those that say what is ``unwanted``."""

    wanted: Sequence[Hit] = ()
    unwanted: Sequence[Hit] = ()


def find_texts(query: Query, texts: Texts, clips: Iterable[Clip]) -> Hits:
    """What is said of ``clips`` that has to do with ``query``; what is unwanted must be said in full."""
    there = {clip.facts.sha256 for clip in clips}
    unwanted = [hit for terms in query.unwanted_terms for hit in texts.find(terms) if hit.share == 1]
    return Hits(*([hit for hit in hits if hit.sha256 in there] for hits in (texts.find(query.terms), unwanted)))


def fuse(moments: Sequence[Moment], clips: Sequence[Clip], hits: Hits, rate: Rate) -> list[Moment]:
    """All ``moments``, and those of ``clips`` that only texts tell of, the best first."""
    wanted, unwanted = by_clip(hits.wanted), by_clip(hits.unwanted)
    told = [_told(moment, wanted, rate) for moment in moments]
    told += _of_texts(clips, wanted, moments, rate)
    return _in_order([(_spared(moment, unwanted), rank) for moment, rank in told])


def _told(moment: Moment, wanted: ByClip, rate: Rate) -> Ranked:
    """``moment`` with the best text that speaks of it."""
    for rank, hit in wanted.get(moment.clip.facts.sha256, ()):
        if _meet(moment, hit.said):
            score = float(rate(moment.clip, hit.share)[frames_said(moment.clip, hit.said)].max())
            return replace(moment, score=max(moment.score, score), said=hit.said.text), rank
    return moment, None


def _of_texts(clips: Sequence[Clip], wanted: ByClip, moments: Sequence[Moment], rate: Rate) -> Iterator[Ranked]:
    """Of each text that speaks of none of ``moments`` one of its own."""
    there: dict[str, list[Moment]] = {}
    for moment in moments:
        there.setdefault(moment.clip.facts.sha256, []).append(moment)
    for clip in clips:
        others = there.get(clip.facts.sha256, ())
        for rank, hit in wanted.get(clip.facts.sha256, ()):
            if not any(_meet(moment, hit.said) for moment in others):
                why, said = dict.fromkeys(hit.terms, 1.0), hit.said
                score = float(rate(clip, hit.share)[frames_said(clip, said)].max())
                if score > 0:
                    yield Moment(clip, said.start, said.end, said.start, score, why, said=said.text), rank


def _spared(moment: Moment, unwanted: ByClip) -> Moment:
    """``moment``, which is none any more where what is unwanted is said of it."""
    against = unwanted.get(moment.clip.facts.sha256, ())
    return replace(moment, score=0.0) if any(_meet(moment, hit.said) for _, hit in against) else moment


def _in_order(moments: Sequence[Ranked]) -> list[Moment]:
    by_score = sorted(moments, key=lambda one: (-one[0].score, one[0].clip.name, one[0].start))
    shares = sorted({moment.named for moment, _ in moments if moment.named}, reverse=True)

    def worth(number: int) -> float:
        moment, rank = by_score[number]
        named = 1 / (_RANKS + shares.index(moment.named)) if moment.named else 0.0
        return 1 / (_RANKS + number) + named + (0.0 if rank is None else 1 / (_RANKS + rank))

    worths = {number: worth(number) for number in range(len(by_score))}
    return [by_score[number][0] for number in sorted(worths, key=lambda number: -worths[number])]


def by_clip(hits: Sequence[Hit]) -> dict[str, list[tuple[int, Hit]]]:
    """The hits of each clip, by its SHA-256, with their ranks."""
    found: dict[str, list[tuple[int, Hit]]] = {}
    for rank, hit in enumerate(hits):
        found.setdefault(hit.sha256, []).append((rank, hit))
    return found


def frames_said(clip: Clip, said: Text) -> slice:
    """The frames of a clip that a text is about, one at least."""
    if clip.is_photo:
        return slice(None)
    low, high = np.searchsorted(clip.times, [said.start - 1e-6, said.end - 1e-6])
    low = min(int(low), len(clip.times) - 1)
    return slice(low, max(int(high), low + 1))


def _meet(moment: Moment, said: Text) -> bool:
    return moment.clip.is_photo or (moment.start < said.end and said.start < moment.end)
