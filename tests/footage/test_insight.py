"""Wishes are understood as searches are."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from montage_ai.footage.clip import Clip
from montage_ai.footage.footage_analyzer import analyze_file
from montage_ai.footage.library import Library
from montage_ai.footage.search import ClipInsight, Insight, Seen, gain_insight, load_vocabulary, parse_query
from montage_ai.footage.texts import Text
from montage_ai.footage.vectors import Rows
from montage_ai.media.probe import probe
from tests.footage.test_labels import Knowing

Make = Callable[..., Path]


@pytest.fixture(scope="module")
def clip(plain: Path) -> Clip:
    return analyze_file(probe(plain), "plain").clip


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def called(clip: Clip, name: str, digest: str) -> Clip:
    info = clip.info.model_copy(update={"path": Path(name)})
    return replace(clip, facts=clip.facts.model_copy(update={"info": info, "sha256": digest}))


def insight(
    clips: list[Clip],
    library: Library,
    wants: tuple[str, ...] = (),
    avoids: tuple[str, ...] = (),
    seen: Seen | None = None,
) -> Insight:
    vocabulary = load_vocabulary()
    asked = ({one: parse_query(one, vocabulary) for one in wishes} for wishes in (wants, avoids))
    return gain_insight(clips, *asked, vocabulary, [], seen, library.texts)


def test_captions_count_for_wishes_and_in_full_for_what_is_to_be_avoided(clip: Clip, library: Library) -> None:
    library.texts.add("plain", "caption", "blip", [Text(0, 1, "a dog on a street"), Text(1, 2, "an empty street")])
    made = insight([clip], library, ("dogs", "empty street"), ("empty street",)).clips["plain"]
    assert made.unwanted[:28].max() == 0  # a street is not an empty one
    assert made.unwanted[32:].min() == 1
    assert made.wanted.min() == 1  # the one or the other
    assert insight([clip], library, ("dogs",)).best == {"dogs": 1.0}


def test_names_count_whether_a_model_has_seen_the_clip_or_not(clip: Clip, library: Library) -> None:
    seoul, other = called(clip, "/in/seoul.mp4", "a"), called(clip, "/in/other.mp4", "b")
    street = np.array([[0, 1, 0, 0.5]], np.float16)
    seen = Seen(street, {one: Rows(np.zeros(1), np.zeros(1, np.int64)) for one in "ab"}, Knowing())
    for known in (None, seen):
        made = insight([seoul, other], library, ("seoul",), seen=known)
        assert made.clips["a"].wanted.mean() > 0.6
        assert made.clips["b"].wanted.max() <= 0.5  # to the model it is a word that says nothing


def test_words_that_mean_nothing_here_do_not_spoil_a_wish(clip: Clip, library: Library) -> None:
    without, with_such = (insight([clip], library, (wish,)).best[wish] for wish in ("loud", "loud submarine"))
    assert without == with_such > 0.5
    assert insight([clip], library, ("submarine",)).best == {"submarine": 0.0}


def test_nothing_is_known_without_a_model_and_wishes(clip: Clip, library: Library) -> None:
    made = insight([clip], library).clips["plain"]
    assert isinstance(made, ClipInsight)
    assert made.wanted.max() == made.unwanted.max() == made.mood.max() == 0
    assert set(made.picture) == {-1}
