from __future__ import annotations

from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from montage_ai import config
from montage_ai.edit.grade import Grade
from montage_ai.edit.timeline import ClipSource, Item, Move, Transition
from montage_ai.errors import ClipsFailedError
from montage_ai.media.files import sha256
from tests.conftest import FFmpeg
from tests.render.conftest import COLOURS, MakeItem, film_of, pictures, render, write_wav


def shown(picture: np.ndarray) -> str:
    """The colour that fills the picture, or ``?``."""
    mean = picture.reshape(-1, 3).mean(axis=0)
    name = min(COLOURS, key=lambda name: np.abs(mean - COLOURS[name]).sum())
    return name if np.abs(mean - COLOURS[name]).max() < 6 else "?"


def test_every_frame_is_the_planned_clips_in_its_own_colour(make_item: MakeItem, tmp_path: Path) -> None:
    render(film_of([make_item("red", 7), make_item("green", 1), make_item("blue", 13)]), tmp_path / "film.mp4")
    assert [shown(p) for p in pictures(tmp_path / "film.mp4")] == ["red"] * 7 + ["green"] + ["blue"] * 13


def test_a_dissolve_is_centred_on_its_cut(make_item: MakeItem, tmp_path: Path) -> None:
    items = [make_item("red", 20), make_item("blue", 20, start=Fraction(1, 2))]
    render(film_of(items, (Transition(kind="dissolve", frames=8),)), tmp_path / "film.mp4")
    reds = [picture[..., 0].mean() for picture in pictures(tmp_path / "film.mp4")]
    assert len(reds) == 40
    assert all(a >= b - 1 for a, b in pairwise(reds[16:25]))
    assert reds[15] > 215
    assert reds[24] < 60
    assert abs(reds[20] - (0xE0 + 0x30) / 2) < 25


@pytest.mark.parametrize("kind", ["fade_black", "fade_white", "wipe_left", "slide_left", "zoom", "whip"])
def test_transitions_keep_the_length_and_change_the_pictures(make_item: MakeItem, tmp_path: Path, kind: str) -> None:
    items = [make_item("red", 15), make_item("green", 15, start=Fraction(1, 2))]
    render(film_of(items, (Transition(kind=kind, frames=6),)), tmp_path / "film.mp4")  # type: ignore[arg-type]
    names = [shown(p) for p in pictures(tmp_path / "film.mp4")]
    assert len(names) == 30
    assert names[:12] == ["red"] * 12
    assert names[18:] == ["green"] * 12
    assert "?" in names[12:18]


