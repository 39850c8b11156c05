"""Vectors of pictures: kept whole by however many programs, and found again by what they are of."""

from __future__ import annotations

import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from montage_ai.errors import VerificationError
from montage_ai.footage.library import Library
from montage_ai.footage.search.nearest import products
from montage_ai.footage.vectors import Half, Vectors

WIDTH = 4
ADDITIONS = st.lists(st.lists(st.tuples(st.sampled_from("abc"), st.integers(0, 9)), max_size=6), max_size=6)


def vector_of(digest: str, second: float) -> Half:
    return np.array([ord(digest), second, 1, 0], np.float16)


def add(vectors: Vectors, pictures: list[tuple[str, float]], model: str = "m", sampler: int = 1) -> None:
    rows = np.array([vector_of(*one) for one in pictures], np.float16).reshape(-1, WIDTH)
    vectors.add(model, "name", "{}", sampler, pictures, rows)


def check(vectors: Vectors, expected: set[tuple[str, float]], model: str = "m", sampler: int = 1) -> None:
    """Each picture is there once, in order, with its own vector."""
    (known,) = (one for one in vectors.models() if one.identity == model)
    matrix = vectors.matrix(known)
    assert matrix.shape == (known.rows, WIDTH)
    found = list[tuple[str, float]]()
    for digest, rows in vectors.rows(model, sampler).items():
        assert list(rows.seconds) == sorted(rows.seconds)
        for second, row in zip(rows.seconds, rows.rows, strict=True):
            assert np.array_equal(matrix[row], vector_of(digest, second))
            found.append((digest, float(second)))
    assert len(found) == len(expected)
    assert set(found) == expected


@given(ADDITIONS)
def test_every_picture_is_there_once(
    tmp_path_factory: pytest.TempPathFactory, additions: list[list[tuple[str, int]]]
) -> None:
    with Library(tmp_path_factory.mktemp("library")) as library:
        for pictures in additions:
            unique = list(dict.fromkeys((digest, float(second)) for digest, second in pictures))
            add(library.vectors, unique)
        if additions:
            check(library.vectors, {(digest, float(second)) for pictures in additions for digest, second in pictures})


def test_another_sampler_or_model_knows_nothing_of_them(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        add(library.vectors, [("a", 1.0)])
        add(library.vectors, [("a", 1.0)], sampler=2)
        add(library.vectors, [("b", 1.0)], model="other")
        check(library.vectors, {("a", 1.0)})
        check(library.vectors, {("a", 1.0)}, sampler=2)
        check(library.vectors, {("b", 1.0)}, model="other")
        assert [one.identity for one in library.vectors.models()] == ["other", "m"]


def test_what_a_program_that_was_killed_wrote_is_overwritten(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        add(library.vectors, [("a", 1.0)])
        (file,) = (tmp_path / "vectors").iterdir()
        with file.open("ab") as rest:
            rest.write(b"\xff" * 13)
        check(library.vectors, {("a", 1.0)})
        add(library.vectors, [("a", 2.0), ("b", 0.0)])
        check(library.vectors, {("a", 1.0), ("a", 2.0), ("b", 0.0)})


def test_threads_and_programs_add_to_one_array(tmp_path: Path) -> None:
    program = """
import sys
from pathlib import Path
from tests.footage.test_vectors import add
from montage_ai.footage.library import Library
with Library(Path(sys.argv[1])) as library:
    for second in range(20):
        add(library.vectors, [(sys.argv[2], float(second)), ("c", float(second))])
"""
    with Library(tmp_path) as library, ThreadPoolExecutor(4) as pool:
        running = [
            subprocess.Popen([sys.executable, "-c", program, str(tmp_path), name], cwd=Path(__file__).parents[2])
            for name in "ab"
        ]
        list(pool.map(lambda second: add(library.vectors, [("d", float(second)), ("c", float(second))]), range(20)))
        assert [one.wait() for one in running] == [0, 0]
        check(library.vectors, {(name, float(second)) for name in "abcd" for second in range(20)})


def test_an_array_that_was_cut_short_is_named(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        add(library.vectors, [("a", 1.0), ("a", 2.0)])
        (file,) = (tmp_path / "vectors").iterdir()
        file.write_bytes(file.read_bytes()[:-1])
        with pytest.raises(VerificationError, match="not whole") as caught:
            library.vectors.matrix(library.vectors.models()[0])
        assert str(file) in str(caught.value)


def test_vectors_of_another_width_are_refused(tmp_path: Path) -> None:
    with Library(tmp_path) as library:
        add(library.vectors, [("a", 1.0)])
        with pytest.raises(VerificationError, match="7 numbers"):
            library.vectors.add("m", "name", "{}", 1, [("a", 3.0)], np.ones((1, 7), np.float16))
        check(library.vectors, {("a", 1.0)})


@pytest.mark.parametrize("vectors", [0, 1, 3])
@pytest.mark.parametrize("rows", [0, 1, 3, 40_000])
def test_search_is_exact(rows: int, vectors: int) -> None:
    rng = np.random.default_rng(rows)
    matrix, asked = (rng.normal(size=(count, 48)).astype(np.float16) for count in (rows, vectors))
    expected = matrix.astype(np.float32) @ asked.astype(np.float32).T
    assert np.abs(products(matrix, asked.astype(np.float32)) - expected).max(initial=0) < 0.01
