"""``analyze``, ``beats``, ``styles``, ``doctor`` and the overview: for people, and as JSON for scripts."""

from __future__ import annotations

from pathlib import Path

import pytest

import montage_ai
from tests.e2e.conftest import Program


def test_analyze_tells_every_clip(program: Program, footage: Path) -> None:
    ran = program("analyze", footage)
    assert ran.code == 0, ran.err
    for told in ("ball.mp4", "cars upright.mp4", "180x320", "photo.jpg", "photo", "6.0 s"):
        assert told in ran.out
    events = program("analyze", footage, "--json").events
    clips = {Path(e["file"]).name: e for e in events if e["event"] == "clip"}
    assert set(clips) == {path.name for path in footage.iterdir()}
    assert (clips["ball.mp4"]["size"], clips["wheel.mp4"]["fps"], clips["ball.mp4"]["seconds"]) == ([320, 180], 25.0, 6)
    assert clips["handheld.mp4"]["shake"] > 4 * clips["ball.mp4"]["shake"]


def test_names_are_no_markup(program: Program, footage: Path, tmp_path: Path) -> None:
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "beach [bold] [a].mp4").write_bytes((footage / "ball.mp4").read_bytes())
    assert "beach [bold] [a].mp4" in program("analyze", "clips").out


def test_beats_tells_tempo_and_sections(program: Program, music: Path) -> None:
    ran = program("beats", music)
    assert ran.code == 0, ran.err
    assert "pulse of 120.0 beats a minute" in ran.out
    assert "high" in ran.out
    (grid,) = [e for e in program("beats", music, "--json").events if e["event"] == "beat_grid"]
    assert grid["tempo"] == pytest.approx(120, abs=0.1)
    assert len(grid["beats"]) == pytest.approx(48, abs=1)


def test_styles_lists_them_and_names_a_bad_one_of_the_users(program: Program, home: Path) -> None:
    own = home / "data" / "styles"
    own.mkdir(parents=True)
    (own / "mine.toml").write_text('summary = "My own."')
    (own / "broken.toml").write_text("summary = 7")
    ran = program("styles")
    assert ran.code == 0
    assert "mine           My own." in ran.out
    assert "wes_anderson" in ran.out
    assert "broken.toml" in ran.err
    assert {e["name"] for e in program("styles", "--json").events} >= {"mine", "dynamic", "trailer"}


def test_doctor_says_that_all_is_well_and_what_is_not(
    program: Program, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = program("doctor")
    assert ran.code == 0, ran.out
    assert ran.out.count("ok  ") == len(ran.out.splitlines()) >= 6
    poor = tmp_path / "ffmpeg"
    poor.write_text("#!/bin/sh\necho ffmpeg version 4.4 x\n")
    poor.chmod(0o755)
    monkeypatch.setenv("MONTAGE_AI_FFMPEG", str(poor))
    ran = program("doctor", "--json")
    assert ran.code == 2
    failed = {e["name"]: e["found"] for e in ran.events if not e["ok"]}
    assert "xfade" in failed["FFmpeg's filters"]


def test_what_is_no_command_is_told_with_what_was_meant(program: Program) -> None:
    ran = program("mkae")
    assert ran.code == 2
    assert "There is no command 'mkae'" in ran.err
    assert "`make`" in ran.err
    assert program("--version").out.strip() == montage_ai.__version__


@pytest.mark.parametrize(
    "arguments", [("make", "nowhere", "-m", "x.mp3"), ("beats", "x.mp3"), ("make", "x", "-m", "y", "--aspect", "3:2")]
)
def test_mistakes_are_one_json_object_where_json_is_asked_for(program: Program, arguments: tuple[str, ...]) -> None:
    ran = program(*arguments, "--json")
    assert ran.code == 2
    (error,) = ran.events
    assert (error["event"], error["exit_code"]) == ("error", 2)
    assert error["message"]
