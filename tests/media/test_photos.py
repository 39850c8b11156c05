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


def test_what_is_transparent_shows_a_blurred_copy_and_not_the_colour_hidden_there(tmp_path: Path) -> None:
    import cv2

    sticker = np.zeros((120, 160, 4), np.uint8)
    sticker[:, :, :3] = (0, 255, 0)  # green, wherever it is transparent
    sticker[30:90, 40:120] = (0, 0, 255, 255)
    cv2.imencode(".png", sticker)[1].tofile(tmp_path / "sticker.png")
    picture = read_photo(tmp_path / "sticker.png").astype(int)
    assert picture[60, 80].tolist() == [0, 0, 255]
    assert picture[5, 5, 1] < 20  # nothing green
    assert picture[5, 5, 2] > 150  # the red of the sticker


def test_deep_and_wide_photos_are_read(tmp_path: Path) -> None:
    import cv2

    ramp = np.tile(np.linspace(0, 65535, 64).astype(np.uint16), (32, 1))
    cv2.imencode(".png", ramp)[1].tofile(tmp_path / "grey16.png")
    cv2.imencode(".tif", np.dstack([ramp] * 3))[1].tofile(tmp_path / "rgb16.tif")
    for name in ("grey16.png", "rgb16.tif"):
        row = read_photo(tmp_path / name)[16, :, 0].astype(int)
        assert row[0] < 5
        assert row[32] == pytest.approx(130, abs=4)
        assert row[-1] > 250


def test_colours_of_another_space_come_as_srgb(tmp_path: Path) -> None:
    """A profile with red and blue exchanged, so that a conversion is seen."""
    from PIL import Image, ImageCms

    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    red, blue = profile.find(b"rXYZ"), profile.find(b"bXYZ")
    profile[red : red + 4], profile[blue : blue + 4] = b"bXYZ", b"rXYZ"
    name = profile.find("sRGB".encode("utf-16-be"))
    profile[name : name + 8] = "Swap".encode("utf-16-be")
    Image.new("RGB", (40, 30), (250, 10, 10)).save(tmp_path / "swapped.png", icc_profile=bytes(profile))
    blue_, _, red_ = read_photo(tmp_path / "swapped.png")[15, 20].tolist()
    assert blue_ > 200 > 60 > red_


def test_a_large_photo_is_scaled_down_while_it_is_decoded(tmp_path: Path) -> None:
    import cv2

    cv2.imencode(".jpg", np.zeros((5300, 7000, 3), np.uint8))[1].tofile(tmp_path / "large.jpg")
    assert read_photo(tmp_path / "large.jpg").shape == (2650, 3500, 3)


def test_a_jpeg_of_which_a_part_is_missing_is_refused(tmp_path: Path) -> None:
    import cv2

    noise = cv2.GaussianBlur(np.random.default_rng(0).integers(0, 255, (300, 400, 3)).astype(np.uint8), (0, 0), 2)
    whole = cv2.imencode(".jpg", noise)[1].tobytes()
    path = tmp_path / "a.jpg"
    for good in (whole, whole + b"a phone's own data" * 50, whole[:-2]):
        path.write_bytes(good)
        assert read_photo(path).shape == (300, 400, 3)
    for bad in (whole[: len(whole) // 2], whole[: len(whole) * 3 // 4] + b"\xff\xd9"):
        path.write_bytes(bad)
        with pytest.raises(MediaError, match="part of the picture is missing"):
            read_photo(path)
