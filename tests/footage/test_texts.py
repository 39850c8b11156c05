"""What is said of footage is found by its words."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from montage_ai.footage.library import Library
from montage_ai.footage.texts import Text
from montage_ai.media.database import Database


@pytest.fixture
def library(tmp_path: Path) -> Library:
    return Library(tmp_path)


def said(library: Library, *terms: str) -> list[tuple[str, str, float]]:
    return [(hit.sha256, hit.said.text, round(hit.share, 2)) for hit in library.texts.find(terms)]


def test_words_are_found_by_their_stems_and_the_more_of_them_the_better(library: Library) -> None:
    library.texts.add(
        "a", "caption", "blip", [Text(0, 2, "Two dogs running on a beach"), Text(2, 5, "an empty street")]
    )
    library.texts.add("b", "caption", "blip", [Text(0, 1, "A dog sleeps in a café")])
    assert said(library, "dog", "run") == [
        ("a", "Two dogs running on a beach", 1.0),
        ("b", "A dog sleeps in a café", 0.5),
    ]
    assert said(library, "CAFE") == [("b", "A dog sleeps in a café", 1.0)]
    assert said(library, "cat") == []
    assert said(library) == []


def test_texts_of_one_maker_add_up_and_replace_those_of_another(library: Library) -> None:
    library.texts.add("a", "caption", "old", [Text(0, 2, "a dog")])
    library.texts.add("a", "speech", "whisper", [Text(0, 1, "hello dog")])
    for _ in range(2):  # as two programs do that look at the same clip
        library.texts.add("a", "caption", "new", [Text(0, 2, "a cat")])
    library.texts.add("a", "caption", "new", [Text(2, 4, "a cow")])
    assert library.texts.of("a", "caption", "new") == [Text(0, 2, "a cat"), Text(2, 4, "a cow")]
    assert library.texts.of("a", "caption", "old") == []
    assert said(library, "dog") == [("a", "hello dog", 1.0)]
    assert len(said(library, "cat")) == 1


@given(st.lists(st.text(max_size=12), max_size=4))
def test_whatever_is_asked_is_no_query_language(tmp_path_factory: pytest.TempPathFactory, terms: list[str]) -> None:
    with Library(tmp_path_factory.mktemp("library")) as library:
        library.texts.add("a", "caption", "blip", [Text(0, 2, "a dog AND a cat")])
        for hit in library.texts.find([*terms, "dog", '" OR *', "NEAR(a"]):
            assert 0 < hit.share <= 1


def test_a_library_of_before_gets_them(tmp_path: Path) -> None:
    from montage_ai.footage import library as module
    from montage_ai.footage import vectors

    Database(tmp_path / "library.sqlite", module._SCHEMA, vectors.SCHEMA).close()
    with Library(tmp_path) as library:
        library.texts.add("a", "caption", "blip", [Text(0, 2, "a dog")])
        assert len(said(library, "dog")) == 1
    with sqlite3.connect(tmp_path / "library.sqlite") as db:
        assert db.execute("PRAGMA user_version").fetchone() == (3,)
    db.close()
