from __future__ import annotations

import itertools
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from montage_ai.edit.timeline import (
    ClipSource,
    Item,
    Source,
    Timeline,
    Transition,
    frame_of,
    half_after,
    half_before,
    shown_source_frames,
)

RATES = [Fraction(24000, 1001), Fraction(25), Fraction(30000, 1001), Fraction(60000, 1001)]
CLIP = ClipSource(path=Path("/footage/a b's “clip”.mp4"), sha256="ab" * 32)

rates = st.sampled_from(RATES)
times = st.fractions(min_value=0, max_value=3600, max_denominator=1001)


def item(frames: int = 30, start: Fraction = Fraction(0)) -> Item:
    return Item(clip=CLIP, start=start, frames=frames)


@given(st.lists(st.floats(0.02, 5.0), min_size=1, max_size=300), rates)
def test_cuts_placed_from_absolute_times_never_drift(gaps: list[float], fps: Fraction) -> None:
    beats = np.cumsum([0.0, *gaps]).tolist()
    frames = [frame_of(beat, fps) for beat in beats]
    lengths = [b - a for a, b in itertools.pairwise(frames) if b > a]
    if not lengths:
        return
    timeline = film([item(frames=length) for length in lengths], fps)
    cuts = {*timeline.starts, timeline.frames}
    assert all(abs(frame - Fraction(beat) * fps) <= Fraction(1, 2) for beat, frame in zip(beats, frames, strict=True))
    assert cuts == set(frames)


@given(times, rates)
def test_a_moment_belongs_to_its_nearest_frame(seconds: Fraction, fps: Fraction) -> None:
    assert abs(frame_of(seconds, fps) - seconds * fps) <= Fraction(1, 2)


@given(st.integers(2, 400))
def test_a_transition_has_all_its_frames_on_both_sides_of_the_cut(frames: int) -> None:
    transition = Transition(kind="dissolve", frames=frames)
    assert half_before(transition) + half_after(transition) == frames


@given(st.lists(st.integers(1, 200), min_size=1, max_size=40), rates, st.data())
def test_shown_source_frames_are_the_nearest_in_time(steps: list[int], fps: Fraction, data: st.DataObject) -> None:
    ticks = np.cumsum([0, *steps])
    time_base = Fraction(1, 1000)
    first = data.draw(st.integers(0, len(ticks) - 1))
    shot = item(frames=20, start=int(ticks[first]) * time_base)
    shown = shown_source_frames(shot, fps, ticks, time_base)
    assert shown[0] >= first or ticks[first] - ticks[shown[0]] < 1000 / fps
    assert (np.diff(shown) >= 0).all()
    for frame, source in enumerate(shown):
        moment = shot.source_time(frame, fps)
        assert ticks[source] * time_base <= moment + 1 / fps / 2  # never a frame from the future
        if source + 1 < len(ticks):  # and the next one is not due yet
            assert ticks[source + 1] * time_base > moment - 1 / fps


def test_a_clip_of_the_films_own_rate_is_shown_frame_by_frame() -> None:
    shot = item(frames=10, start=Fraction(4, 25))
    assert shown_source_frames(shot, Fraction(25), np.arange(40), Fraction(1, 25)).tolist() == list(range(4, 14))


def test_transitions_longer_than_their_item_are_refused() -> None:
    with pytest.raises(ValidationError, match="longer than"):
        film([item(30), item(5), item(30)], Fraction(25), (Transition(kind="dissolve", frames=8),) * 2)


def test_a_transition_that_shows_what_comes_before_its_clip_is_refused() -> None:
    with pytest.raises(ValidationError, match="before its clip begins"):
        film([item(30), item(30, start=Fraction(1, 25))], Fraction(25), (Transition(kind="dissolve", frames=8),))


def film(items: list[Item], fps: Fraction, transitions: tuple[Transition | None, ...] | None = None) -> Timeline:
    joins = (None,) * (len(items) - 1) if transitions is None else transitions
    music = Source(path=Path("/music/track.mp3"), sha256="cd" * 32)
    return Timeline(fps=fps, width=640, height=360, items=tuple(items), transitions=joins, music=music, style="test")
