"""Shot boundaries: what is one, exactly where, and what only looks like one."""

from __future__ import annotations

import tracemalloc
from collections.abc import Callable, Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from montage_ai.footage.shots import Boundary, Shot, ShotDetector, shots
from montage_ai.media.decode import Frame, decode_pass
from montage_ai.media.probe import probe

FOOTAGE = Path(__file__).resolve().parents[3] / "shared" / "footage"
SIZE = (180, 320)

Picture = np.ndarray[Any, np.dtype[np.float32]]


def scene(number: int, size: tuple[int, int] = (500, 900)) -> Picture:
    """A made-up view, (height, width, 3) YUV: patches of light at several scales and things with edges."""
    chance = np.random.default_rng(number)
    height, width = size
    view = np.zeros((height, width, 3), np.float32)
    for cells, strength in ((4, 40), (12, 25), (60, 12)):
        coarse = (chance.normal(0, strength, (cells, cells, 3)) * (1, 0.3, 0.3)).astype(np.float32)
        view += cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC)
    view += np.array([chance.uniform(80, 150), chance.uniform(118, 138), chance.uniform(118, 138)], np.float32)
    for _ in range(120):
        x, y = int(chance.integers(width)), int(chance.integers(height))
        w, h = (int(n) for n in chance.integers(8, 70, 2))
        colour = (chance.uniform(30, 220), chance.uniform(100, 156), chance.uniform(100, 156))
        cv2.rectangle(view, (x, y), (x + w, y + h), colour, -1)
    return np.clip(view, 16, 235).astype(np.float32)


def look(view: Picture, x: float = 200, y: float = 100, size: tuple[int, int] = SIZE) -> Picture:
    """What a camera of ``size`` pixels sees of ``view`` at (x, y)."""
    move = np.array([[1, 0, -x], [0, 1, -y]], np.float32)
    return np.asarray(cv2.warpAffine(view, move, size[::-1], borderMode=cv2.BORDER_REFLECT), np.float32)


def still(view: Picture, n: int, grain: float = 1.5, **where: Any) -> list[Picture]:
    """``n`` frames of a camera on a tripod, each with its own sensor noise."""
    chance = np.random.default_rng(99)
    seen = look(view, **where)
    return [seen + np.asarray(chance.normal(0, grain, seen.shape), np.float32) for _ in range(n)]


def mix(a: Sequence[Picture], b: Sequence[Picture]) -> list[Picture]:
    n = len(a)
    return [p + (q - p) * ((k + 1) / (n + 1)) for k, (p, q) in enumerate(zip(a, b, strict=True))]


def colour(luma: float) -> Picture:
    return np.broadcast_to(np.array([luma, 128, 128], np.float32), (*SIZE, 3)).astype(np.float32)


def frames(pictures: Iterable[Picture], fps: float = 25) -> Iterable[Frame]:
    for index, picture in enumerate(pictures):
        planes = np.rint(np.clip(picture, 0, 255)).astype(np.uint8)
        u, v = (np.ascontiguousarray(planes[::2, ::2, c]) for c in (1, 2))
        nothing: Any = None
        yield Frame(index, Fraction(index) / Fraction(fps), np.ascontiguousarray(planes[..., 0]), u, v, nothing)


def detect(pictures: Iterable[Picture], fps: float = 25) -> tuple[Boundary, ...]:
    detector = ShotDetector()
    for frame in frames(pictures, fps):
        detector.push(frame)
    return detector.finish()


def cut(at: int) -> Boundary:
    return Boundary(kind="cut", start=at, end=at)


A, B, C = scene(1), scene(2), scene(3)


@pytest.mark.parametrize("at", [1, 2, 5, 20, 38, 39])
def test_a_cut_is_found_at_its_frame_from_the_first_to_the_last(at: int) -> None:
    assert detect([*still(A, at), *still(B, 40 - at)]) == (cut(at),)


@given(lengths=st.lists(st.integers(5, 25), min_size=2, max_size=5))
@settings(max_examples=8, deadline=None)
def test_every_cut_of_a_film_is_found(lengths: list[int]) -> None:
    views = (A, B, C)
    film = [picture for k, n in enumerate(lengths) for picture in still(views[k % 3], n)]
    assert detect(film) == tuple(cut(int(at)) for at in np.cumsum(lengths)[:-1])


def test_one_frame_is_one_shot_and_no_frame_is_none() -> None:
    assert detect(still(A, 1)) == ()
    assert detect([]) == ()
    assert shots((), 1) == (Shot(first=0, end=1),)
    assert shots((), 0) == ()


