"""The film frame by frame: every one shows the planned frame of the planned clip, at its own time.

The clips' frames say in black and white blocks which they are: 23.976 to 59.94 frames a second, a variable rate, one
turned, one in MPEG-TS; the films have the quality that people get.
"""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest

from benchmarks.coded_video import CodedClip, coded_clips, codes
from benchmarks.cuts import Outcome, film_of_cuts, human_beats, inspect, off_time, planned_frames
from montage_ai.edit.timeline import Transition
from montage_ai.events import ignore
from montage_ai.render.film import render_film

RATES = [Fraction(24000, 1001), Fraction(24), Fraction(25), Fraction(30000, 1001), Fraction(30), Fraction(60)]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> list[CodedClip]:
    return coded_clips(tmp_path_factory.mktemp("coded"))


@pytest.mark.parametrize("fps", RATES, ids=lambda fps: f"{float(fps):.3f}")
def test_every_frame_is_the_planned_one_and_shown_at_its_time(
    clips: list[CodedClip], tmp_path: Path, fps: Fraction
) -> None:
    beats = human_beats(40, 0.25)
    timeline = film_of_cuts(beats, fps, clips, tmp_path)
    output = tmp_path / "film.mp4"
    render_film(timeline, output, ignore)
    outcome = inspect(timeline, beats, clips, output)
    assert outcome.beat <= 0.5
    assert outcome.sound <= 1
    assert outcome == Outcome(beat=outcome.beat, sound=outcome.sound)


@pytest.mark.parametrize("fps", [Fraction(30), Fraction(60000, 1001)], ids=lambda fps: f"{float(fps):.3f}")
def test_a_thousand_segments_do_not_drift(clips: list[CodedClip], tmp_path: Path, fps: Fraction) -> None:
    few = film_of_cuts(human_beats(12, 0.2), fps, clips, tmp_path)
    many = few.items * 80
    film = few.model_copy(update={"items": many, "transitions": (None,) * (len(many) - 1), "music": None})
    render_film(film, tmp_path / "film.mp4", ignore)
    assert off_time(tmp_path / "film.mp4", fps) == 0


def test_at_another_speed_the_frames_follow_it(clips: list[CodedClip], tmp_path: Path) -> None:
    plain = film_of_cuts(human_beats(6, 0.6), Fraction(25), clips, tmp_path)
    speeds = (Fraction(1), Fraction(2), Fraction(1, 2), Fraction(3, 2), Fraction(4), Fraction(1, 3), Fraction(1))
    items = tuple(i.model_copy(update={"speed": s}) for i, s in zip(plain.items, speeds, strict=True))
    slow = plain.model_copy(update={"items": items})
    render_film(slow, tmp_path / "film.mp4", ignore)
    assert list(codes(tmp_path / "film.mp4")) == planned_frames(slow, clips)


@pytest.mark.parametrize("kind", ["dissolve", "fade_black", "wipe_left", "slide_left", "zoom", "whip"])
def test_on_both_sides_of_a_transition_and_at_its_ends_the_clips_run_on(
    clips: list[CodedClip], tmp_path: Path, kind: str
) -> None:
    """A dissolve's ends still show which frame of which clip they are mostly of."""
    plain = film_of_cuts(human_beats(3, 1.5), Fraction(25), clips[:4], tmp_path)
    later = tuple(i.model_copy(update={"start": i.start + 1}) for i in plain.items)
    joins = (Transition(kind=kind, frames=10), None, Transition(kind=kind, frames=9))  # type: ignore[arg-type]
    timeline = plain.model_copy(update={"items": later, "transitions": joins})
    render_film(timeline, tmp_path / "film.mp4", ignore)
    shown, planned = list(codes(tmp_path / "film.mp4")), planned_frames(timeline, clips)
    assert len(shown) == len(planned)
    inside = {f for k in (1, 3) for f in range(timeline.starts[k] - 5, timeline.starts[k] + 5)}
    assert [c for k, c in enumerate(shown) if k not in inside] == [c for k, c in enumerate(planned) if k not in inside]
    if kind == "dissolve":
        assert shown[timeline.starts[1] - 5 :][:3] == planned[timeline.starts[1] - 5 :][:3]
        assert shown[timeline.starts[1] + 3 :][:2] == planned[timeline.starts[1] + 3 :][:2]