@pytest.mark.parametrize(("kind", "level"), [("fade_black", 0), ("fade_white", 255)])
@pytest.mark.parametrize("frames", [8, 15])
def test_a_fade_reaches_its_colour_on_the_cut(
    make_item: MakeItem, tmp_path: Path, kind: str, level: int, frames: int
) -> None:
    items = [make_item("grey", 20), make_item("green", 20, start=Fraction(1, 2))]
    render(film_of(items, (Transition(kind=kind, frames=frames),)), tmp_path / "film.mp4")  # type: ignore[arg-type]
    off = [abs(float(picture.mean()) - level) for picture in pictures(tmp_path / "film.mp4")]
    assert np.argmin(off) == 20
    assert off[20] < 3
    assert all(a > b for a, b in pairwise(off[20 - frames // 2 : 21]))


def test_a_zoom_comes_nearer_and_shows_no_blocks(tmp_path: Path, make: FFmpeg) -> None:
    clip = make("-f", "lavfi", "-i", "testsrc2=size=320x180:rate=25:duration=3", "-qp", "4", "pattern.mp4")
    source = ClipSource(path=clip, sha256=sha256(clip))
    items = [Item(clip=source, start=Fraction(n, 2), frames=20) for n in (0, 3)]
    render(film_of(items, (Transition(kind="zoom", frames=10),)), tmp_path / "film.mp4")
    frames = pictures(tmp_path / "film.mp4")
    assert len(frames) == 40
    assert all(frame.std() > 30 for frame in frames[15:25])  # never a flat colour


def test_fades_reach_black_at_both_ends(make_item: MakeItem, tmp_path: Path) -> None:
    film = film_of([make_item("green", 25), make_item("green", 25)], opening_fade=0.4, closing_fade=0.4)
    render(film, tmp_path / "film.mp4")
    frames = pictures(tmp_path / "film.mp4")
    assert frames[0].mean() < 3
    assert frames[-1].mean() < 12
    assert shown(frames[25]) == "green"


def test_changing_one_shot_renders_one_segment(make_item: MakeItem, tmp_path: Path) -> None:
    items = [make_item(name, 10) for name in ("red", "green", "blue", "grey")]
    first = render(film_of(items), tmp_path / "a.mp4")
    again = render(film_of(items), tmp_path / "a.mp4")
    items[2] = make_item("blue", 10, start=Fraction(1, 5))
    changed = render(film_of(items), tmp_path / "b.mp4")
    assert (first.encoded, again.encoded, changed.encoded) == (4, 0, 1)
    assert (first.reused, again.reused, changed.reused) == (0, 4, 3)


@pytest.mark.parametrize("damage", ["emptied", "truncated", "another film's"])
def test_a_damaged_piece_of_the_cache_is_made_again(make_item: MakeItem, tmp_path: Path, damage: str) -> None:
    music = write_wav(tmp_path / "music.wav", 0.2 * np.sin(np.arange(48_000) * 0.05))
    film = film_of([make_item("red", 10), make_item("blue", 15)], music=music)
    render(film, tmp_path / "film.mp4")
    whole = (tmp_path / "film.mp4").read_bytes()
    segments = sorted((config.cache_dir() / "segments").glob("*.mp4"))
    (sound,) = (config.cache_dir() / "sound").glob("*.m4a")
    if damage == "another film's":
        segments[0].write_bytes(segments[1].read_bytes())
    else:
        for piece in (segments[0], sound):
            piece.write_bytes(b"" if damage == "emptied" else piece.read_bytes()[: piece.stat().st_size // 2])
    assert render(film, tmp_path / "film.mp4").encoded == 1
    assert (tmp_path / "film.mp4").read_bytes() == whole


def test_the_cache_keeps_to_its_limit(make_item: MakeItem, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MONTAGE_AI_CACHE_GB", "0")
    render(film_of([make_item("red", 10)]), tmp_path / "film.mp4")
    kept = [path for path in config.cache_dir().rglob("*") if path.is_file()]
    assert kept == []
    assert len(pictures(tmp_path / "film.mp4")) == 10


def test_a_moved_clip_is_known_by_its_content(make_item: MakeItem, tmp_path: Path) -> None:
    item = make_item("red", 10)
    render(film_of([item]), tmp_path / "a.mp4")
    moved = tmp_path / "elsewhere 'n' other name.mp4"
    moved.write_bytes(item.clip.path.read_bytes())
    again = item.model_copy(update={"clip": item.clip.model_copy(update={"path": moved})})
    assert render(film_of([again]), tmp_path / "b.mp4").encoded == 0


def test_an_item_longer_than_its_clip_is_not_passed_off_as_done(make_item: MakeItem, tmp_path: Path) -> None:
    output = tmp_path / "film.mp4"
    output.write_text("the film of yesterday")
    with pytest.raises(ClipsFailedError, match="of the 100 frames"):
        render(film_of([make_item("red", 100, start=Fraction(1))]), output)
    assert output.read_text() == "the film of yesterday"
    assert [path.name for path in tmp_path.iterdir() if path.is_file()] == ["film.mp4"]


def test_a_clip_that_is_gone_is_named(make_item: MakeItem, tmp_path: Path) -> None:
    gone = make_item("red").model_copy(update={"clip": ClipSource(path=tmp_path / "gone.mp4", sha256="0" * 64)})
    with pytest.raises(ClipsFailedError, match=r"gone\.mp4.*not there"):
        render(film_of([gone]), tmp_path / "film.mp4")


def test_speed_shows_more_of_the_clip_in_fewer_frames(tmp_path: Path, make_item: MakeItem) -> None:
    render(film_of([make_item("red", 20, speed=Fraction(2))]), tmp_path / "film.mp4")
    assert len(pictures(tmp_path / "film.mp4")) == 20


def test_a_grade_changes_the_colours_and_a_neutral_one_does_not(make_item: MakeItem, tmp_path: Path) -> None:
    items = [
        make_item("grey", 5),
        make_item("grey", 5, grade=Grade(exposure=0.5)),
        make_item("red", 5, grade=Grade(saturation=0)),
    ]
    render(film_of(items), tmp_path / "film.mp4")
    frames = pictures(tmp_path / "film.mp4")
    assert shown(frames[2]) == "grey"
    assert frames[7].mean() == pytest.approx(128 * 2 ** (0.5 / 2.2), abs=4)
    assert np.ptp(frames[12].reshape(-1, 3).mean(axis=0)) < 6


def test_an_upright_clip_is_shown_whole_in_a_wide_film_and_cropped_around_its_focus_in_a_narrow_one(
    tmp_path: Path, make_item: MakeItem
) -> None:
    wide = film_of([make_item("red", 5, focus=(0.9, 0.5))], width=90, height=160)
    assert shown(pictures(_rendered(wide, tmp_path))[2]) == "red"


def _rendered(timeline: object, folder: Path) -> Path:
    render(timeline, folder / "film.mp4")  # type: ignore[arg-type]
    return folder / "film.mp4"


def test_a_photo_moves_slowly_and_without_jumps(tmp_path: Path, make_item: MakeItem) -> None:
    import cv2

    photo = tmp_path / "photo.png"
    picture = np.zeros((360, 640, 3), np.uint8)
    cv2.circle(picture, (320, 180), 60, (255, 255, 255), -1, cv2.LINE_AA)
    cv2.imwrite(str(photo), picture)
    clip = ClipSource(path=photo, sha256=sha256(photo), kind="photo")
    item = make_item("red", 50).model_copy(update={"clip": clip, "move": Move(zoom=(1.0, 1.2))})
    film = film_of([item, make_item("red", 10, start=Fraction(1, 2))], (Transition(kind="dissolve", frames=4),))
    frames = pictures(_rendered(film, tmp_path))[:47]
    assert list((config.cache_dir() / "scratch").iterdir()) == []  # its lossless video is gone
    assert render(film, tmp_path / "again.mp4").encoded == 0
    sizes = np.sqrt([(frame[..., 0] / 255.0).sum() for frame in frames])
    steps = np.diff(sizes)
    assert sizes[-1] / sizes[0] == pytest.approx(1.2, abs=0.03)
    assert steps.min() > -0.15
    assert steps.max() < 0.6


@pytest.mark.parametrize(("size", "aspect"), [((1600, 900), (90, 160)), ((900, 1600), (320, 180))])
def test_a_photo_moves_towards_its_face(tmp_path: Path, size: tuple[int, int], aspect: tuple[int, int]) -> None:
    """Whether it was cropped around the face before, or is shown whole over a blurred copy."""
    import cv2

    width, height = size
    picture = np.zeros((height, width, 3), np.uint8)
    face = (round(0.8 * width), round(0.3 * height))
    cv2.circle(picture, face, 40, (255, 255, 255), -1)
    cv2.imwrite(str(tmp_path / "photo.png"), picture)
    clip = ClipSource(path=tmp_path / "photo.png", sha256=sha256(tmp_path / "photo.png"), kind="photo")
    move = Move(zoom=(1.0, 1.5), start=(0.5, 0.5), end=(0.8, 0.3))
    item = Item(clip=clip, start=Fraction(0), frames=25, move=move, focus=(0.8, 0.3))
    film = film_of([item], width=aspect[0], height=aspect[1])
    first, last = (_middle_of_light(pictures(_rendered(film, tmp_path))[k]) for k in (0, -1))
    assert np.abs(last - 0.5).max() <= np.abs(first - 0.5).max() + 0.01
    assert np.abs(last - 0.5).max() < 0.26


def _middle_of_light(picture: np.ndarray) -> np.ndarray:
    rows, columns = np.nonzero(picture[..., 0] > 128)
    return np.array([columns.mean() / picture.shape[1], rows.mean() / picture.shape[0]])


@pytest.mark.parametrize("kind", ["hdr", "anamorphic", "rotated", "vfr"])
@pytest.mark.parametrize("stabilize", ["never", "always"])
def test_unusual_clips_are_rendered_upright_square_and_whole(
    kind: str, stabilize: str, request: pytest.FixtureRequest, make_item: MakeItem, tmp_path: Path
) -> None:
    path: Path = request.getfixturevalue(kind)
    clip = ClipSource(path=path, sha256=sha256(path))
    item = make_item("red", 6, start=Fraction(1, 5)).model_copy(update={"clip": clip, "stabilize": stabilize})
    frames = pictures(_rendered(film_of([item]), tmp_path))
    assert len(frames) == 6
    assert frames[0].shape == (180, 320, 3)
    assert all(20 < frame.mean() < 235 and frame.std() > 20 for frame in frames)
