"""Every option of ``make`` reaches the brief, in its own unit."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from montage_ai.api import montage
from montage_ai.cli.command import run_command
from montage_ai.edit.brief import Brief, Exclusion, Pin


class _CalledError(Exception):
    pass


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """What ``make_montage`` is called with for a command line."""

    def ask(*options: str) -> dict[str, Any]:
        got: dict[str, Any] = {}

        def make_montage(footage: list[Path], music: Path, output: Path, **others: Any) -> None:
            got.update(others, footage=footage, music=music, output=output)
            raise _CalledError

        monkeypatch.setattr(montage, "make_montage", make_montage)
        with pytest.raises(_CalledError):
            run_command("make", "make:make", ["clips", "more.mp4", "-m", "track.mp3", *options])
        return got

    return ask


def test_what_is_not_given_is_left_to_the_program(asked: Callable[..., dict[str, Any]]) -> None:
    got = asked()
    assert (got["footage"], got["music"]) == ([Path("clips"), Path("more.mp4")], Path("track.mp3"))
    assert (got["output"], got["plan_only"], got["force"]) == (Path("film.mp4"), False, False)
    assert got["brief"] == Brief(style=got["brief"].style)
    assert got["brief"].style.name == "dynamic"


@pytest.mark.parametrize(
    ("options", "field", "value"),
    [
        (("--duration", "12.5"), "duration", 12.5),
        (("--aspect", "9:16"), "aspect", "9:16"),
        (("--quality", "master"), "quality", "master"),
        (("--fps", "29.97"), "fps", Fraction("29.97")),
        (("--fps", "30000/1001"), "fps", Fraction(30000, 1001)),
        (("--density", "half"), "density", "half"),
        (("--beat-offset", "-40"), "beat_offset", -0.04),
        (("--stabilize", "never"), "stabilize", "never"),
        (("--sound", "duck"), "sound", "duck"),
        (("--pin", "a.mp4@3", "--pin", "b"), "pins", (Pin(clip="a.mp4", at=3.0), Pin(clip="b"))),
        (("--exclude", "a.mp4@1-2.5"), "exclusions", (Exclusion(clip="a.mp4", low=1.0, high=2.5),)),
        (("--exclude", "a.mp4"), "exclusions", (Exclusion(clip="a.mp4"),)),
        (("--lut", "x.cube"), "lut", Path("x.cube")),
        (("--seed", "7"), "seed", 7),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) and all(isinstance(v, str) for v in value) else "",
)
def test_options_reach_the_brief(
    asked: Callable[..., dict[str, Any]], options: tuple[str, ...], field: str, value: object
) -> None:
    brief = asked(*options)["brief"]
    assert getattr(brief, field) == value
    assert brief == Brief(style=brief.style, **{field: value})


def test_style_output_plan_and_force_are_passed_on(asked: Callable[..., dict[str, Any]]) -> None:
    got = asked("--style", "wedding", "-o", "out/x.mp4", "--plan", "--force")
    assert got["brief"].style.name == "wedding"
    assert (got["output"], got["plan_only"], got["force"]) == (Path("out/x.mp4"), True, True)
