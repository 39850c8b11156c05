from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from montage_ai.edit.timeline import ClipSource, Item
from montage_ai.media.audio import read_mono, sound_blocks
from montage_ai.media.files import sha256
from montage_ai.media.speech import SPEECH, speech_likeness
from montage_ai.render.sound import LOUDNESS, TRUE_PEAK, measure
from tests.conftest import FFmpeg
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


@pytest.mark.slow
def test_music_makes_room_for_speech_and_comes_back_without_a_click(
    shared: Path, make_item: MakeItem, make: FFmpeg, tmp_path: Path
) -> None:
    picture = ("-f", "lavfi", "-i", "color=red:size=320x180:rate=25:duration=11")
    talking = make(*picture, "-i", shared / "speech" / "jfk.flac", "-shortest", "-c:a", "aac", "talking.mp4")
    clip = ClipSource(path=talking, sha256=sha256(talking))
    items = [make_item("grey", 50), Item(clip=clip, start=Fraction(0), frames=75), make_item("grey", 45)]
    silent = make("-i", items[0].clip.path, "-an", "-c", "copy", "grey_silent.mp4")
    quiet = ClipSource(path=silent, sha256=sha256(silent))
    items = [i if i.clip == clip else i.model_copy(update={"clip": quiet}) for i in items]
    time = np.arange(10 * RATE) / RATE
    music = write_wav(tmp_path / "music.wav", 0.2 * np.sin(2 * np.pi * 9000 * time))
    heard = {}
    for sound in ("music", "mix", "duck"):
        render(film_of(items, music=music, sound=sound), tmp_path / f"{sound}.mp4")
        spans = {"before": (0.5, 1.8), "during": (3.0, 4.5), "after": (5.6, 6.2)}
        heard[sound] = {name: tone(tmp_path / f"{sound}.mp4", 9000, *span) for name, span in spans.items()}
    ducked = heard["duck"]
    assert ducked["during"] < 0.4 * ducked["before"]
    assert ducked["after"] > 0.9 * ducked["before"]
    assert heard["mix"]["during"] > 0.9 * heard["mix"]["before"]
    level = np.array([tone(tmp_path / "duck.mp4", 9000, at, at + 0.02) for at in np.arange(1.5, 5.6, 0.02)])
    assert np.abs(np.diff(20 * np.log10(level))).max() < 4  # 12 dB, and never at once


def test_clips_sound_is_12_db_under_the_music_when_mixed(make_item: MakeItem, tmp_path: Path) -> None:
    time = np.arange(3 * RATE) / RATE
    music = write_wav(tmp_path / "music.wav", 0.125 * np.sin(2 * np.pi * 3000 * time))  # FFmpeg's tone has 1/8
    render(film_of([make_item("red", 50)], music=music, sound="mix"), tmp_path / "film.mp4")
    own, under = tone(tmp_path / "film.mp4", 300, 0.3, 1.3), tone(tmp_path / "film.mp4", 3000, 0.3, 1.3)
    assert 20 * np.log10(own / under) == pytest.approx(-12, abs=1)
