"""Errors name the file, what is wrong and what to do, on one line whatever the file is called."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from montage_ai import errors
from montage_ai.errors import MediaError, MontageError, UserError, WorkError, error_from, printable

KINDS = [k for k in vars(errors).values() if isinstance(k, type) and issubclass(k, MontageError)]


@given(st.binary(max_size=40))
def test_any_file_name_of_this_system_is_printable_on_one_line(name: bytes) -> None:
    shown = printable(name.decode("utf-8", "surrogateescape"))
    assert shown.isprintable()
    shown.encode("utf-8")


def test_a_file_name_that_only_windows_allows_is_printable() -> None:
    assert printable("a\ud800.mp4").isprintable()


@given(st.text("abcäß漢字😀 '\"-:$%", max_size=40))
def test_a_printable_name_is_shown_as_it_is(name: str) -> None:
    assert printable(name) == name


def test_control_characters_cannot_reach_a_terminal() -> None:
    assert printable("a\nb\x1b[31m\u202ec") == "a\\nb\\x1b[31m\\u202ec"


def test_the_message_names_the_file_then_what_then_what_to_do() -> None:
    error = MediaError("is broken.", file=Path("a\nb.mp4"), hint="Leave it out.")
    assert str(error) == "a\\nb.mp4: is broken. Leave it out."


@pytest.mark.parametrize("kind", KINDS)
def test_the_exit_code_tells_failed_work_from_the_users_mistake(kind: type[MontageError]) -> None:
    assert kind("x").exit_code == (2 if issubclass(kind, UserError) else 1)
    assert not (issubclass(kind, UserError) and issubclass(kind, WorkError))


@pytest.mark.parametrize("kind", KINDS)
def test_an_error_survives_the_way_between_processes(kind: type[MontageError]) -> None:
    error = kind("is broken.", file="a.mp4", hint="Leave it out.")
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


@pytest.mark.parametrize("kind", ["UnreachableError", "WrongResultError", "TaskError", "FFmpegError", "unheard-of"])
def test_what_another_machine_says_cannot_look_like_a_line_of_ours(kind: str) -> None:
    error = error_from(kind, "broken\nError: all is lost\n/etc/film.mp4: steadied", file=None, hint="x\nWarning: y")
    assert all(line.startswith("  ") for line in str(error).split("\n")[1:])
    assert "Warning" not in str(error)
