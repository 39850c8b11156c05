"""What the places are called where clips were taken."""

from __future__ import annotations

from pathlib import Path

import pytest

from montage_ai.footage.footage_analyzer import analyze_file
from montage_ai.footage.places import place_names
from montage_ai.footage.search import find_moments, load_vocabulary, parse_query
from montage_ai.media.probe import probe


@pytest.mark.parametrize(
    ("location", "named"),
    [
        ((48.8584, 2.2945), {"Paris", "Île-de-France", "France"}),
        ((37.5001, 127.0362), {"Seoul", "Korea, Republic of"}),
        ((-33.8568, 151.2153), {"Sydney", "New South Wales", "Australia"}),
        ((27.9881, 86.9250), {"Nepal"}),
    ],
)
def test_towns_and_what_they_lie_in(location: tuple[float, float], named: set[str]) -> None:
    assert named <= set(place_names(location))


@pytest.mark.parametrize("location", [None, (0.0, -30.0), (89.9, 10.0)])
def test_in_the_middle_of_nowhere_is_no_place(location: tuple[float, float] | None) -> None:
    assert place_names(location) == ()


def test_real_clips_are_found_by_their_places(shared: Path) -> None:
    paths = [shared / "video" / name for name in ("phone_rot90_vfr_short.mp4", "talking_bbaf2n.mpg")]
    clips = [analyze_file(probe(path), str(n)).clip for n, path in enumerate(paths)]
    vocabulary = load_vocabulary()
    for query in ("Seoul", "clips from South Korea"):
        moments = find_moments(clips, parse_query(query, vocabulary), vocabulary).moments
        assert [moment.clip.name for moment in moments if moment.score > 0.3] == ["phone_rot90_vfr_short.mp4"]
    (talking,) = [
        m for m in find_moments(clips, parse_query("talking", vocabulary), vocabulary).moments if m.score > 0.3
    ]
    assert talking.clip.name == "talking_bbaf2n.mpg"
