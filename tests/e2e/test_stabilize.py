from __future__ import annotations

from pathlib import Path

import av
import numpy as np

import montage_ai
from montage_ai.media.camera_path import shake
from montage_ai.media.files import sha256
from montage_ai.media.probe import probe
from montage_ai.parallel import StopSign
from montage_ai.tasks.stabilize import Stabilize, detect_motions
from montage_ai.tasks.task import InputFile
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


def test_from_python_as_a_drop_in(footage: Path, tmp_path: Path) -> None:
    source = tmp_path / "hand held.mp4"
    source.write_bytes((footage / "handheld.mp4").read_bytes())
    result = montage_ai.stabilize_clip(source)
    assert result == tmp_path / "hand held_stabilized.mp4"
    assert source.read_bytes() == (footage / "handheld.mp4").read_bytes()
    assert np.isclose(probe(result).duration, probe(source).duration, atol=0.05)


def test_the_stop_sign_ends_a_job(footage: Path) -> None:
    import pytest

    from montage_ai.offload.offloader import Offloader
    from montage_ai.parallel import Stopped

    sign = StopSign()
    sign.set()
    task = Stabilize(
        source=InputFile(path=footage / "handheld.mp4", sha256=sha256(footage / "handheld.mp4")), deliver="clip"
    )
    with Offloader() as offloader, pytest.raises(Stopped):
        offloader.run(task, sign=sign)
