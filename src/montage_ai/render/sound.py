"""The film's sound: mixed once to float, measured, one static gain and a limiter, and measured again as AAC."""

from __future__ import annotations

import hashlib
import json
import re
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import numpy as np

from montage_ai.edit.timeline import Item, Timeline
from montage_ai.errors import MediaError, VerificationError
from montage_ai.isolation import isolated
from montage_ai.media.audio import Samples, read_range, sound_blocks
from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.files import telling_disk_errors
from montage_ai.media.probe import MediaInfo
from montage_ai.media.speech import SPEECH, WINDOW, speech_likeness
from montage_ai.paths import AnyPath
from montage_ai.render.encoding import ENCODINGS

SAMPLE_RATE = 48_000
LOUDNESS = -14.0
"""Integrated loudness in LUFS (ITU-R BS.1770), within half a unit."""
TRUE_PEAK = -1.0
"""Highest true peak in dBTP, after AAC."""

_VERSION = "2"
_UNDER = 10 ** (-12 / 20)  # clips' own sound under the music, and music under speech
_JOIN = 0.02  # seconds over which a clip's sound fades at its ends
_DUCK = 0.25  # seconds over which the music makes room
_TRIES = 8
_MOST_GAIN = 36.0
_SILENT = -69.0

_INPUT = ("-f", "f32le", "-ar", str(SAMPLE_RATE), "-ac", "2")


@dataclass(frozen=True)
class Loudness:
    """Integrated loudness in LUFS and true peak in dBTP."""

    integrated: float
    true_peak: float


def sound_key(timeline: Timeline) -> str:
    """A digest of all that the film's sound depends on."""
    sources = []
    if timeline.sound != "music":
        for item in timeline.items:
            sources.append([item.clip.sha256, str(item.start), item.frames, str(item.speed)])
    head = [timeline.music and timeline.music.sha256, timeline.sound, timeline.frames, str(timeline.fps)]
    tail = [timeline.closing_fade, ENCODINGS[timeline.quality].audio_bit_rate, _VERSION]
    return hashlib.sha256(json.dumps([head, sources, tail]).encode()).hexdigest()


def render_sound(timeline: Timeline, infos: Mapping[Path, MediaInfo], path: Path) -> list[Path]:
    """Mix, level and encode the film's sound as ``path`` (.m4a), exactly as long as the film.

    Returns the clips whose own sound cannot be decoded, and is silent.
    """
    with telling_disk_errors(path), tempfile.TemporaryDirectory(dir=path.parent, prefix=".mix-") as folder:
        return _render_sound(timeline, list(infos.items()), path, Path(folder))


@isolated(memory=1.5, silence=3600.0)
def _render_sound(
    timeline: Timeline, infos: list[tuple[AnyPath, MediaInfo]], path: AnyPath, folder: AnyPath
) -> list[AnyPath]:
    silent: dict[Path, None] = {}
    mix = folder / "mix.f32"
    with telling_disk_errors(path):
        with mix.open("wb") as file:
            for block in _mix(timeline, dict(infos), silent):
                file.write(block.tobytes())
        _level(mix, path, ENCODINGS[timeline.quality].audio_bit_rate)
    return list(silent)


def measure(arguments: list[str]) -> Loudness:
    """Loudness of what FFmpeg reads with ``arguments``, by its ``ebur128`` filter."""
    said = run_ffmpeg([*arguments, "-map", "0:a:0", "-af", "ebur128=peak=true:framelog=verbose", "-f", "null", "-"])
    summary = said[said.rfind("Summary:") :]
    integrated = re.search(r"I:\s+(\S+) LUFS", summary)
    peak = re.search(r"Peak:\s+(\S+) dBFS", summary)
    if integrated is None or peak is None:
        raise VerificationError("The loudness of the sound could not be measured.")
    return Loudness(float(integrated[1]), float(peak[1]))


def _level(mix: Path, output: Path, bit_rate: int) -> None:
    """Encode with the gain and the limiter's ceiling that reach the loudness, trying again for what AAC adds."""
    source = [*_INPUT, "-i", f"file:{mix}"]
    measured = measure(source)
    silent = measured.integrated <= _SILENT
    gain = 0.0 if silent else min(LOUDNESS - measured.integrated, _MOST_GAIN)
    ceiling = TRUE_PEAK - 0.3
    for _ in range(_TRIES):
        _encode(source, gain, ceiling if measured.true_peak + gain > ceiling else None, bit_rate, output)
        got = measure(["-i", f"file:{output}"])
        missing = 0.0 if silent or gain >= _MOST_GAIN else LOUDNESS - got.integrated
        if got.true_peak <= TRUE_PEAK and abs(missing) <= 0.3:
            return
        ceiling -= max(0.0, got.true_peak - TRUE_PEAK + 0.1)
        gain = min(gain + 1.3 * missing, _MOST_GAIN)  # the limiter takes back a part of what is added


