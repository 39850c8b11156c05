from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from montage_ai.media.audio import read_mono, sound_blocks
from montage_ai.render.sound import LOUDNESS, TRUE_PEAK, measure
from montage_ai.render.speech import SPEECH, speech_likeness
from tests.render.conftest import MakeItem, film_of, render, write_wav

RATE = 48_000


def noise(seconds: float, level: float) -> np.ndarray:
    return np.random.default_rng(1).normal(0, level, round(seconds * RATE))


def bursts(seconds: float) -> np.ndarray:
    """Loud, short hits over near silence: the limiter's case."""
    time = np.arange(round(seconds * RATE)) / RATE
    return np.sin(2 * np.pi * 180 * time) * np.exp(-25 * (time % 0.5)) * 0.98


@pytest.mark.parametrize("music", [noise(4, 0.02), noise(4, 0.3), bursts(4)], ids=["quiet", "clipping", "percussive"])
def test_the_film_is_as_loud_as_it_should_be(music: np.ndarray, make_item: MakeItem, tmp_path: Path) -> None:
    track = write_wav(tmp_path / "music.wav", music)
    render(film_of([make_item("red", 50), make_item("blue", 50)], music=track), tmp_path / "film.mp4")
    got = measure(["-i", str(tmp_path / "film.mp4")])
    assert got.integrated == pytest.approx(LOUDNESS, abs=0.5)
    assert got.true_peak <= TRUE_PEAK


def test_silence_stays_silent(make_item: MakeItem, tmp_path: Path) -> None:
    track = write_wav(tmp_path / "music.wav", np.zeros(2 * RATE))
    render(film_of([make_item("red", 50)], music=track), tmp_path / "film.mp4")
    assert np.abs(read_mono(tmp_path / "film.mp4", RATE)).max() < 1e-3


def test_the_sound_is_as_long_as_the_film_though_the_music_is_not(make_item: MakeItem, tmp_path: Path) -> None:
    for name, seconds in (("short", 1.0), ("long", 9.0)):
        track = write_wav(tmp_path / f"{name}.wav", noise(seconds, 0.1))
        output = tmp_path / f"{name}.mp4"
        render(film_of([make_item("red", 33), make_item("green", 44)], music=track), output)
        samples = sum(len(block) for block in sound_blocks(output, RATE))
        assert abs(samples / RATE - 77 / 25) <= 1 / 25


def tone(path: Path, pitch: float, low: float, high: float) -> float:
    """Strength of a pitch in the sound between two moments."""
    part = read_mono(path, RATE)[round(low * RATE) : round(high * RATE)]
    time = np.arange(len(part)) / RATE
    return float(2 * np.abs(np.mean(part * np.exp(-2j * np.pi * pitch * time))))


def test_clips_are_heard_in_their_own_shot_and_only_if_asked(make_item: MakeItem, tmp_path: Path) -> None:
    track = write_wav(tmp_path / "music.wav", noise(2, 0.05))
    items = [make_item("red", 25, start=Fraction(1, 2)), make_item("green", 25)]
    for sound in ("music", "mix"):
        render(film_of(items, music=track, sound=sound), tmp_path / f"{sound}.mp4")
    mixed, plain = tmp_path / "mix.mp4", tmp_path / "music.mp4"
    assert tone(mixed, 300, 0.1, 0.9) > 5 * tone(mixed, 300, 1.1, 1.9)
    assert tone(mixed, 600, 1.1, 1.9) > 5 * tone(mixed, 600, 0.1, 0.9)
    assert tone(plain, 300, 0.1, 0.9) < 0.2 * tone(mixed, 300, 0.1, 0.9)


def test_real_speech_is_told_from_other_sound(shared: Path) -> None:
    for name in ("speech/jfk.flac", "video/talking_bbaf2n.mpg"):
        speech = np.concatenate(list(sound_blocks(shared / name, RATE)))
        assert (speech_likeness(speech, RATE) > SPEECH).mean() > 0.5, name
    for name in (
        "video/gopro_walk.mp4",
        "video/rooftop_shaky_handheld.mp4",
        "video/london_street_portrait_vfr_hevc.mp4",
    ):
        ambience = np.concatenate(list(sound_blocks(shared / name, RATE)))
        assert (speech_likeness(ambience, RATE) > SPEECH).mean() < 0.15, name


def test_hums_and_noise_are_not_speech() -> None:
    time = np.arange(4 * RATE) / RATE
    hum = 0.2 * np.sin(2 * np.pi * 120 * time)
    for sound in (hum, noise(4, 0.1), np.zeros(4 * RATE)):
        assert speech_likeness(np.stack([sound, sound], axis=1).astype(np.float32), RATE).max() < SPEECH
