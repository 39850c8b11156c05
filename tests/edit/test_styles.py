from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from montage_ai import config
from montage_ai.edit.brief import Exclusion, Pin, names_clip
from montage_ai.edit.formats import parse_rate
from montage_ai.edit.styles import load_style, style_names
from montage_ai.errors import UserError

ASKED_FOR = "dynamic documentary action mtv minimalist hitchcock wes_anderson travel wedding sport vlog trailer"


def test_all_styles_are_there_and_valid() -> None:
    assert set(ASKED_FOR.split()) <= set(style_names())
    assert all(load_style(name).summary for name in style_names())


def test_users_add_their_own() -> None:
    folder = config.data_dir() / "styles"
    folder.mkdir()
    (folder / "mine.toml").write_text('summary = "Mine."\n[pacing]\nslow = 3\n')
    assert "mine" in style_names()
    assert load_style("mine").pacing.slow == 3


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        ("summary = ", "cannot be read"),
        ('summary = "x"\n[pacing]\nspeed = 3\n', "pacing.speed"),
        ('summary = "x"\n[pacing]\nmin_seconds = 9\nmax_seconds = 1\n', "min_seconds is over max_seconds"),
        ('summary = "x"\n[transitions]\nbetween_sections = "star"\n', "transitions.between_sections"),
    ],
)
def test_a_faulty_style_is_named_with_its_fault(tmp_path: Path, content: str, fault: str) -> None:
    path = tmp_path / "faulty.toml"
    path.write_text(content)
    with pytest.raises(UserError, match=fault) as caught:
        load_style(str(path))
    assert "faulty.toml" in str(caught.value)


def test_an_unknown_style_lists_the_known() -> None:
    with pytest.raises(UserError, match=r"noir.*documentary"):
        load_style("noir")


def test_pins_and_exclusions_as_people_write_them() -> None:
    assert Pin.parse("beach day@2.mp4@12.5") == Pin(clip="beach day@2.mp4", at=12.5)
    assert Pin.parse("beach.mp4") == Pin(clip="beach.mp4")
    assert Exclusion.parse("b.mp4@3-7.5") == Exclusion(clip="b.mp4", low=3, high=7.5)
    assert Exclusion.parse("2024-01-02.mp4") == Exclusion(clip="2024-01-02.mp4")
    with pytest.raises(UserError):
        Exclusion.parse("b.mp4@7-3")


def test_clips_are_named_by_name_stem_or_path() -> None:
    path = Path("/trip/day 1/beach.mp4")
    assert all(names_clip(name, path) for name in ("beach.mp4", "beach", "day 1/beach.mp4", "/trip/day 1/beach.mp4"))
    assert not any(names_clip(name, path) for name in ("each.mp4", "day 2/beach.mp4", "beach.mov"))


def test_rates_as_people_write_them() -> None:
    assert parse_rate("30000/1001") == Fraction(30000, 1001)
    assert parse_rate("29.97") == Fraction(2997, 100)
