from __future__ import annotations

import itertools
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from montage_ai.edit.pacing import Rhythm, Slot, pace
from montage_ai.edit.styles import Style, load_style, style_names
from montage_ai.music.beat_grid import BeatGrid
from tests.edit.conftest import build_grid

FPS = Fraction(30000, 1001)


def rhythm_of(grid: BeatGrid, style: str = "dynamic", **options: object) -> Rhythm:
    return pace(grid, load_style(style), **({"fps": FPS, "duration": grid.duration} | options))  # type: ignore[arg-type]


def slots_of(grid: BeatGrid, style: str = "dynamic", **options: object) -> tuple[Slot, ...]:
    return rhythm_of(grid, style, **options).slots


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
    assert [s.beat for s in slots_of(grid, density="bar")[1:]] == [
        b for b in grid.downbeats if 0.3 < b < last_cut(grid)
    ]
    assert [s.beat for s in slots_of(grid, density="beat")[1:]] == [b for b in grid.beats if 0.3 < b < last_cut(grid)]
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


def last_cut(grid: BeatGrid, fps: Fraction = FPS) -> float:
    """Where cuts end, so that the closing fade lies within the last shot."""
    return grid.duration - load_style("dynamic").transitions.closing_fade


class TestSplitting:
    def test_gives_the_longest_part_that_ends_on_a_beat(self, grid: BeatGrid) -> None:
        rhythm = rhythm_of(grid, "minimalist")
        slot = max(rhythm.slots, key=lambda slot: slot.frames)
        first, second = rhythm.split(slot, 100) or (slot, slot)
        assert (first.start, first.end, second.end) == (slot.start, second.start, slot.end)
        assert 85 <= first.frames <= 100
        assert second.beat in grid.beats
        assert abs(second.start - second.beat * FPS) <= 0.5
        assert (first.beat, first.transition) == (slot.beat, slot.transition)

    def test_keeps_the_styles_shortest_shot_where_it_can(self, grid: BeatGrid) -> None:
        rhythm = rhythm_of(grid, "minimalist")
        slot = max(rhythm.slots, key=lambda slot: slot.frames)
        first, second = rhythm.split(slot, slot.frames - 1) or (slot, slot)
        assert min(first.frames, second.frames) >= rhythm.shortest >= 80
        first, _ = rhythm.split(slot, 12) or (slot, slot)  # but shows what there is
        assert 2 <= first.frames <= 12

    def test_is_impossible_without_a_cut_point(self, grid: BeatGrid) -> None:
        rhythm = rhythm_of(grid)
        assert rhythm.split(rhythm.slot(0, 2, 0.0), 1) is None

    def test_says_anew_what_each_part_wants(self, grid: BeatGrid) -> None:
        rhythm = rhythm_of(grid)
        whole = rhythm.slot(0, rhythm.frames, 0.0)
        first, second = rhythm.split(whole, rhythm.frames // 2) or (whole, whole)
        assert (first.part, second.part) == ("intro", "build")
        assert second.level > first.level


@pytest.mark.parametrize("style", style_names())
def test_the_fades_lie_within_the_first_and_the_last_shot(style: str, grid: BeatGrid) -> None:
    slots, fades = slots_of(grid, style), load_style(style).transitions
    assert slots[0].frames >= round(fades.opening_fade * FPS)
    assert slots[-1].frames >= round(fades.closing_fade * FPS)


@pytest.mark.parametrize("style", style_names())
def test_one_transition_a_section(style: str) -> None:
    grid = build_grid(40, 174)
    wanted = load_style(style).transitions
    if wanted.between_sections and not wanted.share:
        assert sum(slot.transition is not None for slot in slots_of(grid, style)) == len(grid.sections) - 1


@pytest.mark.parametrize("source", ["beats", "onsets", "even"])
def test_bars_are_counted_where_the_music_does_not_tell_them(grid: BeatGrid, source: str) -> None:
    free = {"downbeats": ()} | ({} if source == "beats" else {"tempo": None, "source": source})
    rhythm = rhythm_of(grid.model_copy(update=free), density="bar")
    beats = [slot.beat for slot in rhythm.slots[1:]]
    assert beats == [beat for beat in grid.beats[::4] if 0.3 < beat < last_cut(grid)]
    assert "4th beat" in rhythm.notes[0]


def test_half_beats_are_only_cut_on_where_there_is_a_tempo(grid: BeatGrid) -> None:
    style: Style = load_style("mtv")
    free = grid.model_copy(update={"tempo": None, "source": "onsets"})
    slots = pace(free, style, fps=FPS, duration=30).slots
    assert {s.beat for s in slots[1:]} <= set(grid.beats)
