"""The main job, run as a person runs it, and its result measured by other means than made it."""

from __future__ import annotations

import hashlib
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import opentimelineio as otio
import pytest
from opentimelineio.opentime import RationalTime, TimeRange

from montage_ai.media.audio import sound_blocks
from montage_ai.render.sound import measure
from tests.e2e.conftest import Program

QUICK = ("--quality", "preview", "--duration", "8")


def luma(path: Path) -> np.ndarray:
    """All frames' luma, shape (frames, 45, 80)."""
    with av.open(str(path)) as film:
        return np.array([f.reformat(80, 45, "gray").to_ndarray() for f in film.decode(video=0)], np.int16)


def content(folder: Path) -> dict[str, str]:
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir()}


def test_the_film_is_cut_on_the_beat(program: Program, footage: Path, music: Path, tmp_path: Path) -> None:
    before = content(footage)
    ran = program("make", footage, "--music", music, "-o", "film.mp4", "--json", *QUICK)
    assert ran.code == 0, ran.err
    film, frames = ran.film, luma(tmp_path / "film.mp4")
    fps = Fraction(film["fps"])
    assert len(frames) == film["frames"] == 8 * fps
    assert film["tempo"] == pytest.approx(120, abs=0.5)
    change = np.abs(np.diff(frames, axis=0)).mean(axis=(1, 2))
    cuts = [shot["first_frame"] for shot in film["shots"][1:]]
    assert len(cuts) >= 5
    for cut in cuts:
        assert change[cut - 1] > 4 * np.median(change), f"nothing happens at the planned cut {cut}"
        beat = round(cut / fps * 4) / 4  # the music's half beats are at multiples of a quarter second
        assert abs(cut / fps - Fraction(beat)) <= Fraction(1, 2) / fps + Fraction(2, 100)
    others = np.delete(change, [cut - 1 for cut in cuts])
    assert others.max() < min(change[cut - 1] for cut in cuts), "there is a cut that was not planned"
    assert content(footage) == before


@pytest.mark.usefixtures("known")
def test_length_loudness_and_files_beside_the_film(
    program: Program, footage: Path, music: Path, tmp_path: Path
) -> None:
    ran = program("make", footage, "-m", music, "-o", "out/film.mp4", "--json", *QUICK)
    film = tmp_path / "out" / "film.mp4"
    assert ran.code == 0, ran.err
    got = measure(["-i", str(film)])
    assert got.integrated == pytest.approx(-14, abs=0.5)
    assert got.true_peak <= -1
    seconds = sum(len(block) for block in sound_blocks(film, 48_000)) / 48_000
    assert seconds == pytest.approx(8, abs=1 / 25)
    assert sorted(path.name for path in film.parent.iterdir()) == ["film.mp4", "film.otio", "film.report.html"]
    report = (film.parent / "film.report.html").read_text()
    assert all(name in report for name in ("ball.mp4", "wheel.mp4", "data:image/jpeg"))
    assert "http" not in report.replace("http://www.w3.org", "")


def test_the_second_run_decodes_and_encodes_nothing(program: Program, footage: Path, music: Path) -> None:
    first, second = (program("make", footage, "-m", music, "--json", *QUICK).film for _ in range(2))
    assert first["decoded"] == 5
    assert first["encoded"] > 5
    assert (second["decoded"], second["encoded"]) == (0, 0)
    assert second["shots"] == first["shots"]