def test_two_frames_are_one_shot_or_two() -> None:
    assert detect(still(A, 2)) == ()
    assert detect([*still(A, 1), *still(B, 1)]) == (cut(1),)


def test_a_photo_that_stands_still_has_no_boundary() -> None:
    assert detect(still(A, 60, grain=0)) == ()
    assert detect([colour(120)] * 40) == ()


@pytest.mark.parametrize("speed", [1, 4, 12, 30])
def test_a_pan_has_no_boundary(speed: float) -> None:
    assert detect(look(A, 20 + speed * k) for k in range(min(80, int(550 / speed)))) == ()


def test_a_pan_that_starts_and_stops_at_once_has_no_boundary() -> None:
    path = [20.0] * 20 + [20.0 + 25 * k for k in range(1, 16)] + [395.0] * 20
    assert detect(look(A, x) for x in path) == ()


def test_a_jerk_of_the_camera_is_no_cut() -> None:
    path = [(200, 100)] * 20 + [(290, 60)] + [(180, 130)] + [(235, 90)] * 20
    assert detect(look(A, x, y) for x, y in path) == ()


def test_a_zoom_step_of_the_same_view_is_no_cut() -> None:
    def zoomed(scale: float) -> Picture:
        wide = look(A, 100, 60, (300, 533))
        large = cv2.resize(wide, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        y, x = (large.shape[0] - SIZE[0]) // 2, (large.shape[1] - SIZE[1]) // 2
        return np.asarray(large[y : y + SIZE[0], x : x + SIZE[1]], np.float32)

    assert detect([zoomed(1.0)] * 20 + [zoomed(0.75)] * 20) == ()


@pytest.mark.parametrize("length", [1, 2, 4])
def test_a_flash_is_no_cut(length: int) -> None:
    film = still(A, 50)
    film[20 : 20 + length] = [np.minimum(p * (2.5, 1, 1) + (60, 0, 0), 255) for p in film[20 : 20 + length]]
    assert detect(film) == ()


def test_white_frames_of_a_flash_while_the_camera_moves_are_no_cut() -> None:
    film = [look(A, 100 + 3 * k) for k in range(50)]
    film[20:22] = [colour(235)] * 2
    assert detect(film) == ()


@pytest.mark.parametrize("light", [0.3, 0.6, 1.6])
def test_a_light_switched_is_no_cut(light: float) -> None:
    film = still(A, 40)
    film[20:] = [(p - (16, 0, 0)) * (light, 1, 1) + (16, 0, 0) for p in film[20:]]
    assert detect(film) == ()


def test_a_light_dimmed_slowly_is_no_dissolve() -> None:
    film = [(p - (16, 0, 0)) * (1 - 0.6 * min(1, k / 25), 1, 1) + (16, 0, 0) for k, p in enumerate(still(A, 60))]
    assert detect(film) == ()


def test_something_that_crosses_a_still_view_is_no_boundary() -> None:
    film = still(A, 60)
    for k, picture in enumerate(film):
        cv2.rectangle(picture, (8 * k - 150, 40), (8 * k, 170), (210, 120, 140), -1)
    assert detect(film) == ()


def test_a_black_leader_ends_with_a_cut() -> None:
    assert detect([*[colour(16)] * 20, *still(A, 30)]) == (cut(20),)


def test_shots_apart_by_black_frames_are_two_cuts() -> None:
    assert detect([*still(A, 30), *[colour(16)] * 10, *still(B, 30)]) == (cut(30), cut(40))


def close(found: tuple[Boundary, ...], kind: str, start: int, end: int, by: int = 2) -> bool:
    if len(found) != 1 or found[0].kind != kind:
        return False
    return abs(found[0].start - start) <= by and abs(found[0].end - end) <= by


@pytest.mark.parametrize(("length", "fps"), [(12, 25), (25, 25), (50, 25), (30, 30), (24, 24)])
def test_a_dissolve_is_found_with_its_edges(length: int, fps: int) -> None:
    film = [*still(A, 30), *mix(still(A, length), still(B, length)), *still(B, 30)]
    assert close(detect(film, fps), "dissolve", 30, 30 + length)


def test_a_dissolve_at_60_frames_a_second_is_found() -> None:
    film = [*still(A, 50), *mix(still(A, 60), still(B, 60)), *still(B, 50)]
    assert close(detect(film, 60), "dissolve", 50, 110, by=4)


def test_a_dissolve_between_moving_cameras_is_found() -> None:
    a, b = ([look(view, 100 + speed * k) for k in range(55)] for view, speed in ((A, 1), (B, -1.5)))
    assert close(detect([*a[:30], *mix(a[30:], b[:25]), *b[25:]]), "dissolve", 30, 55, by=5)


@pytest.mark.parametrize("through", [16.0, 235.0])
def test_a_fade_through_one_colour_is_one_boundary(through: float) -> None:
    void = [colour(through)] * 12
    film = [*still(A, 30), *mix(still(A, 12), void), *void[:3], *mix(void, still(B, 12)), *still(B, 30)]
    assert close(detect(film), "fade", 30, 57)


def test_a_film_that_fades_in_from_black_and_out_to_it() -> None:
    void = [colour(16)] * 15
    film = [*void, *mix(void, still(A, 15)), *still(A, 40), *mix(still(A, 15), void), *void]
    opening, ending = detect(film)
    assert (opening.kind, opening.start, ending.kind, ending.end) == ("fade", 0, "fade", len(film))
    assert abs(opening.end - 30) <= 2
    assert abs(ending.start - 70) <= 2


def test_a_black_leader_before_a_cut_is_no_part_of_the_dissolve_after_it() -> None:
    film = [*[colour(16)] * 20, *still(A, 12), *mix(still(A, 25), still(B, 25)), *still(B, 30)]
    first, second = detect(film)
    assert first == cut(20)
    assert close((second,), "dissolve", 32, 57)


def test_a_cut_and_a_dissolve_close_to_each_other() -> None:
    film = [*still(C, 30), *still(A, 15), *mix(still(A, 25), still(B, 25)), *still(B, 30)]
    first, second = detect(film)
    assert first == cut(30)
    assert close((second,), "dissolve", 45, 70)


@pytest.mark.parametrize("fps", [4, 10])
def test_cuts_at_a_low_frame_rate(fps: int) -> None:
    film = [look(view, 150 + 12 * k) for view in (A, B, C) for k in range(10)]
    assert detect(film, fps) == (cut(10), cut(20))


def test_frames_shown_twice_hide_no_cut_and_make_none() -> None:
    film = [look(view, 100 + 6 * k) for view in (A, B) for k in range(20) for _ in range(2)]
    assert detect(film) == (cut(40),)


@pytest.mark.parametrize("size", [(320, 180), (240, 320), (134, 320), (18, 320), (91, 161)])
def test_pictures_of_every_shape(size: tuple[int, int]) -> None:
    film = [look(view, 100 + k, size=size) for view in (A, B) for k in range(15)]
    assert detect(film) == (cut(15),)


def test_the_memory_does_not_grow_with_the_pictures() -> None:
    detector = ShotDetector()
    prepared = list(frames(still(view, 1)[0] for view in (A, B)))
    reached: list[int] = []
    tracemalloc.start()
    for index in range(1800):
        shown = prepared[(index // 60) % 2]
        detector.push(Frame(index, Fraction(index, 25), shown.luma, shown.u, shown.v, shown._full))
        if index in (900, 1799):
            reached.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert reached[1] - reached[0] < 3_000_000  # the pictures would be 50 MB


def test_shots_are_the_clean_frames_between_boundaries() -> None:
    found = (cut(10), Boundary(kind="dissolve", start=20, end=30), Boundary(kind="fade", start=90, end=100))
    assert [(s.first, s.end) for s in shots(found, 100)] == [(0, 10), (10, 20), (30, 90)]
    assert shots((Boundary(kind="fade", start=0, end=5),), 5) == ()


def test_boundaries_cannot_be_changed_nor_hold_anything_else() -> None:
    with pytest.raises(ValidationError):
        cut(3).start = 4  # type: ignore[misc]
    with pytest.raises(ValidationError):
        Boundary.model_validate({"kind": "wipe", "start": 0, "end": 1})


@pytest.fixture
def real() -> Callable[[str], tuple[Boundary, ...]]:
    def find(name: str) -> tuple[Boundary, ...]:
        path = FOOTAGE / name
        if not path.is_file():
            pytest.skip(f"the test footage {path.name} is not on this machine")
        detector = ShotDetector()
        decode_pass(probe(path), [detector])
        return detector.finish()

    return find


REAL = {
    "derived/multicut_hard_9shots.mp4": (75, 125, 191, 281, 361, 406, 466, 521),
    "video/tears_of_steel_multicut.webm": (44, 295),
    "video/rooftop_shaky_handheld.mp4": (),
    "video/parking_lot_static.mp4": (),
    "video/london_street_portrait_vfr_hevc.mp4": (),
    "video/phone_rot90_vfr_short.mp4": (),
}


@pytest.mark.parametrize("name", REAL)
def test_real_clips(real: Callable[[str], tuple[Boundary, ...]], name: str) -> None:
    assert real(name) == tuple(cut(at) for at in REAL[name])
