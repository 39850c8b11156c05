from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from montage_ai.edit.grade import Grade
from montage_ai.edit.styles import load_style, style_names
from montage_ai.errors import MediaError
from montage_ai.render.colour import apply_grade, cube_of, cube_text, read_cube, sample_lut

GREYS = np.linspace(0, 1, 33)[:, None] * np.ones(3)

grades = st.builds(
    Grade,
    exposure=st.floats(-1, 1),
    temperature=st.floats(-0.5, 0.5),
    contrast=st.floats(0.7, 1.5),
    saturation=st.floats(0, 1.6),
    fade=st.floats(0, 0.2),
)


def test_a_neutral_grade_changes_nothing() -> None:
    assert apply_grade(GREYS, Grade()) == pytest.approx(GREYS, abs=1e-9)


@given(grades)
def test_brighter_stays_brighter_and_in_range(grade: Grade) -> None:
    out = apply_grade(GREYS, grade)
    assert (out >= 0).all()
    assert (out <= 1).all()
    assert (np.diff(out.mean(axis=1)) >= -1e-9).all()


@given(grades)
def test_a_file_holds_the_grade_to_half_a_code_value(tmp_path_factory: pytest.TempPathFactory, grade: Grade) -> None:
    path = tmp_path_factory.mktemp("luts") / "grade.cube"
    path.write_text(cube_of(grade))
    colours = np.random.default_rng(0).random((200, 3)) * 0.9 + 0.05
    looked_up = sample_lut(read_cube(path), colours)
    assert np.abs(looked_up - apply_grade(colours, grade)).mean() < 1.5 / 255


def test_directions_are_as_named() -> None:
    grey = np.array([0.5, 0.5, 0.5])
    warm, cool = apply_grade(grey, Grade(temperature=0.3)), apply_grade(grey, Grade(temperature=-0.3))
    assert warm[0] > warm[2]
    assert cool[2] > cool[0]
    assert apply_grade(grey, Grade(tint=0.3))[1] < apply_grade(grey, Grade(tint=-0.3))[1]
    assert apply_grade(grey, Grade(exposure=1)).mean() > 0.6


def test_the_users_lut_comes_after_the_look(tmp_path: Path) -> None:
    (tmp_path / "neutral.cube").write_text(cube_of(Grade(exposure=1e-9)))
    lattice = read_cube(tmp_path / "neutral.cube")
    path = tmp_path / "invert.cube"
    path.write_text('# made by hand\nTITLE "x"\n' + cube_text(1 - lattice))
    assert apply_grade(GREYS, Grade(lut=path)) == pytest.approx(1 - GREYS, abs=2e-3)


@pytest.mark.parametrize("content", ["", "LUT_3D_SIZE 2\n0 0 0\n", "LUT_3D_SIZE x\n", "LUT_1D_SIZE 4\n0 0 0\n"])
def test_a_faulty_cube_is_named(tmp_path: Path, content: str) -> None:
    path = tmp_path / "bad.cube"
    path.write_text(content)
    with pytest.raises(MediaError, match=r"bad\.cube"):
        read_cube(path)


@pytest.mark.parametrize("style", style_names())
def test_no_look_crushes_the_picture(style: str) -> None:
    out = apply_grade(GREYS, load_style(style).look).mean(axis=1)
    assert out[4] > 0.02
    assert out[-4] < 0.995


@pytest.mark.parametrize(
    "head",
    [
        *("LUT_3D_SIZE 0", "LUT_3D_SIZE 1", "LUT_3D_SIZE -2", "LUT_3D_SIZE 100000"),
        *("LUT_3D_SIZE 2\nDOMAIN_MIN 1 1 1\nDOMAIN_MAX 0 0 0", "LUT_3D_SIZE 2\nDOMAIN_MAX nan nan nan"),
    ],
)
def test_a_cube_that_would_give_no_picture_is_refused(tmp_path: Path, head: str) -> None:
    (tmp_path / "a.cube").write_text(head + "\n" + "0 0 0\n" * 8)
    with pytest.raises(MediaError, match=r"not a 3D \.cube"):
        read_cube(tmp_path / "a.cube")
    (tmp_path / "b.cube").write_text("LUT_3D_SIZE 2\n" + "0 0 0\n" * 7 + "-nan 0 0\n")
    with pytest.raises(MediaError, match=r"not a 3D \.cube"):
        read_cube(tmp_path / "b.cube")
