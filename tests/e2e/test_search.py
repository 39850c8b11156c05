"""Searching from the command line."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.e2e.conftest import Program


def test_moments_are_found_in_a_folder_and_then_in_all_that_is_known(
    program: Program, footage: Path, tmp_path: Path
) -> None:
    clips = Path(shutil.copytree(footage, tmp_path / "clips"))  # written just now: they are found all the same
    ran = program("search", "shaky", "--in", clips, "--json")
    assert ran.code == 0, ran.err
    moments = [event for event in ran.events if event["event"] == "moment"]
    assert Path(moments[0]["file"]).name == "handheld.mp4"
    assert 0 <= moments[0]["start"] < moments[0]["end"] <= 5.1
    again = program("search", "shaky", "--json")
    assert [event for event in again.events if event["event"] == "moment"] == moments
    assert "Looking at the footage" not in again.err


def test_a_sheet_shows_them(program: Program, footage: Path, tmp_path: Path) -> None:
    ran = program("search", "upright cars", "--in", footage, "--sheet", "sheet.html")
    assert ran.code == 0, ran.err
    page = (tmp_path / "sheet.html").read_text()
    assert (footage / "cars upright.mp4").as_uri() in page
    assert "data:image/jpeg;base64," in page
    assert "http" not in page
    assert program("search", "upright", "--in", footage, "--sheet", "sheet.html").code == 0  # ours may be replaced
    (tmp_path / "sheet.html").write_text("mine")
    ran = program("search", "upright", "--in", footage, "--sheet", "sheet.html")
    assert ran.code == 2
    assert "--force" in ran.err
    assert (tmp_path / "sheet.html").read_text() == "mine"


def test_nothing_found_is_said_with_the_best_score(program: Program, footage: Path) -> None:
    ran = program("search", "happy people", "--in", footage)
    assert ran.code == 0
    assert "Nothing fits. The best has a score of 0." in ran.out


def test_what_cannot_be_is_told(program: Program, footage: Path) -> None:
    assert "looked at yet" in program("search", "dark").err
    assert program("search", "", "--in", footage).code == 2
    assert program("search", "dark", "--in", footage, "--sheet", "sheet.png").code == 2
    assert program("search", "dark", "--in", footage / "nowhere").code == 2


def test_tags_of_every_shot(program: Program, footage: Path) -> None:
    shots = [event for event in program("tags", footage, "--json").events if event["event"] == "shot"]
    tags = {Path(shot["file"]).name: shot["tags"] for shot in shots}
    assert "upright" in tags["cars upright.mp4"]
    assert "photo" in tags["photo.jpg"]
    assert "shaky" in tags["handheld.mp4"]
