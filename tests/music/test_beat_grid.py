"""The beat grid as data: round trip, rules, questions."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from montage_ai.music.beat_grid import BeatGrid, Section

_TIMES = st.lists(st.floats(0, 4000), unique=True).map(lambda times: tuple(sorted(times)))
_SHARES = st.floats(0, 1)


def grid(**changes: Any) -> BeatGrid:
    fields = {"duration": 4.0, "tempo": 120.0, "beats": (0.5, 1.0, 1.5), "confidence": 0.9, "source": "beats"}
    return BeatGrid(**(fields | changes))


@given(beats=_TIMES, onsets=_TIMES, energy=st.lists(_SHARES).map(tuple), confidence=_SHARES, border=st.floats(1, 3))
def test_json_brings_back_the_same_grid(
    beats: tuple[float, ...], onsets: tuple[float, ...], energy: tuple[float, ...], confidence: float, border: float
) -> None:
    sections = (
        Section(start=0, end=border, energy=0.2, label="intro"),
        Section(start=border, end=4, energy=1, label="high"),
    )
    before = grid(beats=beats, onsets=onsets, energy=energy, confidence=confidence, sections=sections)

    assert BeatGrid.model_validate_json(before.model_dump_json()) == before


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"beats": (1.0, 0.5)}, id="beats going back"),
        pytest.param({"beats": (1.0, 1.0)}, id="a beat twice"),
        pytest.param({"tempo": None}, id="beats without a tempo"),
        pytest.param({"source": "onsets"}, id="a tempo without beats"),
        pytest.param({"confidence": 1.5}, id="more than sure"),
        pytest.param({"mood": "happy"}, id="an unknown field"),
        pytest.param({"duration": float("nan")}, id="a duration that is no number"),
    ],
)
def test_nonsense_is_refused(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        grid(**changes)


def test_energy_is_interpolated_and_held_beyond_the_ends() -> None:
    rising = grid(energy=(0.0, 0.5, 1.0), energy_rate=1.0)

    assert [rising.energy_at(t) for t in (-5, 0, 0.5, 1, 1.5, 2, 99)] == [0, 0, 0.25, 0.5, 0.75, 1, 1]


@given(start=st.floats(-1, 5), length=st.floats(0, 5), energy=st.lists(_SHARES, min_size=1).map(tuple))
def test_mean_energy_lies_within_the_curve(start: float, length: float, energy: tuple[float, ...]) -> None:
    mean = grid(energy=energy).energy_between(start, start + length)

    assert min(energy) - 1e-9 <= mean <= max(energy) + 1e-9


def test_mean_energy_counts_what_lies_between() -> None:
    steps = grid(energy=(0.0, 0.0, 1.0, 1.0), energy_rate=1.0)

    assert steps.energy_between(0, 1) == 0
    assert steps.energy_between(2, 3) == 1
    assert steps.energy_between(1, 2) == 0.5


def test_no_curve_means_no_energy() -> None:
    assert grid().energy_at(1) == grid().energy_between(0, 4) == 0