@pytest.mark.usefixtures("known")
def test_the_timeline_renders_again_to_the_same_film(
    program: Program, footage: Path, music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert program("make", footage, "-m", music, *QUICK, "--style", "travel").code == 0
    monkeypatch.setenv("MONTAGE_AI_HOME", str(tmp_path / "other home"))
    again = program("render", "film.otio", "-o", "again.mp4")
    assert again.code == 0, again.err
    assert (luma(tmp_path / "film.mp4") == luma(tmp_path / "again.mp4")).all()
    report = (tmp_path / "again.report.html").read_text()
    shots = report.count("<figure")
    assert shots == (tmp_path / "film.report.html").read_text().count("<figure") > 3
    assert report.count("data:image/jpeg") == 2 * shots  # though this home knows no clip
    assert "film.otio says" in report


@pytest.mark.usefixtures("known")
@pytest.mark.slow
def test_an_edited_timeline_is_rendered_as_edited_and_not_overwritten(
    program: Program, footage: Path, music: Path, tmp_path: Path
) -> None:
    make = ("make", footage, "-m", music, *QUICK)
    assert program(*make).code == 0
    document = otio.adapters.read_from_file(str(tmp_path / "film.otio"))
    track = document.video_tracks()[0]
    first = track[0]
    frames = round(first.source_range.duration.value) - 5
    first.source_range = TimeRange(
        first.source_range.start_time, RationalTime(frames, first.source_range.duration.rate)
    )
    otio.adapters.write_to_file(document, str(tmp_path / "film.otio"))
    before = luma(tmp_path / "film.mp4")
    again = program("render", "film.otio", "-o", "film.mp4", "--json")
    assert again.code == 0, again.err
    assert again.film["encoded"] <= 1  # the shot that was trimmed
    assert (luma(tmp_path / "film.mp4")[frames:] == before[frames + 5 :]).all()
    ran = program(*make)
    assert ran.code == 2
    assert "film.otio: exists" in ran.err


def test_plan_decides_and_makes_nothing(program: Program, footage: Path, music: Path, tmp_path: Path) -> None:
    ran = program("make", footage, "-m", music, "--plan", *QUICK)
    assert ran.code == 0, ran.err
    assert "8.00 s" in ran.out
    assert not list(tmp_path.glob("*.mp4"))


def test_every_stage_is_told_as_json_and_nothing_else_is_printed(program: Program, footage: Path, music: Path) -> None:
    ran = program("make", footage, "-m", music, "--json", *QUICK)
    kinds = [event["event"] for event in ran.events]
    assert kinds[-1] == "film"
    assert {"stage", "progress", "stage_done"} <= set(kinds)
    stages = {event["stage"] for event in ran.events if event["event"] == "stage"}
    assert stages == {event["stage"] for event in ran.events if event["event"] == "stage_done"}


@pytest.mark.parametrize(
    "options",
    [
        ("--aspect", "9:16", "--style", "wedding", "--sound", "duck"),
        ("--aspect", "1:1", "--density", "bar", "--stabilize", "never"),
        ("--aspect", "4:5", "--density", "beat", "--fps", "23.976", "--beat-offset", "40"),
        ("--aspect", "source", "--density", "half", "--style", "trailer", "--stabilize", "always", "--sound", "mix"),
    ],
    ids=lambda options: " ".join(options),
)
@pytest.mark.usefixtures("known")
def test_options_reach_the_film(
    program: Program, footage: Path, music: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    ran = program("make", footage, "-m", music, "--json", "--quality", "preview", "--duration", "6", *options)
    assert ran.code == 0, ran.err
    with av.open(str(tmp_path / "film.mp4")) as film:
        width, height = film.streams.video[0].width, film.streams.video[0].height
        assert film.streams.video[0].average_rate == Fraction(ran.film["fps"])
    shapes = {"9:16": 9 / 16, "1:1": 1, "4:5": 4 / 5, "source": 16 / 9}
    assert width / height == pytest.approx(shapes[options[1]], rel=0.01)
    if "--fps" in options:
        assert ran.film["fps"] == "24000/1001"
    if "bar" in options:
        assert [shot["beat"] for shot in ran.film["shots"][1:]] == pytest.approx([2, 4], abs=0.03)


@pytest.mark.usefixtures("known")
def test_pins_and_exclusions_reach_the_film(program: Program, footage: Path, music: Path) -> None:
    wishes = ("--pin", "wheel.mp4@3", "--exclude", "ball.mp4", "--exclude", "handheld.mp4@0-4")
    shots = program("make", footage, "-m", music, "--json", "--plan", *QUICK, *wishes).film["shots"]
    wheel = [s for s in shots if s["clip"].endswith("wheel.mp4")]
    assert any(s["start"] <= 3 <= s["start"] + s["frames"] / 25 for s in wheel)
    assert not any(s["clip"].endswith("ball.mp4") for s in shots)
    assert all(s["start"] >= 4 for s in shots if s["clip"].endswith("handheld.mp4"))


@pytest.mark.slow
def test_real_clips_and_real_music(program: Program, shared: Path, tmp_path: Path) -> None:
    tracks = shared / "music" / "Backbeat_130bpm.mp3"
    ran = program("make", shared / "video", "--music", tracks, "--json", "--quality", "preview", timeout=500)
    assert ran.code == 0, ran.err
    film = ran.film
    fps = Fraction(film["fps"])
    assert film["tempo"] == pytest.approx(130, abs=0.5)
    assert film["frames"] == round(Fraction(46.2) * fps) == len(luma(tmp_path / "film.mp4"))
    cuts = np.array([shot["first_frame"] / fps for shot in film["shots"][1:]], float)
    beats = (cuts - 0.027) / (60 / 130 / 2)  # the annotated grid, in half beats
    assert np.abs(beats - np.round(beats)).max() * 60 / 130 / 2 < 0.5 / fps + 0.03
    assert len({shot["clip"] for shot in film["shots"]}) >= 8
