"""Beats of music whose beats are known, and of sound that has none."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from montage_ai.errors import MissingExtraError
from montage_ai.media.audio import read_mono
from montage_ai.music.analyze import CONFIDENT
from montage_ai.music.beat_tracker import EllisTracker, LibrosaTracker

RATE = 22_050
FOOTAGE = Path(__file__).resolve().parents[3] / "shared" / "footage"

Samples = NDArray[np.float32]


def clicks(times: NDArray[np.float64], seconds: float, levels: tuple[float, ...] = (0.8,), rate: int = RATE) -> Samples:
    """A 1 kHz click at each of ``times``, their levels going round ``levels``."""
    out = np.zeros(round(seconds * rate), np.float32)
    t = np.arange(round(0.03 * rate)) / rate
    click = np.sin(2 * np.pi * 1000 * t) * np.exp(-t / 0.006)
    for k, time in enumerate(times):
        start = round(time * rate)
        part = out[start : start + t.size]
        part += (levels[k % len(levels)] * click[: part.size]).astype(np.float32)
    return out


def pad(seconds: float) -> Samples:
    t = np.arange(round(seconds * RATE)) / RATE
    tones = sum(np.sin(2 * np.pi * f * t) for f in (110.0, 220.0, 277.2, 329.6))
    return (0.1 * np.minimum(1, t / 1.5) * tones).astype(np.float32)


def noise(seconds: float, seed: int = 0) -> Samples:
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


def grid(bpm: float, phase: float, seconds: float) -> NDArray[np.float64]:
    return np.arange(phase, seconds - 0.01, 60 / bpm)


def assert_same_beats(found: NDArray[np.float64], truth: NDArray[np.float64], within: float) -> None:
    assert len(found) == len(truth)
    assert np.abs(found - truth).max() <= within


@pytest.mark.parametrize("bpm", [60, 73.3, 90, 107, 120, 141.5, 160, 180])
@pytest.mark.parametrize("with_pad", [False, True])
def test_plain_clicks_are_tapped_on_every_click_whatever_their_tempo(bpm: float, with_pad: bool) -> None:
    truth = grid(bpm, 0.31, 20)
    samples = clicks(truth, 20) + (pad(20) if with_pad else 0)

    found = EllisTracker().track(samples, RATE)

    assert found.tempo == pytest.approx(bpm, abs=0.1)
    assert_same_beats(found.times, truth, within=0.01)
    assert found.confidence > 0.8


@pytest.mark.parametrize("rate", [16_000, 44_100, 48_000])
def test_sample_rate_does_not_move_the_beats(rate: int) -> None:
    truth = grid(112, 0.2, 12)

    found = EllisTracker().track(clicks(truth, 12, rate=rate), rate)

    assert_same_beats(found.times, truth, within=0.015)


def test_quiet_eighths_between_loud_beats_do_not_double_the_tempo() -> None:
    eighths = np.arange(0.2, 19.9, 0.3)  # beats at 100 BPM
    hats = noise(20, seed=3) * 0
    for time in eighths[1::2]:
        start = round(time * RATE)
        hats[start : start + 800] += noise(1)[:800] * np.linspace(1, 0, 800, dtype=np.float32)

    found = EllisTracker().track(clicks(eighths[::2], 20) + hats, RATE)

    assert found.tempo == pytest.approx(100, rel=0.01)
    assert_same_beats(found.times, eighths[::2], within=0.02)


def test_a_drifting_tempo_is_followed() -> None:
    periods = 0.5 * (1 + 0.04 * np.sin(np.arange(60) / 60 * 2 * np.pi))
    truth = 0.3 + np.cumsum(periods)

    found = EllisTracker().track(clicks(truth, truth[-1] + 0.5), RATE)

    assert_same_beats(found.times, truth, within=0.035)


def test_the_grid_goes_on_through_a_silent_break() -> None:
    truth = grid(120, 0.25, 32)
    sounding = truth[(truth < 12) | (truth > 18)]

    found = EllisTracker().track(clicks(sounding, 32), RATE)

    assert_same_beats(found.times, truth, within=0.01)


def test_no_beats_before_the_music_starts_or_after_it_ends() -> None:
    truth = grid(120, 5.0, 15)

    found = EllisTracker().track(clicks(truth, 25), RATE)

    assert_same_beats(found.times, truth, within=0.01)


@pytest.mark.parametrize("name", ["Backbeat_130bpm", "Groovin_clip_120bpm"])
def test_real_music_gets_the_annotated_beats_and_tempo(name: str) -> None:
    path = FOOTAGE / "music" / f"{name}.mp3"
    if not path.exists():
        pytest.skip(f"needs the shared footage: {path.name} is not there")
    truth = np.loadtxt(path.with_suffix(".beats"))[:, 0]

    found = EllisTracker().track(read_mono(path, RATE), RATE)

    near = np.abs(found.times[:, None] - truth).min(axis=1) <= 0.07
    assert found.tempo == pytest.approx(60 / np.median(np.diff(truth)), rel=0.002)
    assert near.mean() >= 0.95
    assert len(found.times) == pytest.approx(len(truth), abs=2)
    assert found.confidence > 2 * CONFIDENT


@pytest.mark.parametrize(
    "samples",
    [
        pytest.param(noise(20), id="white noise"),
        pytest.param(pad(20), id="sustained chord"),
        pytest.param(np.zeros(20 * RATE, np.float32), id="silence"),
        pytest.param((noise(20).cumsum() / 300).astype(np.float32), id="brown noise"),
        pytest.param(pad(20) * (1 + 0.5 * np.sin(np.arange(20 * RATE) / RATE * 31)).astype(np.float32), id="tremolo"),
        pytest.param(
            clicks(np.cumsum(np.random.default_rng(5).exponential(0.4, 45)) % 19.9, 20), id="clicks at random times"
        ),
    ],
)
def test_sound_without_a_pulse_gets_a_low_confidence(samples: Samples) -> None:
    assert EllisTracker().track(samples, RATE).confidence < CONFIDENT


def test_speech_gets_a_low_confidence() -> None:
    path = FOOTAGE / "speech" / "jfk.flac"
    if not path.exists():
        pytest.skip(f"needs the shared footage: {path.name} is not there")

    assert EllisTracker().track(read_mono(path, RATE), RATE).confidence < CONFIDENT


@settings(max_examples=12, deadline=None)
@given(delay=st.floats(0, 2), bpm=st.floats(70, 170))
def test_delaying_the_music_delays_its_beats(delay: float, bpm: float) -> None:
    samples = clicks(grid(bpm, 0.1, 9), 9)
    later = np.concatenate([np.zeros(round(delay * RATE), np.float32), samples])

    beats, delayed = EllisTracker().track(samples, RATE), EllisTracker().track(later, RATE)

    assert_same_beats(delayed.times, beats.times + delay, within=0.01)


@settings(max_examples=12, deadline=None)
@given(gain=st.floats(0.002, 20))
def test_loudness_does_not_matter(gain: float) -> None:
    samples = clicks(grid(128, 0.2, 9), 9, levels=(0.8, 0.5)) + noise(9) * np.float32(0.05)

    beats, other = EllisTracker().track(samples, RATE), EllisTracker().track(samples * np.float32(gain), RATE)

    assert_same_beats(other.times, beats.times, within=0.002)
    assert other.confidence == pytest.approx(beats.confidence, abs=0.01)


def test_librosas_tracker_finds_the_same_pulse() -> None:
    pytest.importorskip("librosa")
    found = LibrosaTracker().track(clicks(grid(120, 0.25, 15), 15), RATE)

    assert found.tempo == pytest.approx(120, rel=0.04)
    assert found.confidence > 2 * CONFIDENT


def test_without_librosa_its_tracker_names_the_pip_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "librosa", None)

    with pytest.raises(MissingExtraError, match=r'pip install "montage-ai\[librosa\]"'):
        LibrosaTracker().track(noise(1), RATE)
