"""Photos are read upright."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from montage_ai.errors import MediaError
from montage_ai.media.photos import read_photo

RED, BLUE = (0, 0, 255), (255, 0, 0)


def test_a_photo_is_read_as_it_is(photo: Path) -> None:
    picture = read_photo(photo)
    assert (picture.shape, picture.dtype) == ((80, 120, 3), np.uint8)
    assert tuple(picture[40, 10]) == RED
    assert tuple(picture[40, 100]) == BLUE


def test_a_photo_that_exif_turns_is_read_upright(turned_photo: Path) -> None:
    picture = read_photo(turned_photo)
    assert picture.shape == (120, 80, 3)
    assert np.abs(picture[10, 40].astype(int) - RED).max() < 30
    assert np.abs(picture[100, 40].astype(int) - BLUE).max() < 30


@pytest.mark.parametrize("kind", ["empty", "corrupt"])
def test_a_photo_that_cannot_be_decoded_is_named(request: pytest.FixtureRequest, tmp_path: Path, kind: str) -> None:
    path = Path(shutil.copy(request.getfixturevalue(kind), tmp_path / "bad.jpg"))
    with pytest.raises(MediaError, match="cannot be decoded as a photo") as caught:
        read_photo(path)
    assert caught.value.file == str(path)


def test_any_name_will_do(photo: Path, tmp_path: Path, odd_name: str) -> None:
    path = Path(shutil.copy(photo, tmp_path / f"{odd_name}.png"))
    assert read_photo(path).shape == (80, 120, 3)


def test_grey_and_transparent_photos_are_pictures_of_three_colours(tmp_path: Path) -> None:
    import cv2

    for channels in (1, 4):
        cv2.imencode(".png", np.full((20, 30, channels), 128, np.uint8))[1].tofile(tmp_path / "a.png")
        assert read_photo(tmp_path / "a.png").shape == (20, 30, 3)
