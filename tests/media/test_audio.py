"""Sound as samples: complete, at the right moment, in step with the picture."""

from __future__ import annotations

import wave
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest

from montage_ai.errors import MediaError, MontageError
from montage_ai.media.audio import read_mono, read_range, sound_blocks
from montage_ai.media.decode import Frame, decode_pass
from montage_ai.media.probe import probe

FFmpeg = Callable[..., Path]
RATE = 48_000


@pytest.fixture(scope="session")
def clicks(media: Path) -> Path:
    """Two seconds of silence with a click at 0.5 and one at 1.25 seconds."""
    samples = np.zeros(2 * RATE, np.int16)
    for second in (0.5, 1.25):
        samples[int(second * RATE) : int(second * RATE) + 24] = 30_000
    path = media / "clicks.wav"
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(RATE)
        file.writeframes(samples.tobytes())
    return path


def loud(samples: np.ndarray) -> list[float]:
    """Where clicks begin, in seconds."""
    places = np.flatnonzero(np.abs(samples.reshape(len(samples), -1)[:, 0]) > 0.25) / RATE
    return [float(p) for i, p in enumerate(places) if i == 0 or p - places[i - 1] > 0.1]


def flashes(path: Path) -> list[float]:
    """When the picture turns white, in seconds from its first frame."""
    bright: list[float] = []

    class Eye:
        def push(self, frame: Frame) -> None:
            if frame.luma.mean() > 150:
                bright.append(float(frame.time))

    decode_pass(probe(path), [Eye()])
    return bright


FLASH = ("-f", "lavfi", "-i", "color=black:s=64x36:r=40:d=2,geq=lum='255*(eq(N,20)+eq(N,50))':cb=128:cr=128")

CONTAINERS = {
    "mkv": ("-c:v", "ffv1", "-c:a", "pcm_s16le", "-output_ts_offset", "3"),
    "mov": ("-c:v", "mpeg4", "-c:a", "pcm_s16le"),
    "mp4": ("-c:v", "libx264", "-pix_fmt", "yuv420p", "-c:a", "aac"),
    "ts": ("-c:v", "mpeg2video", "-q:v", "2", "-c:a", "mp2", "-muxdelay", "0", "-output_ts_offset", "5"),
}


@pytest.mark.parametrize("suffix", CONTAINERS)
@pytest.mark.parametrize("late", ["0", "0.4"])
def test_sound_is_in_step_with_the_picture(make: FFmpeg, clicks: Path, suffix: str, late: str) -> None:
    """A flash and a click at the same two moments; ``late``: the file's sound begins after its picture."""
    sound = ("-ss", late, "-itsoffset", late, "-i", clicks)
    clip = make(*FLASH, *sound, "-map", "0:v", "-map", "1:a", *CONTAINERS[suffix], f"step{late}.{suffix}")
    picture = probe(clip).picture
    samples = read_range(clip, RATE, origin=picture.first_pts * picture.time_base, start=0.0, seconds=2.0)
    assert samples.shape == (2 * RATE, 2)
    assert flashes(clip) == pytest.approx([0.5, 1.25], abs=0.001)
    assert loud(samples) == pytest.approx([0.5, 1.25], abs=0.003)


@pytest.mark.parametrize("start", [-0.5, 0.0, 0.3, 0.49, 1.2])
def test_a_range_begins_where_it_is_asked_to(clicks: Path, start: float) -> None:
    samples = read_range(clicks, RATE, origin=Fraction(0), start=start, seconds=0.8)
    assert samples.shape == (38_400, 2)
    inside = [t - start for t in (0.5, 1.25) if start <= t < start + 0.8]
    assert loud(samples) == pytest.approx(inside, abs=1e-4)


def test_a_range_far_inside_a_file_is_the_same_as_a_part_of_the_whole(make: FFmpeg, clicks: Path) -> None:
    far = make("-stream_loop", "5", "-i", clicks, "-c:a", "flac", "far.flac")
    assert loud(read_range(far, RATE, origin=Fraction(0), start=8, seconds=2.0)) == pytest.approx(
        [0.5, 1.25], abs=0.001
    )


def test_outside_of_the_file_there_is_silence(clicks: Path) -> None:
    samples = read_range(clicks, RATE, origin=Fraction(0), start=1.5, seconds=2.0)
    assert samples.shape == (2 * RATE, 2)
    assert not samples.any()


def test_a_range_is_in_step_at_another_rate(clicks: Path) -> None:
    samples = read_range(clicks, 44_100, origin=Fraction(0), start=0, seconds=2.0)
    first = np.flatnonzero(np.abs(samples[:, 0]) > 0.25)[0] / 44_100
    assert first == pytest.approx(0.5, abs=0.001)


