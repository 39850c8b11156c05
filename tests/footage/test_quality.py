"""How good each moment is: black, blurred, frozen, shaky and badly lit stretches lose."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from montage_ai.footage.clip import Clip, ClipFacts
from montage_ai.footage.features import Face
from montage_ai.footage.footage_analyzer import analyze_file
from montage_ai.footage.quality import SHAKY, Moments, judge, path_shake
from montage_ai.footage.shots import Shot
from montage_ai.media.probe import MediaInfo, probe

COUNT = 120


@pytest.fixture(scope="session")
def info(plain: Path) -> MediaInfo:
    return probe(plain)


def judged(info: MediaInfo, *, faces: tuple[Face, ...] = (), **measures: object) -> Moments:
    """A good clip of four seconds, but for ``measures``."""
    defaults = {"luma": 120.0, "contrast": 45.0, "change": 3.0, "dx": 0.0, "dy": 0.0, "subject": 0.002}
    arrays = {n: np.broadcast_to(np.asarray(measures.get(n, v), np.float32), COUNT) for n, v in defaults.items()}
    samples = {"sharpness": 0.1, "clipped": 0.0}
    arrays |= {n: np.broadcast_to(np.asarray(measures.get(n, v), np.float32), 8) for n, v in samples.items()}
    arrays["sample_time"] = np.arange(8, dtype=np.float32) / 2
    shots = (Shot(first=0, end=COUNT),)
    facts = ClipFacts(info=info, sha256="x", duration=4.0, damage=None, boundaries=(), shots=shots, faces=faces)
    ticks = np.array([int(Fraction(n, 30) / info.picture.time_base) for n in range(COUNT)], np.int64)
    return judge(Clip(facts, ticks, {name: np.array(a) for name, a in arrays.items()}))


def second_half(good: float, bad: float, count: int = COUNT) -> np.ndarray:
    return np.where(np.arange(count) < count // 2, good, bad)


def test_a_good_clip_is_good_throughout(info: MediaInfo) -> None:
    moments = judged(info)
    assert moments.quality.min() > 0.7
    assert not (moments.black | moments.blurred | moments.frozen).any()


def test_black_is_worth_nothing(info: MediaInfo) -> None:
    moments = judged(info, luma=second_half(120, 17), contrast=second_half(45, 1))
    assert moments.black.tolist() == [n >= COUNT // 2 for n in range(COUNT)]
    assert not moments.quality[moments.black].any()


def test_a_dark_picture_with_content_is_not_black(info: MediaInfo) -> None:
    assert not judged(info, luma=24, contrast=15).black.any()


@pytest.mark.parametrize(
    "bad",
    [
        {"sharpness": second_half(0.1, 0.01, 8)},
        {"clipped": second_half(0, 0.8, 8)},
        {"luma": second_half(120, 225)},
        {"luma": second_half(120, 30)},
        {"change": second_half(3, 0)},
        {"dx": second_half(0, 0.02) * (-1.0) ** np.arange(COUNT)},
    ],
    ids=["blurred", "clipped", "too bright", "too dark", "frozen", "shaky"],
)
def test_a_bad_stretch_is_worse_than_the_rest(info: MediaInfo, bad: dict[str, object]) -> None:
    quality = judged(info, **bad).quality
    assert quality[75:110].max() < 0.85 * quality[10:45].min()


def test_blur_and_freeze_are_marked_where_they_are(info: MediaInfo) -> None:
    assert judged(info, sharpness=second_half(0.1, 0.01, 8)).blurred[[10, 110]].tolist() == [False, True]
    assert judged(info, change=second_half(3, 0)).frozen[[10, 110]].tolist() == [False, True]


def test_a_pause_of_some_frames_is_not_frozen(info: MediaInfo) -> None:
    change = np.full(COUNT, 3.0)
    change[40:48] = 0
    assert not judged(info, change=change).frozen.any()


def test_motion_is_in_widths_a_second(info: MediaInfo) -> None:
    assert judged(info, dx=0.01, subject=0).motion[60] == pytest.approx(0.3)


def test_a_face_counts_around_its_second(info: MediaInfo) -> None:
    moments = judged(info, faces=(Face(2.0, 0.4, 0.2, 0.2, 0.3, True), Face(2.0, 0.1, 0.1, 0.1, 0.1, False)))
    assert moments.faces[60] == pytest.approx(0.3)
    assert moments.smiles[60] == 1
    assert not moments.faces[[10, 110]].any()


@settings(max_examples=30)
@given(size=st.floats(0.001, 0.05), pan=st.floats(-0.02, 0.02), fps=st.sampled_from([24.0, 30.0, 60.0]))
def test_shake_is_more_than_a_pan_and_grows_with_its_size(size: float, pan: float, fps: float) -> None:
    jitter = np.random.default_rng(0).normal(size=(2, 240)).astype(np.float32)
    middle, times = slice(90, 150), np.arange(240) / fps
    shaken = path_shake(times, pan + size * jitter[0], size * jitter[1], fps)[middle]
    steady = path_shake(times, np.full(240, pan, np.float32), np.zeros(240, np.float32), fps)[middle]
    worse = path_shake(times, pan + 2 * size * jitter[0], 2 * size * jitter[1], fps)[middle]
    assert steady.max() < 1e-3 < 10 * shaken.min()
    assert np.allclose(worse, 2 * shaken, rtol=0.1)


@pytest.mark.parametrize("pan", [0.002, 0.01])
def test_a_steady_pan_does_not_shake(pan: float) -> None:
    assert path_shake(np.arange(90) / 30, np.full(90, pan, np.float32), np.zeros(90, np.float32), 30.0).max() < SHAKY


def test_a_clip_of_one_frame_and_a_photo_can_be_judged(one_frame: Path, photo: Path) -> None:
    for path in (one_frame, photo):
        moments = judge(analyze_file(probe(path), "x").clip)
        assert moments.quality.shape == (1,)
        assert 0 <= moments.quality[0] <= 1
        assert not moments.frozen.any()


def test_real_footage_is_shaky_where_it_was_held_in_the_hand(shared: Path) -> None:
    def shake(name: str) -> float:
        clip = analyze_file(probe(shared / "video" / name), "x", threads=2, faces=False).clip
        return float(np.median(judge(clip).shake))

    assert shake("parking_lot_static.mp4") < SHAKY < shake("rooftop_shaky_handheld.mp4")


def test_shake_is_told_by_time_and_not_by_frames() -> None:
    """The same path, seen by a camera and by a recorder that leaves out two frames of three, with a pause."""
    rng, fps = np.random.default_rng(1), 30.0
    times = np.arange(300) / fps
    path = np.cumsum(0.001 * rng.normal(size=300))
    kept = np.flatnonzero(np.arange(300) % 3 == 0)
    paused = times[kept] + np.where(kept > 150, 20.0, 0.0)
    whole = path_shake(times, np.diff(path, prepend=0).astype(np.float32), np.zeros(300, np.float32), fps)
    some = path_shake(paused, np.diff(path[kept], prepend=0).astype(np.float32), np.zeros(100, np.float32), 10.0)
    assert np.median(some) == pytest.approx(np.median(whole), rel=0.5)
    assert some.max() < 3 * whole.max()
