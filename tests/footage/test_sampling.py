"""Which pictures a model looks at: not the black, the blurred and the repeated ones, but one of every shot."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from montage_ai.footage.footage_analyzer import analyze_file
from montage_ai.footage.sampling import sampled
from montage_ai.media.probe import probe

Make = Callable[..., Path]

CODING = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p")
PICTURE = "testsrc2=size=320x180:rate=30"


def taken(path: Path) -> list[float]:
    analysis = analyze_file(probe(path), "digest")
    times = [seconds for seconds, _ in analysis.pictures]
    assert times[:2] == [0.0, 1.0][: len(times)]
    return sampled(analysis.clip, times)


@pytest.mark.parametrize(
    ("spoilt", "expected"),
    [
        ("drawbox=t=fill:color=black:enable='between(t,1.5,3.5)'", [0, 1, 2, 4, 5]),
        ("gblur=sigma=12:enable='between(t,1.5,3.5)'", [0, 1, 4, 5]),
        ("loop=loop=80:size=1:start=40,trim=end=6", [0, 1, 2, 4, 5]),
        ("null", [0, 1, 2, 3, 4, 5]),
    ],
    ids=["black, a shot of its own", "blurred", "repeated", "good"],
)
def test_poor_pictures_are_left_out(make: Make, spoilt: str, expected: list[float]) -> None:
    name = f"sampled {abs(hash(spoilt))}.mp4"
    assert taken(make("-f", "lavfi", "-i", f"{PICTURE}:duration=6", "-vf", spoilt, *CODING, name)) == expected


def test_a_shot_with_nothing_good_in_it_has_one_all_the_same(make: Make) -> None:
    black = "drawbox=t=fill:color=black:enable='gte(t,2)'"
    found = taken(make("-f", "lavfi", "-i", f"{PICTURE}:duration=5", "-vf", black, *CODING, "to black.mp4"))
    assert [one for one in found if one < 2] == [0, 1]
    assert len([one for one in found if one >= 2]) == 1


def test_a_photo_has_one(make: Make) -> None:
    photo = make("-f", "lavfi", "-i", PICTURE, "-frames:v", "1", "sampled.png")
    assert taken(photo) == [0]
