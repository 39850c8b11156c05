"""Stabilising: every frame of the stretch has its motion, and a steady clip its frames and sound."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from montage_ai.errors import MontageError
from montage_ai.media.camera_path import Motions
from montage_ai.media.decode import decode_pass
from montage_ai.media.files import sha256
from montage_ai.media.probe import probe
from montage_ai.tasks.stabilize import CLIP, MOTIONS, Stabilize
from montage_ai.tasks.task import InputFile, Payload


def task_for(path: Path, **parameters: Any) -> Stabilize:
    return Stabilize(source=InputFile(path=path, sha256=sha256(path)), **parameters)


def computed(path: Path, folder: Path, told: list[float] | None = None, **parameters: Any) -> Payload:
    """All three steps, as a machine of its own would take them."""
    (variant, *_), work = task_for(path, **parameters).variants(), folder / "work"
    work.mkdir()
    payload = variant.prepare(folder)
    on_fraction = (told if told is not None else []).append
    return variant.finish(variant.compute(payload, work, on_fraction), folder)


def motions(payload: Payload) -> Motions:
    return Motions.from_json(payload.files[MOTIONS].read_text())


@pytest.mark.parametrize(("kind", "frames"), [("plain", 60), ("vfr", 45), ("hdr", 15), ("one_frame", 1)])
def test_every_frame_has_its_motion(request: pytest.FixtureRequest, tmp_path: Path, kind: str, frames: int) -> None:
    made = computed(request.getfixturevalue(kind), tmp_path)
    assert made.data["frames"] == len(motions(made).steps) == frames


@pytest.mark.parametrize(
    ("start", "seconds", "frames"),
    [(Fraction(1, 2), Fraction(1), 30), (Fraction(3, 2), Fraction(0), 15), (Fraction(1, 3), Fraction(1, 30), 1)],
)
def test_only_the_stretch_is_looked_at(
    plain: Path, tmp_path: Path, start: Fraction, seconds: Fraction, frames: int
) -> None:
    assert computed(plain, tmp_path, start=start, seconds=seconds).data["frames"] == frames


def test_motion_is_measured_in_the_picture_as_it_is_shown(rotated: Path, tmp_path: Path) -> None:
    found = motions(computed(rotated, tmp_path))
    assert (found.width, found.height) == (180, 320)


def test_of_a_truncated_clip_the_good_part_is_stabilised(truncated: Path, tmp_path: Path) -> None:
    good = len(decode_pass(probe(truncated), []).ticks)
    assert computed(truncated, tmp_path).data["frames"] == pytest.approx(good, abs=2)


def test_progress_goes_from_nothing_to_all(plain: Path, tmp_path: Path) -> None:
    told: list[float] = []
    computed(plain, tmp_path, told, deliver="clip", always=True)
    assert told == sorted(told)
    assert 0 <= told[0] <= told[-1] <= 1
    assert told[-1] == pytest.approx(1, abs=0.05)


def test_of_what_does_not_shake_no_clip_is_written(make: Callable[..., Path], tmp_path: Path) -> None:
    still = make("-f", "lavfi", "-i", "testsrc2=s=320x180:r=30:d=0.5,select='eq(n,0)',loop=14:1:0", "still.mp4")
    made = computed(still, tmp_path, deliver="clip")
    assert made.data["shake"] == pytest.approx(0, abs=1e-3)
    assert set(made.files) == {MOTIONS}


def test_a_steady_clip_has_the_frames_and_the_sound_of_its_source(plain: Path, tmp_path: Path) -> None:
    made = computed(plain, tmp_path, deliver="clip", always=True)
    info = probe(made.files[CLIP])
    decoded = decode_pass(info, [])
    assert (info.picture.width, info.picture.height, len(decoded.ticks)) == (320, 180, 60)
    assert np.allclose(decoded.ticks * float(decoded.time_base), np.arange(60) / 30, atol=1e-4)
    assert info.audio is not None
    assert decoded.damage is None


def test_a_steady_clip_keeps_a_variable_frame_rate(vfr: Path, tmp_path: Path) -> None:
    before = decode_pass(probe(vfr), [])
    after = decode_pass(probe(computed(vfr, tmp_path, deliver="clip", always=True).files[CLIP]), [])
    assert np.allclose(after.ticks * float(after.time_base), before.ticks * float(before.time_base), atol=1e-3)


def test_nothing_is_left_but_what_is_delivered(silent: Path, tmp_path: Path) -> None:
    made = computed(silent, tmp_path, deliver="clip", always=True)
    assert {p.name for p in tmp_path.rglob("*") if p.is_file()} == set(made.files) == {MOTIONS, CLIP}


def test_the_source_may_have_any_name(one_frame: Path, tmp_path: Path, odd_name: str) -> None:
    path = Path(shutil.copy(one_frame, tmp_path / odd_name))
    assert computed(path, tmp_path, deliver="clip", always=True).data["frames"] == 1


def test_what_cannot_be_stabilised_is_named(tmp_path: Path, corrupt: Path, covered_music: Path) -> None:
    for number, path in enumerate((corrupt, covered_music)):
        folder = tmp_path / str(number)
        folder.mkdir()
        with pytest.raises(MontageError) as caught:
            computed(path, folder)
        assert caught.value.file == str(path)


def test_a_stretch_behind_the_end_is_an_error_about_the_file(plain: Path, tmp_path: Path) -> None:
    with pytest.raises(MontageError) as caught:
        computed(plain, tmp_path, start=100)
    assert caught.value.file == str(plain)


def test_a_longer_stretch_and_a_clip_are_more_work(plain: Path) -> None:
    def units(**parameters: Any) -> float:
        return task_for(plain, **parameters).variants()[0].work.units

    assert 0 < units(seconds=1) < units() < units(deliver="clip", always=True)
