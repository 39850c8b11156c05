"""One decode of a clip, all that is measured on it."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from montage_ai.errors import MediaError
from montage_ai.footage.clip import Clip, ClipFacts
from montage_ai.footage.footage_analyzer import Analysis, analyze_file
from montage_ai.footage.quality import judge
from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.probe import probe
from montage_ai.parallel import Stopped, StopSign


def analyzed(path: Path) -> Analysis:
    return analyze_file(probe(path), "digest")


@pytest.mark.parametrize("kind", ["plain", "rotated", "vfr", "anamorphic", "hdr", "silent", "one_frame", "truncated"])
def test_every_kind_of_clip_is_measured_frame_by_frame(request: pytest.FixtureRequest, kind: str) -> None:
    analysis = analyzed(request.getfixturevalue(kind))
    clip = analysis.clip
    frames = len(clip.ticks)
    assert clip.ticks[0] == 0
    assert {len(clip.arrays[n]) for n in ("luma", "contrast", "change", "dx", "dy", "subject")} == {frames}
    assert all(np.isfinite(values).all() for values in clip.arrays.values())
    assert clip.facts.shots[0].first == 0
    assert clip.facts.shots[-1].end == frames
    assert analysis.pictures
    assert (clip.facts.damage is not None) == (kind == "truncated")


def test_facts_survive_json(plain: Path) -> None:
    facts = analyzed(plain).clip.facts
    assert ClipFacts.model_validate_json(facts.model_dump_json()) == facts


def test_a_photo_is_one_frame_of_the_size_it_is_shown_in(turned_photo: Path) -> None:
    analysis = analyzed(turned_photo)
    clip = analysis.clip
    assert clip.is_photo
    assert (clip.info.picture.width, clip.info.picture.height) == (80, 120)
    assert len(clip.ticks) == len(analysis.pictures) == 1


def test_the_analysis_stops_when_it_is_told_to(plain: Path) -> None:
    sign = StopSign()
    sign.set()
    with pytest.raises(Stopped):
        analyze_file(probe(plain), "digest", on_seconds=lambda _: sign.check())


def test_faces_are_only_looked_for_when_wanted(plain: Path) -> None:
    assert analyze_file(probe(plain), "digest", faces=False).clip.facts.faces == ()


def test_a_clip_that_went_away_is_named(plain: Path, tmp_path: Path) -> None:
    path = tmp_path / "gone.mp4"
    path.write_bytes(plain.read_bytes())
    info = probe(path)
    path.unlink()
    with pytest.raises(MediaError, match=r"gone\.mp4"):
        analyze_file(info, "digest")


@pytest.fixture(scope="module")
def clip(vfr: Path) -> Clip:
    return analyzed(vfr).clip


class TestTimes:
    def test_the_end_is_behind_the_last_frame(self, clip: Clip) -> None:
        assert clip.time_of(45) > clip.time_of(44)


def test_something_that_passes_a_camera_on_a_tripod_is_no_shake_and_no_blur(tmp_path: Path) -> None:
    """A white car on plain asphalt has nearly all the corners, and most of the contrast, while it is there."""
    rng = np.random.default_rng(3)
    ground = rng.normal(70, 2, (360, 640)).astype(np.uint8)
    for x, y in rng.integers((0, 0), (640, 360), (60, 2)):
        cv2.circle(ground, (int(x), int(y)), 1, 120, -1)
    cv2.line(ground, (20, 30), (120, 5), 220, 3)
    car = np.full((150, 90), 230, np.uint8)
    car[20:50, 10:80], car[70:80, 15:75] = 40, 90
    frames = []
    for n in range(100):
        frame, top = ground.copy(), 6 * (n - 25) - 150
        if 0 <= top < 210:
            frame[top : top + 150, 150:240] = car
        frames.append(np.vstack([frame, np.full((180, 640), 128, np.uint8)]).tobytes())
    path = tmp_path / "car park.mp4"
    raw = ["-f", "rawvideo", "-pix_fmt", "yuv420p", "-video_size", "640x360", "-framerate", "25", "-i", "pipe:0"]
    run_ffmpeg([*raw, "-crf", "18", f"file:{path}"], feed=frames)
    moments = judge(analyze_file(probe(path), "digest", faces=False).clip)
    passing = slice(60, 75)
    assert moments.shake[passing].max() < 0.003
    assert moments.motion[passing].min() > 5 * moments.motion[:20].max()
    assert moments.quality[passing].min() > 0.8 * moments.quality[:20].mean()
