"""From a piece of music to its beat grid."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from montage_ai.isolation import isolated
from montage_ai.media.audio import read_mono
from montage_ai.music.beat_grid import BeatGrid
from montage_ai.music.beat_tracker import NO_BEATS, Beats, BeatTracker, EllisTracker
from montage_ai.music.downbeats import find_downbeats
from montage_ai.music.onsets import FloatArray, OnsetEnvelope, onset_envelope, pick_onsets
from montage_ai.music.sections import energy_curve, find_sections
from montage_ai.music.texture import texture
from montage_ai.paths import AnyPath

SAMPLE_RATE = 22_050
CONFIDENT = 0.25
"""Below this confidence there is no tempo. Noise, speech and pads measured below 0.1, songs that drift above 0.35."""

LONGEST_SECONDS = 1800.0
"""Of a piece of music that are listened to."""

_FAINT = 0.003  # RMS: about -50 dBFS
_STRONG_ONSET = 0.3
_CUT_GAP_SECONDS = 0.4
_EVEN_SECONDS = 2.0
_LONGEST_GAP_SECONDS = 8.0

Times = NDArray[np.float64]
_Source = Literal["beats", "onsets", "even"]


def analyze_music(path: Path, tracker: BeatTracker | None = None) -> BeatGrid:
    """The beat grid of the sound in the file ``path``, by ``tracker`` or our own.

    Of a very long piece only the first half hour is listened to. Raises ``MediaError`` for a file without sound that
    can be decoded.
    """
    if tracker is None:
        return _analyze_file(path)
    return analyze_samples(_read_music(path), SAMPLE_RATE, tracker)


@isolated(memory=1.5, silence=300.0)
def _analyze_file(path: AnyPath) -> BeatGrid:
    return analyze_samples(_read_music(path), SAMPLE_RATE)


def _read_music(path: Path) -> FloatArray:
    """The music as one channel: the difference of left and right, where their sum cancels out."""
    samples = read_mono(path, SAMPLE_RATE, seconds=LONGEST_SECONDS)
    if _loudness(samples) < _FAINT:
        side = read_mono(path, SAMPLE_RATE, seconds=LONGEST_SECONDS, side=True)
        if _loudness(side) > 2 * _loudness(samples):
            return side
    return samples


def _loudness(samples: FloatArray) -> float:
    """RMS."""
    return float(np.sqrt(np.mean(np.square(samples)))) if samples.size else 0.0


def analyze_samples(samples: FloatArray, sample_rate: int, tracker: BeatTracker | None = None) -> BeatGrid:
    """The beat grid of mono ``samples`` of shape (n,), -1 to 1, at ``sample_rate`` Hz."""
    if not np.isfinite(samples.sum()):
        samples = np.nan_to_num(samples, posinf=0.0, neginf=0.0)
    duration = len(samples) / sample_rate
    envelope = onset_envelope(samples, sample_rate)
    sound = texture(samples, sample_rate)
    found = EllisTracker().track_envelope(envelope) if tracker is None else tracker.track(samples, sample_rate)
    pulse = found if found.tempo is not None and found.confidence >= CONFIDENT else NO_BEATS
    downbeats = find_downbeats(pulse.times, envelope, sound)
    energy = energy_curve(sound)
    cuts, source, reason = _cut_points(pulse, found, envelope, duration)
    borders = downbeats if downbeats.size else cuts
    return BeatGrid(
        duration=duration,
        tempo=pulse.tempo,
        beats=_listed(cuts),
        downbeats=_listed(downbeats),
        onsets=_listed(pick_onsets(envelope)),
        sections=find_sections(sound, energy, duration, borders if source == "beats" else np.zeros(0)),
        energy=_listed(energy),
        energy_rate=sound.rate,
        confidence=min(1.0, max(0.0, found.confidence)),
        source=source,
        reason=reason,
    )


def _cut_points(pulse: Beats, found: Beats, envelope: OnsetEnvelope, duration: float) -> tuple[Times, _Source, str]:
    """The times to cut at, what they are, and a sentence for the user."""
    if pulse.tempo is not None:
        return pulse.times, "beats", f"The music has a pulse of {pulse.tempo:.1f} beats a minute."
    why = _why_no_pulse(envelope, found, duration)
    onsets = _spaced(pick_onsets(envelope, threshold=_STRONG_ONSET), _CUT_GAP_SECONDS)
    gaps = np.diff(np.concatenate([[0.0], onsets, [duration]]))
    if onsets.size >= 2 and gaps.max() <= _LONGEST_GAP_SECONDS:
        return onsets, "onsets", f"{why}; cuts fall where notes begin."
    return np.arange(0.0, duration, _EVEN_SECONDS), "even", f"{why}; cuts fall every {_EVEN_SECONDS:g} s."


def _why_no_pulse(envelope: OnsetEnvelope, found: Beats, duration: float) -> str:
    start, end = envelope.audible
    if end <= start:
        return "The music is silent"
    if found.tempo is None:
        return f"The music ({duration:.1f} s) is too short, or too plain, to tell a tempo"
    return f"No steady pulse was found (confidence {found.confidence:.2f})"


def _spaced(times: Times, gap: float) -> Times:
    """``times`` without those that follow another within ``gap`` seconds."""
    kept: list[float] = []
    for time in times:
        if not kept or time - kept[-1] >= gap:
            kept.append(float(time))
    return np.array(kept)


def _listed(values: Times) -> tuple[float, ...]:
    """Rounded to 0.1 ms, which is finer than any of this is known."""
    return tuple(round(float(value), 4) for value in values)