def test_sound_stays_in_step_after_a_gap(make: FFmpeg, clicks: Path) -> None:
    hole = "aselect='not(between(t,0.6,1.0))'"
    gap = make("-i", clicks, "-af", hole, "-c:a", "pcm_s16le", "gap.mkv")
    samples = read_range(gap, RATE, origin=Fraction(0), start=0, seconds=2.0)
    assert loud(samples) == pytest.approx([0.5, 1.25], abs=0.003)


def test_a_clip_without_sound_is_silent(silent: Path) -> None:
    assert not read_range(silent, RATE, origin=Fraction(0), start=0, seconds=1.0).any()


@pytest.mark.parametrize("rate", [48_000, 44_100, 22_050])
def test_mono_has_all_samples(clicks: Path, rate: int) -> None:
    samples = read_mono(clicks, rate)
    assert samples.dtype == np.float32
    assert samples.shape == (2 * rate,)


@pytest.mark.parametrize("codec", ["libmp3lame", "flac", "libopus"])
def test_the_delay_of_an_encoder_is_taken_off(make: FFmpeg, clicks: Path, codec: str) -> None:
    suffix = {"libmp3lame": "mp3", "flac": "flac", "libopus": "opus"}[codec]
    samples = read_mono(make("-i", clicks, "-c:a", codec, f"delay.{suffix}"), RATE)
    assert len(samples) == pytest.approx(2 * RATE, abs=2)
    assert loud(samples) == pytest.approx([0.5, 1.25], abs=0.002)


def test_mono_is_the_mean_of_both_sides(make: FFmpeg) -> None:
    source = "aevalsrc=0.5*sin(2*PI*100*t)|-0.5*sin(2*PI*100*t):s=8000:d=1"
    against = make("-f", "lavfi", "-i", source, "-c:a", "pcm_s16le", "against.wav")
    assert np.abs(read_mono(against, 8000)).max() < 0.01


def test_the_cover_of_a_piece_of_music_does_no_harm(covered_music: Path) -> None:
    samples = read_mono(covered_music, 22_050)
    assert len(samples) == pytest.approx(44_100, abs=2)
    assert np.abs(samples).max() > 0.05


@pytest.mark.parametrize("start", [0.0, 0.25, 1.5, 3.0])
def test_blocks_begin_at_the_start_and_go_to_the_end(clicks: Path, start: float) -> None:
    blocks = list(sound_blocks(clicks, RATE, start=start))
    assert all(block.shape[1] == 2 for block in blocks)
    assert sum(map(len, blocks)) == max(0, round((2 - start) * RATE))
    if blocks:
        expected = [t - start for t in (0.5, 1.25) if t >= start]
        assert loud(np.concatenate(blocks)) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize("kind", ["silent", "corrupt", "empty", "photo"])
def test_a_file_without_sound_is_named(request: pytest.FixtureRequest, kind: str) -> None:
    path: Path = request.getfixturevalue(kind)
    with pytest.raises(MediaError) as caught:
        read_mono(path, 22_050)
    assert caught.value.file == str(path)


def test_music_of_two_parts_with_different_rates_is_read_to_its_end(make: FFmpeg, tmp_path: Path) -> None:
    one = make("-f", "lavfi", "-i", "sine=440:d=1:r=44100", "-ac", "2", "one.mp3")
    two = make("-f", "lavfi", "-i", "sine=880:d=1:r=48000", "-ac", "1", "two.mp3")
    joined = tmp_path / "joined.mp3"
    joined.write_bytes(one.read_bytes() + two.read_bytes())
    assert len(read_mono(joined, 22_050)) == pytest.approx(44_100, rel=0.1)


def test_whatever_bytes_are_damaged_there_is_sound_or_a_word_about_the_file(make: FFmpeg, tmp_path: Path) -> None:
    tone = make("-f", "lavfi", "-i", "anoisesrc=d=3:a=0.3:seed=1", "-c:a", "aac", "-movflags", "+faststart", "n.m4a")
    rng = np.random.default_rng(3)
    path = tmp_path / "fuzzed.m4a"
    named = {str(path)}
    for _ in range(60):
        content = np.frombuffer(tone.read_bytes(), np.uint8).copy()
        content[rng.integers(1500, len(content), 40)] = rng.integers(0, 256, 40)
        path.write_bytes(content)
        try:
            read_mono(path, 22_050)
        except MontageError as error:
            named.add(str(error.file))
    assert named == {str(path)}


def test_any_name_will_do(clicks: Path, tmp_path: Path, odd_name: str) -> None:
    path = tmp_path / f"{odd_name}.wav"
    path.write_bytes(clicks.read_bytes())
    assert len(read_mono(path, 8000)) == 16_000
