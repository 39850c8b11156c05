"""The beat grid of whole pieces: with a pulse, without one, too short, silent."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from montage_ai.errors import MediaError
from montage_ai.music.analyze import analyze_music, analyze_samples
from montage_ai.music.beat_grid import BeatGrid
from montage_ai.music.beat_tracker import Beats

RATE = 22_050
FOOTAGE = Path(__file__).resolve().parents[3] / "shared" / "footage"

Samples = NDArray[np.float32]


def tone(frequency: float, seconds: float, decay: float) -> Samples:
    t = np.arange(round(seconds * RATE)) / RATE
    return (np.sin(2 * np.pi * frequency * t) * np.exp(-t / decay)).astype(np.float32)


def place(out: Samples, sound: Samples, time: float, level: float = 1.0) -> None:
    start = round(time * RATE)
    part = out[start : start + sound.size]
    part += np.float32(level) * sound[: part.size]


def band(bars: int, beats_per_bar: int = 4, period: float = 0.5, phase: float = 0.3) -> tuple[Samples, list[float]]:
    """Kick and a new chord on first beats, clicks on all others; the samples and the first beats' times."""
    out = np.zeros(round((bars * beats_per_bar * period + 1) * RATE), np.float32)
    first_beats = []
    for beat in range(bars * beats_per_bar):
        time = phase + beat * period
        place(out, tone(1500, 0.05, 0.01), time, 0.3)
        if beat % beats_per_bar == 0:
            first_beats.append(time)
            root = (220, 293.7, 329.6, 246.9)[beat // beats_per_bar % 4]
            place(out, tone(60, 0.3, 0.1), time, 0.8)
            for frequency in (root, root * 1.26, root * 1.5):
                place(out, tone(frequency, beats_per_bar * period, 1.0), time, 0.1)
    return out, first_beats


def noise(seconds: float) -> Samples:
    return np.random.default_rng(0).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def assert_well_formed(grid: BeatGrid) -> None:
    assert all(0 <= time <= grid.duration for time in grid.beats + grid.onsets)
    assert set(grid.downbeats) <= set(grid.beats)
    assert all(0 <= value <= 1 for value in grid.energy)
    edges = [section.start for section in grid.sections] + [grid.duration]
    assert edges[0] == 0
    assert [section.end for section in grid.sections] == edges[1:]
    assert grid.reason.endswith(".")


@pytest.mark.parametrize("beats_per_bar", [3, 4])
def test_first_beats_of_bars_are_found(beats_per_bar: int) -> None:
    samples, first_beats = band(10, beats_per_bar)

    grid = analyze_samples(samples, RATE)

    assert grid.tempo == pytest.approx(120, abs=0.2)
    assert grid.source == "beats"
    assert grid.downbeats[: len(first_beats)] == pytest.approx(first_beats, abs=0.03)
    assert_well_formed(grid)


def test_beats_that_are_all_alike_have_no_downbeats() -> None:
    out = np.zeros(15 * RATE, np.float32)
    for time in np.arange(0.2, 14.9, 0.5):
        place(out, tone(1000, 0.05, 0.01), float(time))

    grid = analyze_samples(out, RATE)

    assert grid.source == "beats"
    assert grid.downbeats == ()


def test_noise_has_no_tempo() -> None:
    grid = analyze_samples(noise(12), RATE)

    assert grid.tempo is None
    assert grid.source != "beats"
    assert "No steady pulse" in grid.reason
    assert_well_formed(grid)


def test_notes_without_a_pulse_are_cut_points_where_they_begin() -> None:
    times = [0.5, 1.31, 3.9, 4.5, 6.17, 8.02, 8.95, 11.3]
    out = np.zeros(13 * RATE, np.float32)
    for time in times:
        place(out, tone(500, 0.4, 0.04), time, 0.7)

    grid = analyze_samples(out, RATE)

    assert grid.tempo is None
    assert grid.source == "onsets"
    assert grid.beats == pytest.approx(times, abs=0.02)
    assert_well_formed(grid)


def test_speech_has_no_tempo_and_is_cut_where_words_begin() -> None:
    path = FOOTAGE / "speech" / "jfk.flac"
    if not path.exists():
        pytest.skip(f"needs the shared footage: {path.name} is not there")

    grid = analyze_music(path)

    assert grid.tempo is None
    assert grid.source == "onsets"
    assert len(grid.beats) > 5
    assert_well_formed(grid)


@pytest.mark.parametrize("seconds", [0.5, 10, 61])
def test_silence_gets_even_cut_points_and_no_energy(seconds: float) -> None:
    grid = analyze_samples(np.zeros(round(seconds * RATE), np.float32), RATE)

    assert (grid.tempo, grid.source, grid.confidence, grid.onsets) == (None, "even", 0.0, ())
    assert np.diff(grid.beats) == pytest.approx(2.0)
    assert max(grid.energy) == 0
    assert "silent" in grid.reason
    assert_well_formed(grid)


def test_music_shorter_than_a_bar_has_no_tempo() -> None:
    out = np.zeros(round(1.4 * RATE), np.float32)
    for time in (0.1, 0.6, 1.1):
        place(out, tone(1000, 0.05, 0.01), time)

    grid = analyze_samples(out, RATE)

    assert grid.tempo is None
    assert grid.beats == pytest.approx((0.1, 0.6, 1.1), abs=0.02)
    assert_well_formed(grid)


@pytest.mark.parametrize("count", [0, 1, 2, 300])
def test_hardly_any_samples_are_no_trouble(count: int) -> None:
    grid = analyze_samples(np.full(count, 0.5, np.float32), RATE)

    assert grid.tempo is None
    assert grid.duration == pytest.approx(count / RATE)


def test_samples_that_are_not_numbers_are_taken_as_silence() -> None:
    samples, _ = band(6)
    samples[1000:1100] = np.nan
    samples[5000] = np.inf

    grid = analyze_samples(samples, RATE)

    assert grid.tempo == pytest.approx(120, abs=0.5)
    assert_well_formed(grid)


def test_sections_follow_a_quiet_beginning_and_end() -> None:
    loud, _ = band(12)
    loud += noise(len(loud) / RATE)[: len(loud)]
    quiet = np.float32(0.05) * tone(300, 20, 100)

    grid = analyze_samples(np.concatenate([quiet, loud, quiet]), RATE)

    labels = [section.label for section in grid.sections]
    assert (labels[0], labels[-1]) == ("intro", "outro")
    assert "high" in labels[1:-1]
    assert grid.sections[0].end == pytest.approx(20, abs=2)
    assert grid.sections[-1].start == pytest.approx(20 + len(loud) / RATE, abs=2)
    assert grid.energy_between(22, 42) > grid.energy_between(2, 18) + 0.3
    assert_well_formed(grid)


def test_a_build_rises_into_the_high_part() -> None:
    rising = noise(20) * np.geomspace(0.01, 0.35, 20 * RATE).astype(np.float32)
    grid = analyze_samples(np.concatenate([rising, noise(20)]), RATE)

    assert [section.label for section in grid.sections][-2:] == ["build", "high"] or [
        section.label for section in grid.sections
    ] == ["intro", "build", "high"]


def test_another_tracker_may_be_given() -> None:
    class Every700Milliseconds:
        def track(self, samples: Samples, sample_rate: int) -> Beats:
            return Beats(np.arange(0.0, len(samples) / sample_rate, 0.7), 60 / 0.7, 0.9)

    grid = analyze_samples(noise(7), RATE, tracker=Every700Milliseconds())

    assert grid.source == "beats"
    assert grid.tempo == pytest.approx(85.71, abs=0.01)
    assert np.diff(grid.beats) == pytest.approx(0.7)


def test_a_video_without_sound_is_refused_with_its_name() -> None:
    path = FOOTAGE / "video" / "juggle_noaudio.mp4"
    if not path.exists():
        pytest.skip(f"needs the shared footage: {path.name} is not there")

    with pytest.raises(MediaError, match=r"juggle_noaudio\.mp4"):
        analyze_music(path)
