"""What is measured on frames: known motion, sharpness, colour, faces."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from montage_ai.footage.features import PACK_BYTES, Faces, FrameMeasures, FramePack, Pictures, SampleMeasures
from montage_ai.media.decode import Frame, Plane, decode_pass, photo_frame
from montage_ai.media.probe import probe

WIDTH, HEIGHT = 320, 180

Make = Callable[..., Path]

CODING = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")


def texture(seed: int = 0) -> np.ndarray:
    noise = np.random.default_rng(seed).normal(size=(HEIGHT + 80, WIDTH + 80))
    blurred = sum(cv2.GaussianBlur(noise, (0, 0), s) * s for s in (2, 5, 12))
    return cv2.normalize(np.asarray(blurred), None, 40, 215, cv2.NORM_MINMAX).astype(np.uint8)


def frame_of(picture: np.ndarray, time: Fraction | float = 0) -> Frame:
    bgr = picture if picture.ndim == 3 else cv2.cvtColor(picture, cv2.COLOR_GRAY2BGR)
    return replace(photo_frame(np.ascontiguousarray(bgr)), time=Fraction(time))


def flat(b: int, g: int, r: int) -> Frame:
    return frame_of(np.full((HEIGHT, WIDTH, 3), (b, g, r), np.uint8))


def panned(dx: float, dy: float, count: int = 25, fps: int = 25) -> dict[str, np.ndarray]:
    """The measures of a picture whose content moves by (dx, dy) pixels a frame."""
    measures, source = FrameMeasures(), texture()
    for n in range(count):
        shift = np.array([[1, 0, dx * n - 40], [0, 1, dy * n - 40]], np.float64)
        measures.push(frame_of(cv2.warpAffine(source, shift, (WIDTH, HEIGHT)), Fraction(n, fps)))
    return measures.arrays()


@settings(max_examples=10)
@given(dx=st.floats(-3, 3), dy=st.floats(-3, 3))
def test_the_motion_of_the_whole_picture_is_in_picture_widths_a_frame(dx: float, dy: float) -> None:
    arrays = panned(dx, dy)
    assert np.median(arrays["dx"][1:]) * WIDTH == pytest.approx(dx, abs=0.15)
    assert np.median(arrays["dy"][1:]) * WIDTH == pytest.approx(dy, abs=0.15)
    assert np.median(arrays["subject"][1:]) * WIDTH < 0.5


def test_the_first_frame_has_no_motion_and_a_still_picture_none_at_all() -> None:
    arrays = panned(0, 0)
    for name in ("dx", "dy", "subject", "change"):
        assert not arrays[name].any()
    assert not panned(3, 0)["dx"][:1].any()


@pytest.mark.parametrize("fps", [8, 15, 24, 60, 120])
def test_motion_is_known_for_every_frame_at_any_rate(fps: int) -> None:
    dx = panned(1.0, 0, count=40, fps=fps)["dx"][1:-8] * WIDTH
    assert dx == pytest.approx(np.ones(len(dx)), abs=0.2)


def test_something_that_moves_by_itself_is_subject_and_not_camera() -> None:
    measures = FrameMeasures()
    behind, thing = texture()[:HEIGHT, :WIDTH], texture(1)[:70, :110]
    for n in range(10):
        picture = behind.copy()
        picture[60:130, 40 + 4 * n : 150 + 4 * n] = thing
        measures.push(frame_of(picture, Fraction(n, 10)))
    arrays = measures.arrays()
    assert np.median(np.abs(arrays["dx"][1:])) * WIDTH < 0.3
    assert np.median(arrays["subject"][1:]) * WIDTH > 1


def test_brightness_and_contrast_are_those_of_the_luma() -> None:
    measures = FrameMeasures()
    for value in (0, 255):
        measures.push(flat(value, value, value))
    arrays = measures.arrays()
    assert arrays["luma"] == pytest.approx([16, 235], abs=1)
    assert arrays["contrast"] == pytest.approx([0, 0], abs=0.1)
    assert arrays["change"] == pytest.approx([0, 219], abs=1.5)


def test_no_frames_make_empty_measures() -> None:
    arrays = FrameMeasures().arrays()
    assert set(arrays) == set(FrameMeasures.NAMES)
    assert all(len(a) == 0 for a in arrays.values())


def sampled(*frames: Frame) -> dict[str, np.ndarray]:
    samples = SampleMeasures()
    for frame in frames:
        samples.push(frame)
    return samples.arrays()


def test_a_blurred_picture_is_less_sharp_and_a_dim_one_as_sharp() -> None:
    squares = np.indices((HEIGHT, WIDTH)).sum(axis=0) // 16 % 2
    sharp = (60 + 130 * squares).astype(np.uint8)

    def sharpness(picture: np.ndarray) -> float:
        return float(sampled(frame_of(picture))["sharpness"][0])

    assert sharpness(cv2.GaussianBlur(sharp, (0, 0), 3)) < 0.3 * sharpness(sharp)
    assert sharpness((sharp * 0.6 + 30).astype(np.uint8)) == pytest.approx(sharpness(sharp), rel=0.3)


def test_colours_are_warm_cold_or_none() -> None:
    red, blue, grey = (sampled(flat(*c)) for c in ((40, 40, 200), (200, 40, 40), (120, 120, 120)))
    assert red["warmth"][0] > 30 > -10 > blue["warmth"][0]
    assert blue["tint"][0] > 30
    assert grey["saturation"][0] < 2 < 40 < red["saturation"][0]


def test_pure_black_and_white_are_clipped_and_grey_is_not() -> None:
    half = np.full((HEIGHT, WIDTH), 128, np.uint8)
    half[:, : WIDTH // 4] = 0
    half[:, -WIDTH // 4 :] = 255
    assert sampled(frame_of(half))["clipped"][0] == pytest.approx(0.5, abs=0.02)


def test_the_layout_tells_left_from_right() -> None:
    half = np.zeros((HEIGHT, WIDTH, 3), np.uint8)
    half[:, : WIDTH // 2] = 255
    layout = sampled(frame_of(half))["layout"]
    assert layout.shape == (1, 48)
    luma = layout[0, :16].reshape(4, 4)
    assert (luma[:, :2] > 230).all()
    assert (luma[:, 2:] < 20).all()


@settings(max_examples=30)
@given(rate=st.sampled_from([1, 2, 5]), fps=st.integers(1, 60), count=st.integers(1, 120))
def test_a_sample_is_taken_of_every_period_that_has_a_frame(rate: int, fps: int, count: int) -> None:
    grey = flat(90, 90, 90)
    samples = SampleMeasures(rate)
    times = [Fraction(n, fps) for n in range(count)]
    for time in times:
        samples.push(replace(grey, time=time))
    firsts: dict[int, float] = {}
    for time in times:
        firsts.setdefault(int(time * rate), float(time))
    assert samples.arrays()["sample_time"] == pytest.approx(list(firsts.values()))


def packed(path: Path, *cuts: int) -> Pictures:
    """The frame pack of a clip whose shots begin at the frames ``cuts``."""
    info, pack = probe(path), FramePack()
    decoded = decode_pass(info, [pack])
    edges = [0, *cuts, len(decoded.ticks)]
    times = [*(Fraction(int(tick)) * info.picture.time_base for tick in decoded.ticks), Fraction(10**6)]
    return pack.finish(info, [(times[a], times[b]) for a, b in pairwise(edges)])


def read(jpeg: bytes) -> Plane:
    return np.asarray(cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR), np.uint8)


class TestFramePack:
    def test_one_picture_a_second_upright_and_no_larger_than_it_was(self, rotated: Path) -> None:
        pictures = packed(rotated)
        assert [seconds for seconds, _ in pictures.pack] == [0.0, 1.0]
        assert read(pictures.pack[0][1]).shape == (320, 180, 3)
        assert list(pictures.new) == [1, 1]

    def test_the_shorter_side_is_what_models_look_at(self, make: Make) -> None:
        clip = make("-f", "lavfi", "-i", "testsrc2=size=1280x720:rate=30:duration=1", *CODING, "large.mp4")
        assert read(packed(clip).pack[0][1]).shape == (256, 456, 3)

    def test_every_shot_has_one_however_short(self, make: Make) -> None:
        """Two shots within a second: the first is found as it passes, the second, much like the one before, is not."""
        colours = [("red", 0.4), ("0x00a000", 0.2), ("0x00a800", 0.2), ("blue", 0.6)]
        inputs = [
            part
            for name, seconds in colours
            for part in ("-f", "lavfi", "-i", f"color={name}:size=320x180:rate=30:duration={seconds}")
        ]
        clip = make(*inputs, "-filter_complex", "concat=n=4", *CODING, "short.mp4")
        pictures = packed(clip, 12, 18, 24)
        assert [round(30 * seconds) for seconds, _ in pictures.pack] == [0, 12, 21, 30]
        greens = [int(read(jpeg)[90, 160, 1]) for _, jpeg in pictures.pack]
        assert greens[2] > greens[1] > 100 > greens[3]

    def test_repeats_are_told_and_small_changes_are_none(self, make: Make) -> None:
        dot = "drawbox=x=140:y=80:w=24:h=24:color=white:t=fill:enable='gte(t,2)'"
        source = ("-f", "lavfi", "-i", "color=gray:size=320x180:rate=30:duration=4", "-vf", dot)
        assert list(packed(make(*source, *CODING, "dot.mp4")).new) == [1, 0, 1, 0]

    def test_what_cannot_be_made_small_is_made_worse(self, make: Make) -> None:
        noise = ("-f", "lavfi", "-i", "nullsrc=size=1280x720:rate=30:duration=1,geq=random(1)*255:128:128")
        clip = make(*noise, "-c:v", "libx264", "-preset", "ultrafast", "-qp", "10", "-pix_fmt", "yuv420p", "noise.mp4")
        assert 0 < len(packed(clip).pack[0][1]) <= PACK_BYTES


def test_no_faces_in_a_test_pattern(plain: Path) -> None:
    faces = Faces()
    decode_pass(probe(plain), [faces])
    assert faces.found == []


def test_real_faces_are_found_within_the_picture(shared: Path) -> None:
    faces = Faces()
    with av.open(str(shared / "video" / "webcam_two_faces_noaudio.webm")) as container:
        faces.push(frame_of(next(container.decode(video=0)).to_ndarray(format="bgr24"), 1.0))
    assert faces.found
    for face in faces.found:
        assert face.time == 1.0
        assert 0 <= face.x < face.x + face.width <= 1
        assert 0 <= face.y < face.y + face.height <= 1


@pytest.mark.parametrize("shape", [(2, 2), (720, 8), (8, 720)])
def test_pictures_of_extreme_shapes_are_measured(shape: tuple[int, int]) -> None:
    consumers: list[Callable[[Frame], None]] = [FrameMeasures().push, SampleMeasures().push, FramePack().push]
    for value in (10, 200):
        for push in consumers:
            push(frame_of(np.full(shape, value, np.uint8)))
