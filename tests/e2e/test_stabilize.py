from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

import montage_ai
from montage_ai.media.camera_path import shake
from montage_ai.media.files import sha256
from montage_ai.media.probe import probe
from montage_ai.media.rebuild import probe_readable
from montage_ai.tasks.stabilize import Stabilize, detect_motions
from montage_ai.tasks.task import InputFile
from tests.conftest import FFmpeg
from tests.e2e.conftest import Program


def shake_of(path: Path, folder: Path) -> float:
    info = probe(path)
    task = Stabilize(source=InputFile(path=path, sha256=""))
    return shake(detect_motions(task, info, folder, lambda _: None), float(info.picture.fps))


def frames_of(path: Path) -> int:
    with av.open(str(path)) as clip:
        return sum(1 for _ in clip.decode(video=0))


def test_a_shaky_clip_is_steadied_and_a_steady_one_left_alone(program: Program, footage: Path, tmp_path: Path) -> None:
    out = tmp_path / "steady"
    ran = program("stabilize", footage / "handheld.mp4", footage / "ball.mp4", "-o", out)
    assert ran.code == 0, ran.err
    steady, copy = out / "handheld_stabilized.mp4", out / "ball_stabilized.mp4"
    assert frames_of(steady) == frames_of(footage / "handheld.mp4")
    assert shake_of(steady, tmp_path) < 0.35 * shake_of(footage / "handheld.mp4", tmp_path)
    assert copy.read_bytes() == (footage / "ball.mp4").read_bytes()
    assert "does not shake" in ran.out


def test_the_same_command_runs_again_and_nothing_of_someone_elses_is_replaced(
    program: Program, footage: Path, tmp_path: Path
) -> None:
    out = tmp_path / "steady"
    command = ("stabilize", footage / "handheld.mp4", footage / "ball.mp4", "-o", out)
    assert program(*command).code == 0
    steady = out / "handheld_stabilized.mp4"
    first = steady.read_bytes()
    again = program(*command)
    assert again.code == 0, again.err
    assert steady.read_bytes() == first
    steady.write_bytes(b"precious")
    ran = program(*command)
    assert ran.code == 2
    assert "handheld_stabilized.mp4: exists and was not made by this program" in ran.err
    assert steady.read_bytes() == b"precious"
    assert program(*command, "--force").code == 0
    assert steady.read_bytes() == first


def test_a_bad_clip_is_named_and_the_rest_is_done(program: Program, footage: Path, tmp_path: Path) -> None:
    folder = tmp_path / "clips"
    folder.mkdir()
    (folder / "noise.mp4").write_bytes(b"\0\1\2" * 999)
    (folder / "good.mp4").write_bytes((footage / "ball.mp4").read_bytes())
    ran = program("stabilize", folder, "-o", "out", "--json")
    assert ran.code == 2
    assert [Path(e["file"]).name for e in ran.events if e["event"] == "notice"] == ["noise.mp4"]
    assert [Path(e["output"]).name for e in ran.events if e["event"] == "clip"] == ["good_stabilized.mp4"]
    assert (tmp_path / "out" / "good_stabilized.mp4").exists()
    ran = program("stabilize", folder / "noise.mp4", folder / "noise.mp4", "-o", "other")
    assert ran.code == 2
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("force", [(), ("--force",)])
def test_no_source_is_ever_an_output(program: Program, footage: Path, tmp_path: Path, force: tuple[str, ...]) -> None:
    for name in ("a.mp4", "a_stabilized.mp4"):
        (tmp_path / name).write_bytes((footage / "handheld.mp4").read_bytes() + name.encode())
    ran = program("stabilize", "a.mp4", "a_stabilized.mp4", "-o", ".", *force)
    assert ran.code == 2
    assert "one of the sources" in ran.err
    assert (tmp_path / "a_stabilized.mp4").read_bytes().endswith(b"a_stabilized.mp4")


@pytest.mark.parametrize("name", ["odd.mp4", "still.webm", "fields.mpg", "wide.mp4", "raw.h264"])
def test_unusual_clips_become_mp4_steady_or_not(program: Program, make: FFmpeg, tmp_path: Path, name: str) -> None:
    moving = ("-f", "lavfi", "-i", "testsrc2=size=320x240:rate=25:duration=1")
    clip = {
        "odd.mp4": lambda: make(*moving, "-vf", "crop=321-2:241-2", "-pix_fmt", "yuv444p", "odd.mp4"),
        "still.webm": lambda: make(*moving, "-c:v", "libvpx", "-b:v", "500k", "still.webm"),
        "fields.mpg": lambda: make(*moving, "-vf", "interlace", "-c:v", "mpeg2video", "-flags", "+ildct+ilme", name),
        "wide.mp4": lambda: make(*moving, "-vf", "setsar=64/45", "wide.mp4"),
        "raw.h264": lambda: make(*moving, "-f", "h264", "raw.h264"),  # without time stamps
    }[name]()
    frames = frames_of(clip)
    for how in ((), ("--always",)):
        ran = program("stabilize", clip, "-o", "out.mp4", "--force", *how)
        assert ran.code == 0, ran.err
        assert frames_of(tmp_path / "out.mp4") == frames
    steady = probe(tmp_path / "out.mp4").picture
    assert steady.sample_aspect == 1
    assert not steady.interlaced
    before = probe_readable(clip, sha256(clip)).picture
    assert steady.width / steady.height == pytest.approx(before.width / before.height, abs=0.02)


def test_what_a_truncated_clip_lacks_is_said(program: Program, make: FFmpeg, footage: Path, tmp_path: Path) -> None:
    whole = make("-i", footage / "handheld.mp4", "-c", "copy", "-movflags", "+faststart", "front.mp4").read_bytes()
    (tmp_path / "cut off.mp4").write_bytes(whole[: len(whole) * 2 // 3])
    ran = program("stabilize", "cut off.mp4", "-o", "out.mp4")
    assert ran.code == 0, ran.err
    assert "cannot be read; the good part is used" in ran.err


@pytest.mark.parametrize("name", ["out.txt", "out.webm"])
def test_only_what_can_be_written_is_promised(program: Program, footage: Path, tmp_path: Path, name: str) -> None:
    ran = program("stabilize", footage / "handheld.mp4", "-o", name)
    assert ran.code == 2
    assert not (tmp_path / name).exists()
    ran = program("stabilize", footage / "ball.mp4", "-o", "deep/down/out.mp4")
    assert ran.code == 0, ran.err


def test_from_python_as_a_drop_in(footage: Path, tmp_path: Path) -> None:
    source = tmp_path / "hand held.mp4"
    source.write_bytes((footage / "handheld.mp4").read_bytes())
    result = montage_ai.stabilize_clip(source)
    assert result == tmp_path / "hand held_stabilized.mp4"
    assert source.read_bytes() == (footage / "handheld.mp4").read_bytes()
    assert np.isclose(probe(result).duration, probe(source).duration, atol=0.05)
