from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from montage_ai.edit.pacing import Slot, pace, split
from montage_ai.edit.styles import Style, load_style, style_names
from montage_ai.music.beat_grid import BeatGrid
from tests.edit.conftest import build_grid

FPS = Fraction(30000, 1001)


def slots_of(grid: BeatGrid, style: str = "dynamic", **options: object) -> list[Slot]:
    return pace(grid, load_style(style), **({"fps": FPS, "duration": grid.duration} | options))  # type: ignore[arg-type]


@pytest.mark.parametrize("style", style_names())
def test_slots_fill_the_film_without_gaps(style: str, grid: BeatGrid) -> None:
    slots = slots_of(grid, style)
    assert slots[0].start == 0
    assert slots[-1].end == round(grid.duration * FPS)
    assert all(a.end == b.start for a, b in itertools.pairwise(slots))


@given(st.floats(55, 200), st.sampled_from([Fraction(24), Fraction(25), FPS, Fraction(60)]), st.floats(-0.2, 0.2))
@settings(max_examples=40)
def test_every_cut_is_within_half_a_frame_of_its_beat(tempo: float, fps: Fraction, offset: float) -> None:
    grid = build_grid(20, tempo)
    slots = slots_of(grid, fps=fps, beat_offset=offset)
    allowed = {*grid.beats, *((a + b) / 2 for a, b in zip(grid.beats, grid.beats[1:], strict=False))}
    for slot in slots[1:]:
        assert slot.beat in allowed
        assert abs(slot.start - (slot.beat + offset) * fps) <= 0.5 + 1e-6


def test_density_says_where_cuts_fall(grid: BeatGrid) -> None:
    assert [s.beat for s in slots_of(grid, density="bar")[1:]] == list(grid.downbeats)
    assert [s.beat for s in slots_of(grid, density="beat")[1:]] == list(grid.beats)
    assert len(slots_of(grid, density="half")) > 1.9 * len(slots_of(grid, density="beat"))


def test_shots_are_shorter_where_the_music_is_louder(grid: BeatGrid) -> None:
    slots = slots_of(grid, "action")
    first = np.mean([s.frames for s in slots if s.end < slots[-1].end / 3])
    last = np.mean([s.frames for s in slots if s.start > slots[-1].end * 2 / 3])
    assert last < 0.7 * first


def test_action_cuts_faster_than_minimalist(grid: BeatGrid) -> None:
    assert len(slots_of(grid, "action")) > 4 * len(slots_of(grid, "minimalist"))


def test_the_seed_varies_the_film_and_nothing_else_does(grid: BeatGrid) -> None:
    assert slots_of(grid, seed=1) == slots_of(grid, seed=1)
    assert any(slots_of(grid, seed=1) != slots_of(grid, seed=other) for other in range(2, 6))


def test_style_joins_sections_with_its_transition(grid: BeatGrid) -> None:
    joined = [s for s in slots_of(grid, "trailer") if s.transition]
    assert joined
    assert {s.transition.kind for s in joined if s.transition} == {"fade_black"}
    assert all(s.transition.frames <= s.frames // 2 for s in joined if s.transition)


def test_music_without_a_pulse_is_cut_at_its_points() -> None:
    grid = BeatGrid(duration=12, tempo=None, beats=(0.0, 2.0, 4.0, 6.0, 8.0, 10.0), confidence=0.0, source="even")
    slots = slots_of(grid)
    assert {s.beat for s in slots} <= {0.0, *grid.beats}
    assert len(slots) > 2


def test_a_film_shorter_than_a_beat_is_one_slot() -> None:
    assert len(slots_of(build_grid(0.4))) == 1


def test_split_falls_on_the_most_central_beat() -> None:
    slot = Slot(0, 100, 0.0, 0.5, "build", inner=(10, 48, 90))
    halves = split(slot)
    assert halves is not None
    assert [(h.start, h.end, h.inner) for h in halves] == [(0, 48, (10,)), (48, 100, (90,))]
    assert split(Slot(0, 100, 0.0, 0.5, "build")) is None


def test_half_beats_are_only_cut_on_where_there_is_a_tempo(grid: BeatGrid) -> None:
    style: Style = load_style("mtv")
    free = grid.model_copy(update={"tempo": None, "source": "onsets"})
    slots = pace(free, style, fps=FPS, duration=30)
    assert {s.beat for s in slots[1:]} <= set(grid.beats)
