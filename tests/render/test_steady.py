"""Shaky shots are steady in the film, in its one encode, and without borders."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest

from montage_ai.edit.timeline import ClipSource, Item, Timeline, Transition
from montage_ai.events import ignore
from montage_ai.media.camera_path import shake
from montage_ai.media.files import sha256
from montage_ai.media.probe import probe
from montage_ai.render.film import Rendered, render_film
from montage_ai.tasks.stabilize import Stabilize, detect_motions
from montage_ai.tasks.task import InputFile
from scripts.demo import passing_cars, write_clip
from tests.conftest import FFmpeg
from tests.render.conftest import pictures


@pytest.fixture(scope="module")
def handheld(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("handheld") / "handheld.mp4"
    write_clip(path, (640, 360), 5, passing_cars, seed=4, shakes=True)
    return path


def item_of(path: Path, start: Fraction = Fraction(1), **fields: object) -> Item:
    clip = ClipSource(path=path, sha256=sha256(path))
    return Item(clip=clip, start=start, frames=60, **({"stabilize": "auto"} | fields))  # type: ignore[arg-type]


def film(items: list[Item], joins: tuple[Transition | None, ...] = ()) -> Timeline:
    transitions = joins or (None,) * (len(items) - 1)
    return Timeline(fps=Fraction(30), width=640, height=360, items=tuple(items), transitions=transitions)


def made(timeline: Timeline, folder: Path) -> Rendered:
    return render_film(timeline, folder / "film.mp4", ignore)


def shake_of(path: Path, folder: Path) -> float:
    task = Stabilize(source=InputFile(path=path, sha256=""))
    return shake(detect_motions(task, probe(path), folder, lambda _: None), 30.0)


@pytest.mark.parametrize("start", [Fraction(0), Fraction(1), Fraction(3)])
def test_a_shaky_shot_is_steady_in_the_film(handheld: Path, tmp_path: Path, start: Fraction) -> None:
    rough = film([item_of(handheld, start, stabilize="never")])
    made(rough, tmp_path)
    before = shake_of(tmp_path / "film.mp4", tmp_path)
    assert len(made(film([item_of(handheld, start)]), tmp_path).steadied) == 1
    assert shake_of(tmp_path / "film.mp4", tmp_path) < 0.3 * before


def test_also_from_a_container_without_an_index(handheld: Path, make: FFmpeg, tmp_path: Path) -> None:
    stream = make("-i", handheld, "-c", "copy", "handheld.ts")  # one key frame in five seconds
    made(film([item_of(stream, Fraction(2))]), tmp_path)
    assert shake_of(tmp_path / "film.mp4", tmp_path) < 0.3 * shake_of(handheld, tmp_path)


def test_transitions_show_the_steadied_shot_too(handheld: Path, tmp_path: Path) -> None:
    items = [item_of(handheld, Fraction(1, 2)), item_of(handheld, Fraction(5, 2))]
    joined = film(items, (Transition(kind="dissolve", frames=20),))
    assert len(made(joined, tmp_path).steadied) == 2
    plain = pictures(tmp_path / "film.mp4")
    made(film(items), tmp_path)
    cut = pictures(tmp_path / "film.mp4")
    for frame in (10, 48, 72, 110):  # outside of the dissolve: the same pictures, so the same corrections
        assert np.abs(plain[frame].astype(int) - cut[frame]).mean() < 6


def test_no_border_is_ever_shown(make: FFmpeg, tmp_path: Path) -> None:
    """On a light texture whatever is dark at the edge of the picture is a border."""
    rng = np.random.default_rng(1)
    texture = cv2.GaussianBlur(rng.normal(0, 1, (520, 800)), (0, 0), 4.0)
    light = (170 + 20 * texture / texture.std()).clip(110, 235).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "light.png"), light)
    shaken = "crop=640:360:x='80+14*sin(n*1.7)+20*sin(n*0.4)':y='80+12*cos(n*1.3)'"
    loop = ("-loop", "1", "-framerate", "30", "-t", "5", "-i", tmp_path / "light.png")
    clip = make(*loop, "-vf", shaken, "-pix_fmt", "yuv420p", "-preset", "veryfast", "shaken.mp4")
    assert len(made(film([item_of(clip)]), tmp_path).steadied) == 1
    for picture in pictures(tmp_path / "film.mp4"):
        edges = [picture[0], picture[-1], picture[:, 0], picture[:, -1]]
        assert min(int(edge.min()) for edge in edges) > 80


def test_what_does_not_shake_after_all_is_left_as_it_is(tmp_path: Path) -> None:
    still = tmp_path / "still.mp4"
    write_clip(still, (640, 360), 4, passing_cars, seed=4)
    assert len(made(film([item_of(still)]), tmp_path).steadied) == 0
    looked_at = pictures(tmp_path / "film.mp4")
    assert made(film([item_of(still, stabilize="never")]), tmp_path).encoded == 0
    assert (pictures(tmp_path / "film.mp4")[30] == looked_at[30]).all()
    assert len(made(film([item_of(still, stabilize="always")]), tmp_path).steadied) == 1
