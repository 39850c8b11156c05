"""What names and texts say counts, but never for what is not wanted, and not instead of what is measured."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from montage_ai.footage.clip import Clip
from montage_ai.footage.footage_analyzer import analyze_file
from montage_ai.footage.search import (
    Found,
    Looks,
    Moment,
    Query,
    Seen,
    ask,
    find_moments,
    load_vocabulary,
    parse_query,
)
from montage_ai.footage.search.fusion import Hits
from montage_ai.footage.search.names import names_of, stands_in
from montage_ai.footage.texts import Hit, Text
from montage_ai.footage.vectors import Rows
from montage_ai.media.probe import probe


@pytest.fixture(scope="module")
def silent_clip(silent: Path) -> Clip:
    """Two seconds of moving shapes, called ``silent.mp4``, that nothing is to be heard in."""
    return analyze_file(probe(silent), "it").clip


def called(clip: Clip, name: str) -> Clip:
    info = clip.info.model_copy(update={"path": Path("/footage/in") / name})
    return replace(clip, facts=clip.facts.model_copy(update={"info": info}))


def looks(wanted: float | None, unwanted: float = 0.0) -> Looks:
    """Of a model that has seen one picture of the clip."""
    seen = Seen(np.ones((1, 4), np.float16), {"it": Rows(np.zeros(1), np.zeros(1, np.int64))}, object())  # type: ignore[arg-type]
    return Looks(seen, None if wanted is None else np.full(1, wanted), np.full(1, unwanted))


def find(clip: Clip, query: str, model: Looks | None = None, hits: Sequence[Hit] = ()) -> Found:
    vocabulary = load_vocabulary()
    return find_moments([clip], parse_query(query, vocabulary), vocabulary, model, Hits(wanted=hits))


def best(clip: Clip, query: str, model: Looks | None = None, hits: Sequence[Hit] = ()) -> float:
    moments: list[Moment] = find(clip, query, model, hits).moments
    return max((moment.score for moment in moments), default=0.0)


CAPTION = Hit("it", Text(0.0, 2.0, "a dog on a street"), ("dog",), 1.0)


class TestNames:
    def test_they_lift_what_a_model_hardly_sees(self, silent_clip: Clip) -> None:
        dog, other = called(silent_clip, "dog.mp4"), called(silent_clip, "other.mp4")
        assert best(dog, "dog", looks(0.2)) == 1.0
        assert best(other, "dog", looks(0.2)) == pytest.approx(0.2)

    def test_but_not_over_what_is_not_wanted(self, silent_clip: Clip) -> None:
        assert best(called(silent_clip, "dog.mp4"), "dog -people", looks(0.9, 0.99)) < 0.05

    def test_nor_over_what_is_measured(self, silent_clip: Clip) -> None:
        assert best(called(silent_clip, "dog.mp4"), "dog talking", looks(0.9)) < 0.05
        assert best(called(silent_clip, "dog.mp4"), "dog -silent", looks(0.9)) < 0.05

    @pytest.mark.parametrize(
        ("name", "query"),
        [
            ("Interview Anna.mp4", "interview"),
            ("sunset.mp4", "sunset"),
            ("IMG_0123.mp4", "IMG_0123"),
            ("dog1.mp4", "dog"),
            ("wedding2019.mp4", "wedding"),
            ("Zu\u0308rich.mp4", "zürich"),
            ("Saint-Denis.mp4", "saint-denis"),
            ("L'Aquila.mp4", "l'aquila"),
            ("Zürich.mp4", "zurich"),
            ("zurich.mp4", "Zürich"),
            ("Straße.mp4", "strasse"),
            ("北京旅行.mp4", "北京"),
            ("VID_20240713_101500.mp4", "july 2024"),
            ("2024-07-13 11.25.mp4", "july"),
        ],
    )
    @pytest.mark.parametrize("is_seen", [False, True])
    def test_every_word_of_a_query_may_stand_in_them(
        self, silent_clip: Clip, name: str, query: str, is_seen: bool
    ) -> None:
        clip = called(silent_clip, name)
        shows = 0.1 if parse_query(query, load_vocabulary()).text else None
        found = find(clip, query, looks(shows) if is_seen else None)
        assert found.unknown == ()
        assert max(moment.score for moment in found.moments) > 0.5

    def test_part_of_a_word_is_not_the_word(self, silent_clip: Clip) -> None:
        names = names_of(called(silent_clip, "seagulls at Saint Paul.mp4"))
        assert not any(stands_in(word, names) for word in ("sea", "saint-denis", "-", "_"))

    def test_digits_that_are_no_date_say_nothing(self, silent_clip: Clip) -> None:
        names = names_of(called(silent_clip, "1202407135 20249913.mp4"))
        assert not any(stands_in(word, names) for word in ("2024", "july"))


class TestTexts:
    def test_they_lift_what_a_model_hardly_sees(self, silent_clip: Clip) -> None:
        assert best(silent_clip, "dog", looks(0.2), [CAPTION]) == 1.0

    def test_but_not_over_what_is_not_wanted_or_measured(self, silent_clip: Clip) -> None:
        assert best(silent_clip, "dog -people", looks(0.9, 0.99), [CAPTION]) < 0.05
        assert best(silent_clip, "dog -silent", looks(0.9), [CAPTION]) < 0.05
        assert best(silent_clip, "dog talking", looks(0.9), [CAPTION]) < 0.05

    def test_words_of_what_is_measured_are_looked_for_in_them(self) -> None:
        vocabulary = load_vocabulary()
        assert parse_query("running", vocabulary).terms == ("running",)
        assert parse_query("dog -running", vocabulary).unwanted_terms == (("running",),)
        assert parse_query("fast dog", vocabulary).terms == ("dog",)  # what is measured needs nobody to say it

    def test_alone_they_answer_where_nothing_else_does(self, silent_clip: Clip) -> None:
        assert best(silent_clip, "dog", None, [CAPTION]) == 1.0


class Plain:
    """A model to which all texts are the same."""

    scale = 10.0

    def texts(self, texts: Sequence[str]) -> np.ndarray:
        return np.full((len(texts), 3), 3**-0.5, np.float32)

    def picture(self, picture: object) -> np.ndarray:
        raise AssertionError


def test_how_alike_a_picture_is_does_not_depend_on_the_asked_one_being_known() -> None:
    asked, near, far = np.float32([1, 0, 0]), np.float32([0.8, 0.6, 0]), np.float32([0, 0, 1])

    def sure(*rows: np.ndarray) -> float:
        found = ask(Query((), ()), asked, Seen(np.float16(rows), {}, Plain())).wanted
        assert found is not None
        return float(found[0])

    assert sure(near, far, far) == pytest.approx(sure(near, far, far, asked), abs=0.2)
    assert sure(near, far, far) > 0.8
    assert sure(far, far, far) < 0.1


def test_what_is_not_wanted_and_means_nothing_is_told(silent_clip: Clip) -> None:
    assert find(silent_clip, "calm -unicorn").unknown == ("unicorn",)
    assert find(silent_clip, "calm -dog", None, []).unknown == ("dog",)
    assert find(called(silent_clip, "dog.mp4"), "calm -dog").unknown == ()
