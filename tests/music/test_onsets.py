"""Onsets: where notes begin, to a few milliseconds, whatever the block borders."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from montage_ai.music.beat_path import best_path
from montage_ai.music.onsets import onset_envelope, pick_onsets, sharpened, windowed

RATE = 22_050


def plucks(times: list[float], seconds: float) -> NDArray[np.float32]:
    out = np.zeros(round(seconds * RATE), np.float32)
    t = np.arange(round(0.4 * RATE)) / RATE
    for k, time in enumerate(times):
        frequency = 220 * 2 ** (k % 12 / 12)
        start = round(time * RATE)
        part = out[start : start + t.size]
        tones = sum(np.sin(2 * np.pi * n * frequency * t) / n for n in (1, 2, 3, 4))
        part += (0.2 * np.exp(-t / 0.15) * (1 - t / 0.4) * tones)[: part.size].astype(np.float32)
    return out


@settings(max_examples=20, deadline=None)
@given(gaps=st.lists(st.floats(0.15, 0.9), min_size=1, max_size=8))
def test_every_note_has_one_onset_where_it_begins(gaps: list[float]) -> None:
    times = [float(time) for time in 0.1 + np.cumsum(gaps)]

    found = pick_onsets(onset_envelope(plucks(times, times[-1] + 0.6), RATE), threshold=0.3)

    assert list(found) == pytest.approx(times, abs=0.015)


def test_a_gliding_tone_has_no_onset_but_its_first() -> None:
    t = np.arange(6 * RATE) / RATE
    glide = np.sin(2 * np.pi * (300 * t + 40 * t**2)).astype(np.float32)

    found = pick_onsets(onset_envelope(glide, RATE), threshold=0.3)

    assert [time for time in found if 0.3 < time < 5.7] == []


@pytest.mark.parametrize("count", [0, 1, 255, 256, 1024 * 256 - 1, 1024 * 256, 1024 * 256 + 1, 600_000])
def test_blocks_cover_every_frame_once(count: int) -> None:
    samples = np.arange(1, count + 1, dtype=np.float32)

    frames = np.concatenate([block[:, 512].copy() for block in windowed(samples, 1024, 256)])

    expected = np.append(samples, np.zeros(1, np.float32))[::256]
    assert np.array_equal(frames, expected[: count // 256 + 1])


def test_the_top_of_a_parabola_is_found_between_frames() -> None:
    frames = np.arange(9)
    curve = (10 - (frames - 4.3) ** 2).astype(np.float32)

    assert sharpened(curve, np.array([4])) == pytest.approx([4.3], abs=1e-5)


def test_the_best_path_keeps_time_through_missing_beats_and_ignores_a_stray_one() -> None:
    pulse = np.zeros(1000, np.float32)
    beats = np.arange(20, 1000, 50)
    pulse[np.delete(beats, [5, 6, 11])] = 4
    pulse[345] = 2  # between two beats

    path = best_path(pulse, 50.0)

    assert len(path) == pytest.approx(len(beats), abs=1)
    assert np.abs(path[:, None] - beats).min(axis=1).max() <= 2
