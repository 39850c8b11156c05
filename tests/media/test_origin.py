"""When and where files were taken, as cameras write it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from montage_ai.media.origin import photo_origin, video_location
from montage_ai.media.probe import probe

Make = Callable[..., Path]


@pytest.mark.parametrize(
    ("metadata", "expected"),
    [
        ({"com.apple.quicktime.location.ISO6709": "+48.8577+002.2950+035.000/"}, (48.8577, 2.295)),
        ({"location": "-33.8568+151.2153/"}, (-33.8568, 151.2153)),
        ({"location-eng": "+37.5001-127.0362/"}, (37.5001, -127.0362)),
        ({"location": "+00.0000+000.0000/"}, None),  # a device that does not know
        ({"location": "+98.0000+002.2950/"}, None),
        ({"location": "Paris"}, None),
        ({}, None),
    ],
)
def test_places_of_videos(metadata: dict[str, str], expected: tuple[float, float] | None) -> None:
    assert video_location(metadata) == expected


def test_a_video_tells_its_place(make: Make, plain: Path) -> None:
    info = probe(make("-i", plain, "-c", "copy", "-metadata", "location=+52.5163+013.3777/", "placed.mp4"))
    assert info.location == (52.5163, 13.3777)
    assert probe(plain).location is None


def photo(path: Path, exif: dict[int, object], gps: dict[int, object]) -> Path:
    tags = Image.Exif()
    tags.get_ifd(0x8769).update(exif)
    tags.get_ifd(0x8825).update(gps)
    Image.new("RGB", (64, 48), "red").save(path, exif=tags)
    return path


HARBOUR = {1: "S", 2: (33.0, 51.0, 24.48), 3: "E", 4: (151.0, 12.0, 55.08)}


def test_a_photo_tells_when_and_where(tmp_path: Path) -> None:
    info = probe(photo(tmp_path / "a.jpg", {0x9003: "2024:05:01 12:30:00", 0x9011: "+02:00"}, HARBOUR))
    assert info.taken == "2024-05-01T12:30:00+02:00"
    assert info.location == pytest.approx((-33.8568, 151.2153), abs=1e-4)
    assert probe(photo(tmp_path / "b.jpg", {0x9003: "2024:05:01 12:30:00"}, {})).taken == "2024-05-01T12:30:00"


def test_a_large_photo_and_a_damaged_one_say_nothing_of_their_own(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], recwarn: pytest.WarningsRecorder
) -> None:
    Image.new("1", (10_500, 10_000)).save(tmp_path / "panorama.png")
    assert photo_origin(tmp_path / "panorama.png") == (None, None)
    whole = photo(tmp_path / "a.jpg", {0x9003: "2024:05:01 12:30:00"}, HARBOUR).read_bytes()
    rng = np.random.default_rng(1)
    for _ in range(300):
        spoilt = bytearray(whole)
        for at in rng.integers(0, 300, 4):
            spoilt[at] = rng.integers(256)
        (tmp_path / "b.jpg").write_bytes(spoilt[: rng.integers(100, len(spoilt))])
        photo_origin(tmp_path / "b.jpg")
    assert capfd.readouterr() == ("", "")
    assert not recwarn.list


@pytest.mark.parametrize(
    ("exif", "gps"),
    [
        ({0x9003: "0000:00:00 00:00:00"}, {1: "N", 2: (0.0, 0.0, 0.0), 3: "E", 4: (0.0, 0.0, 0.0)}),
        ({0x9003: "yesterday"}, {2: (1.0, 2.0), 4: (1.0, 2.0)}),
        ({}, {1: "N"}),
    ],
)
def test_what_makes_no_sense_is_nothing(exif: dict[int, object], gps: dict[int, object], tmp_path: Path) -> None:
    info = probe(photo(tmp_path / "a.jpg", exif, gps))
    assert (info.taken, info.location) == (None, None)
    assert probe(photo(tmp_path / "b.png", {}, {})).location is None
