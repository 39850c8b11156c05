"""One order of moments from several."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from montage_ai.footage.clip import Clip
from montage_ai.footage.footage_analyzer import analyze_file
from montage_ai.footage.search.fusion import Hits, fuse
from montage_ai.footage.search.moment import Moment
from montage_ai.footage.texts import Hit, Text
from montage_ai.media.probe import probe


@pytest.fixture(scope="module")
def clip(plain: Path) -> Clip:
    return analyze_file(probe(plain), "plain").clip


def moment(clip: Clip, start: float, score: float, named: float = 0.0) -> Moment:
    return Moment(clip, start, start + 1, start, score, {}, named)


def as_said(clip: Clip, share: float) -> NDArray[np.float64]:
    """Nothing is asked for but what is said."""
    return np.full(len(clip.ticks), share)


def hit(start: float, end: float, share: float = 1.0, sha256: str = "plain") -> Hit:
    return Hit(sha256, Text(start, end, f"a dog at {start}"), ("dog",), share)


def test_what_is_said_lifts_the_moments_that_it_is_said_of(clip: Clip) -> None:
    moments = [moment(clip, float(second), 0.5 - second / 10) for second in range(4)]
    best, *others = fuse(moments, [clip], Hits(wanted=[hit(3, 4)]), as_said)
    assert (best.start, best.said, best.score) == (3, "a dog at 3", 1.0)
    assert [one.start for one in others] == [0, 1, 2]
    assert not any(one.said for one in others)


def test_words_of_names_lift_too(clip: Clip) -> None:
    moments = [moment(clip, 0.0, 0.6), moment(clip, 1.0, 0.5), moment(clip, 2.0, 0.4, named=1.0)]
    assert [one.start for one in fuse(moments, [clip], Hits(), as_said)] == [2, 0, 1]


def test_what_only_a_text_tells_is_a_moment_of_its_own(clip: Clip) -> None:
    hits = Hits(wanted=[hit(1.2, 1.8, 0.5), hit(0, 1, sha256="other")])
    (first, second) = fuse([moment(clip, 0.0, 0.9)], [clip], hits, as_said)
    assert {first.start, second.start} == {0.0, 1.2}
    told = first if first.said else second
    assert (told.start, told.end, told.score, told.why) == (1.2, 1.8, 0.5, {"dog": 1.0})


def test_where_the_unwanted_is_said_nothing_is_found(clip: Clip) -> None:
    moments = fuse([moment(clip, 0.0, 0.9), moment(clip, 1.0, 0.8)], [clip], Hits([hit(0, 1)], [hit(0, 1)]), as_said)
    assert [(one.start, one.score) for one in moments if one.score] == [(1.0, 0.8)]


@given(st.lists(st.tuples(st.floats(0, 1), st.floats(0, 1)), max_size=8), st.lists(st.integers(0, 9), max_size=5))
def test_no_moment_is_lost_and_the_best_in_all_orders_is_first(
    clip: Clip, given: list[tuple[float, float]], said: list[int]
) -> None:
    moments = [moment(clip, float(number), score, named) for number, (score, named) in enumerate(given)]
    found = fuse(moments, [clip], Hits(wanted=[hit(number, number + 0.5) for number in said]), as_said)
    assert {one.start for one in found} == {one.start for one in moments} | {float(number) for number in said}
    for one in moments:
        dominated = [o for o in moments if o.score > one.score and o.named > one.named]
        if not said:
            order = [o.start for o in found]
            assert all(order.index(o.start) < order.index(one.start) for o in dominated)