def _encode(source: list[str], gain: float, ceiling: float | None, bit_rate: int, output: Path) -> None:
    filters = [f"volume={gain:.3f}dB:precision=float"]
    if ceiling is not None:  # four times the rate, so that peaks between samples are seen
        limit = 10 ** (ceiling / 20)
        limiter = f"alimiter=level=0:limit={limit:.5f}:attack=2:release=60:latency=1"
        filters += [f"aresample={4 * SAMPLE_RATE}", limiter, f"aresample={SAMPLE_RATE}"]
    coder = ["-c:a", "aac", "-b:a", str(bit_rate), "-map_metadata", "-1", "-fflags", "+bitexact"]
    run_ffmpeg(["-loglevel", "error", *source, "-af", ",".join(filters), *coder, "-f", "mp4", f"file:{output}"])


def _mix(timeline: Timeline, infos: Mapping[Path, MediaInfo], silent: dict[Path, None]) -> Iterator[Samples]:
    """The mixture item by item, float stereo: memory does not grow with the film.

    Clips whose sound cannot be decoded are added to ``silent``.
    """
    music, gate = _Music(timeline), _Gate()
    position = 0
    total = round(timeline.duration * SAMPLE_RATE)
    for start, item in zip(timeline.starts, timeline.items, strict=True):
        end = min(total, round((start + item.frames) / timeline.fps * SAMPLE_RATE))
        block = music.take(end - position)
        own = None
        if timeline.sound != "music":
            try:
                own = _own_sound(item, infos.get(item.clip.path), len(block))
            except MediaError:
                silent[item.clip.path] = None
        if timeline.sound == "duck" and timeline.music is not None:
            speech = gate.over(own, len(block))
            block = block * (1 - speech * (1 - _UNDER))
            own = None if own is None else own * (_UNDER + speech * (1 - _UNDER))
        elif own is not None and timeline.music is not None:
            own = own * _UNDER
        yield (block if own is None else block + own).astype(np.float32, copy=False)
        position = end


def _own_sound(item: Item, info: MediaInfo | None, samples: int) -> Samples | None:
    """The clip's own sound of an item, faded at its ends; None where it has none, or runs at another speed."""
    if info is None or not info.audio or item.speed != 1:
        return None
    own = _read(info, info.picture.first_pts * info.picture.time_base, item.start, samples)
    own *= _fades(samples)
    return own


def _read(info: MediaInfo, origin: Fraction, start: Fraction, samples: int) -> Samples:
    return read_range(info.path, SAMPLE_RATE, origin=origin, start=float(start), seconds=samples / SAMPLE_RATE)


def _fades(samples: int) -> Samples:
    """1 with short ramps at both ends, shape (samples, 1)."""
    ramp = np.minimum(np.arange(samples), np.arange(samples)[::-1]) / (_JOIN * SAMPLE_RATE)
    return np.minimum(ramp, 1.0).astype(np.float32)[:, None]


class _Gate:
    """How far the music makes room for speech, from 0 to 1: it never jumps, nor from one item to the next."""

    def __init__(self) -> None:
        self._last = 0.0

    def over(self, sound: Samples | None, samples: int) -> Samples:
        """The gate over an item of ``samples`` with this ``sound`` of its own: shape (samples, 1)."""
        windows = max(1, round(samples / SAMPLE_RATE / WINDOW))
        likeness = np.zeros(windows) if sound is None else speech_likeness(sound, SAMPLE_RATE)
        width = max(1, round(_DUCK / WINDOW))
        smooth = np.convolve(np.pad(likeness > SPEECH, width, mode="edge"), np.ones(width) / width, "same")[
            width:-width
        ]
        times = np.arange(samples) / SAMPLE_RATE
        wanted = np.interp(times, (np.arange(len(smooth)) + 0.5) * WINDOW, smooth)
        ramp = np.minimum(times / _DUCK, 1.0)
        gate = self._last * (1 - ramp) + wanted * ramp
        self._last = float(gate[-1]) if samples else self._last
        return np.asarray(gate[:, None], np.float32)


class _Music:
    """The music as a stream, silent behind its end, faded where the film ends before it."""

    def __init__(self, timeline: Timeline) -> None:
        music = timeline.music
        self._blocks = sound_blocks(music.path, SAMPLE_RATE) if music else iter(())
        self._held = np.zeros((0, 2), np.float32)
        self._position = 0
        self._end = round(timeline.duration * SAMPLE_RATE)
        self._fade = round(max(timeline.closing_fade, 0.5) * SAMPLE_RATE)

    def take(self, samples: int) -> Samples:
        """The next ``samples``, shape (samples, 2)."""
        parts, have = [self._held], len(self._held)
        while have < samples and (block := next(self._blocks, None)) is not None:
            parts.append(block)
            have += len(block)
        joined = np.concatenate(parts)
        self._held = joined[samples:].copy()
        taken = np.zeros((samples, 2), np.float32)
        taken[: min(samples, len(joined))] = joined[:samples]
        left = self._end - self._position - np.arange(samples)
        self._position += samples
        return np.asarray(taken * np.minimum(left / self._fade, 1)[:, None], np.float32)
