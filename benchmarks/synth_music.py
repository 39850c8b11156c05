"""Music with known beats: click tracks, and songs synthesised from patterns, in two disjoint banks of instruments.

The tracker was tuned on songs of the ``tuning`` bank only; the benchmark reports on the ``held_out`` bank, whose
instruments are made by other means (FM, bursts, inharmonic partials, where tuning has sweeps, filtered noise and
Karplus-Strong strings) and whose seeds differ.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

RATE = 22_050
Samples = NDArray[np.float64]
Rng = np.random.Generator
BankName = Literal["tuning", "held_out"]


@dataclass(frozen=True)
class Track:
    """Mono ``samples`` (float32, at ``RATE``) and their true beats and downbeats in seconds."""

    name: str
    samples: NDArray[np.float32]
    beats: NDArray[np.float64]
    downbeats: NDArray[np.float64]
    tempo: float


@dataclass(frozen=True)
class Pattern:
    """One bar of a style: (position in beats, strength) of every part, and the tempi at which it is played."""

    tempi: tuple[float, float]
    kick: str = ""
    snare: str = ""
    hat: str = ""
    bass: str = ""
    chord: str = "9..............."
    pluck: str = ""
    steps_per_beat: int = 4
    beats_per_bar: int = 4


# One character a step, from '1' (faint) to '9' (full); '.' is a rest.
PATTERNS: dict[str, Pattern] = {
    "four-on-floor": Pattern(
        (112, 150), kick="9...9...9...9...", snare="....7.......7...", hat="..6...6...6...6.", bass="..8...8...8...8."
    ),
    "backbeat": Pattern(
        (76, 160), kick="9.......9.5.....", snare="....9.......9...", hat="6.4.6.4.6.4.6.4.", bass="9.....5.8.....5."
    ),
    "syncopated": Pattern(
        (90, 124), kick="9..6..7...6.....", snare="....9..3....9...", hat="6.5.6.5.6.5.6.55", bass="9..7..6...7.5..."
    ),
    "half-time": Pattern(
        (116, 146), kick="9...............", snare="........9.......", hat="7.3.7.3.7.3.7.3.", bass="9...7...7...7..."
    ),
    "swing": Pattern(
        (100, 164), kick="9..4..7..4..", snare="...6.....6..", hat="7..7.57..7.5", bass="8..7..8..7..",
        chord="6....5......", steps_per_beat=3,
    ),
    "sparse": Pattern(
        (72, 120), kick="9.......7.......", snare="............8...", hat="5...4...5...4...", bass="9..............."
    ),
    "strummed": Pattern(
        (76, 136), chord="", pluck="9...6.5...5.6.5.", bass="8.......7......."
    ),
    "arpeggio": Pattern(
        (80, 128), chord="", pluck="9.5.7.5.8.5.7.5.", bass="9.......8......."
    ),
    "waltz": Pattern(
        (88, 160), kick="9...........", snare="....6...6...", hat="5...5...5...", bass="9...........",
        chord="....6...6...", beats_per_bar=3,
    ),
}  # fmt: skip


def click_tracks(seconds: float = 30.0) -> Iterator[Track]:
    """The 72 click tracks: 18 tempi from 60 to 180 BPM, with and without a pad, each at two random phases."""
    rng = np.random.default_rng(2024)
    for bpm in np.linspace(60, 180, 18).round(1):
        for pad in (False, True):
            for _ in range(2):
                yield click_track(float(bpm), float(rng.uniform(0, 60 / bpm)), pad=pad, seconds=seconds)


def click_track(bpm: float, phase: float, *, pad: bool = False, seconds: float = 30.0, rate: int = RATE) -> Track:
    """A short 1 kHz click on every beat from ``phase`` seconds on, over a sustained chord if ``pad``."""
    beats = np.arange(phase, seconds - 0.05, 60 / bpm)
    out = np.zeros(round(seconds * rate))
    t = np.arange(round(0.03 * rate)) / rate
    click = 0.8 * np.sin(2 * np.pi * 1000 * t) * np.exp(-t / 0.006)
    for beat in beats:
        _add(out, click, beat, rate)
    if pad:
        out += pad_chord(seconds, rate)
    return Track(f"click {bpm:g}{' +pad' if pad else ''}", _normal(out), beats, beats[:0], bpm)


def pad_chord(seconds: float, rate: int = RATE, root: float = 220.0) -> Samples:
    """A sustained, slowly swelling chord without any onset but its first."""
    t = np.arange(round(seconds * rate)) / rate
    tones = [np.sin(2 * np.pi * root * ratio * t + k) for k, ratio in enumerate((0.5, 1, 1.26, 1.498, 2.003))]
    swell = np.minimum(1, t / 1.5) * (1 + 0.2 * np.sin(2 * np.pi * 0.11 * t))
    return np.asarray(0.05 * swell * np.sum(tones, axis=0))


def songs(bank: BankName, seeds: range, patterns: tuple[str, ...] = tuple(PATTERNS)) -> Iterator[Track]:
    """One song of every pattern for every seed."""
    for name in patterns:
        for seed in seeds:
            yield song(name, bank, seed)


def song(pattern_name: str, bank: BankName, seed: int, seconds: float = 30.0) -> Track:
    """A song in one style: random tempo (a third of them drift), chords, sounds, mix, jitter and arrangement."""
    rng = np.random.default_rng([seed, sorted(PATTERNS).index(pattern_name)])
    pattern, sound = PATTERNS[pattern_name], _BANKS[bank](rng)
    bpm = float(rng.uniform(*pattern.tempi))
    drift = float(rng.uniform(0.015, 0.04)) if rng.random() < 1 / 3 else 0.0
    beats = _beat_times(rng, bpm, drift, seconds)
    out = np.zeros(round(seconds * RATE))
    _play(out, pattern, sound, beats, rng)
    out = _room(out, rng) + rng.normal(0, 10 ** rng.uniform(-5, -3.2), out.size)
    tempo = 60 / float(np.median(np.diff(beats)))
    audible = beats[beats < seconds - 0.05]
    return Track(f"{pattern_name} {bpm:.1f} #{seed}", _normal(out), audible, audible[:: pattern.beats_per_bar], tempo)


def _beat_times(rng: Rng, bpm: float, drift: float, seconds: float) -> NDArray[np.float64]:
    count = int(seconds * bpm / 60 * 1.1) + 8
    wave = np.sin(2 * np.pi * (np.arange(count) / count * rng.uniform(0.5, 2) + rng.random()))
    periods = 60 / bpm * (1 + drift * wave)
    return np.asarray(rng.uniform(0.02, 0.6) + np.concatenate([[0.0], np.cumsum(periods)]))


def _play(out: Samples, pattern: Pattern, sound: Bank, beats: NDArray[np.float64], rng: Rng) -> None:
    mix = {part: rng.uniform(0.6, 1.1) for part in ("kick", "snare", "hat", "bass", "chord", "pluck")}
    drums_from = 2 if rng.random() < 0.4 and pattern.pluck == "" else 0
    chords = rng.permutation([0, 3, 4, 5, 1])[:4]
    root = float(rng.uniform(90, 160))
    bar_steps = pattern.beats_per_bar * pattern.steps_per_beat
    bars = len(beats) // pattern.beats_per_bar
    for bar in range(bars):
        degree = int(chords[bar % 4])
        for part in mix:
            if bar < drums_from and part in ("kick", "snare", "hat"):
                continue
            for step, strength in enumerate(getattr(pattern, part)[:bar_steps]):
                if strength == "." or (strength < "5" and rng.random() < 0.25):
                    continue
                position = bar * pattern.beats_per_bar + step / pattern.steps_per_beat
                time = float(np.interp(position, np.arange(len(beats)), beats)) + rng.normal(0, 0.004)
                gain = mix[part] * int(strength) / 9 * rng.uniform(0.85, 1.1)
                _add(out, gain * _faded(sound.note(part, degree, root, step)), max(0.0, time), RATE)


_SCALE = 2 ** (np.array([0, 2, 4, 5, 7, 9, 11, 12, 14, 16, 17, 19, 21]) / 12)


class Bank:
    """One set of instruments, its sounds drawn once for a song."""

    def __init__(self, rng: Rng) -> None:
        self.rng = rng

    def note(self, part: str, degree: int, root: float, step: int) -> Samples:
        """The samples of one note of ``part`` over the chord on ``degree``."""
        triad = [root * _SCALE[degree + k] for k in (0, 2, 4)]
        match part:
            case "kick" | "snare" | "hat":
                return np.asarray(getattr(self, part)())
            case "bass":
                return self.bass(triad[0] / 2)
            case "chord":
                return np.asarray(sum(self.chord(2 * f) for f in triad))
            case _:
                return self.pluck(2 * triad[step // 2 % 3])

    def kick(self) -> Samples:
        raise NotImplementedError

    def snare(self) -> Samples:
        raise NotImplementedError

    def hat(self) -> Samples:
        raise NotImplementedError

    def bass(self, frequency: float) -> Samples:
        raise NotImplementedError

    def chord(self, frequency: float) -> Samples:
        raise NotImplementedError

    def pluck(self, frequency: float) -> Samples:
        raise NotImplementedError


class TuningBank(Bank):
    """Swept sines, filtered noise, additive strings, Karplus-Strong plucks."""

    def __init__(self, rng: Rng) -> None:
        super().__init__(rng)
        self.low, self.decay = rng.uniform(42, 60), rng.uniform(0.08, 0.2)
        self.bright, self.attack = rng.uniform(4000, 8000), rng.uniform(0.004, 0.02)

    def kick(self) -> Samples:
        t = _time(0.35)
        phase = 2 * np.pi * (self.low * t + 90 * 0.02 * (1 - np.exp(-t / 0.02)))
        return np.asarray(np.sin(phase) * np.exp(-t / self.decay))

    def snare(self) -> Samples:
        t = _time(0.25)
        noise = self.rng.normal(0, 0.4, t.size)
        return np.asarray((noise + 0.5 * np.sin(2 * np.pi * 190 * t)) * np.exp(-t / (self.decay * 0.6)))

    def hat(self) -> Samples:
        t = _time(0.12)
        sos = butter(2, self.bright, "high", fs=RATE, output="sos")
        return np.asarray(0.5 * sosfilt(sos, self.rng.normal(0, 0.5, t.size)) * np.exp(-t / 0.025))

    def bass(self, frequency: float) -> Samples:
        t = _time(0.4)
        tones = [np.sin(2 * np.pi * k * frequency * t) / k**1.5 for k in range(1, 7)]
        return np.asarray(0.5 * np.sum(tones, axis=0) * np.minimum(1, t / 0.008) * np.exp(-t / 0.25))

    def chord(self, frequency: float) -> Samples:
        t = _time(1.2)
        tones = [np.sin(2 * np.pi * k * frequency * (1 + 0.002 * k) * t) / k for k in range(1, 5)]
        return np.asarray(0.08 * np.sum(tones, axis=0) * np.minimum(1, t / self.attack) * np.exp(-t / 0.8))

    def pluck(self, frequency: float) -> Samples:
        period = round(RATE / frequency)
        string, turns = self.rng.uniform(-1, 1, period), []
        for _ in range(round(0.7 * frequency)):
            turns.append(string)
            string = 0.495 * (string + np.roll(string, 1))
        return np.asarray(0.5 * np.concatenate(turns))


class HeldOutBank(Bank):
    """FM thumps, burst claps, ringing squares, FM bass and electric piano, marimba bars."""

    def __init__(self, rng: Rng) -> None:
        super().__init__(rng)
        self.low, self.ring = rng.uniform(48, 75), rng.uniform(0.02, 0.06)
        self.index, self.length = rng.uniform(1, 4), rng.uniform(0.1, 0.25)
        self.soft = rng.uniform(0.002, 0.012)

    def kick(self) -> Samples:
        t = _time(0.3)
        body = np.sin(
            2 * np.pi * self.low * t + self.index * np.exp(-t / 0.03) * np.sin(2 * np.pi * 1.7 * self.low * t)
        )
        return np.asarray(body * np.exp(-t / self.length) + 0.3 * np.exp(-t / 0.002) * self.rng.normal(0, 1, t.size))

    def snare(self) -> Samples:
        t = _time(0.3)
        bursts = sum(np.where(t >= d, np.exp(-np.maximum(t - d, 0) / 0.006), 0) for d in (0, 0.011, 0.021))
        envelope = 0.5 * bursts + np.where(t > 0.025, np.exp(-(t - 0.025) / 0.08), 0)
        sos = butter(1, (900, 3500), "band", fs=RATE, output="sos")
        return np.asarray(0.8 * sosfilt(sos, self.rng.normal(0, 1, t.size)) * envelope)

    def hat(self) -> Samples:
        t = _time(0.15)
        ring = sum(np.sign(np.sin(2 * np.pi * f * t)) for f in (2310.0, 3140.0, 4270.0, 5390.0, 6110.0))
        return np.asarray(0.08 * ring * np.exp(-t / self.ring))

    def bass(self, frequency: float) -> Samples:
        t = _time(0.5)
        modulator = self.index * np.exp(-t / 0.1) * np.sin(2 * np.pi * frequency * t)
        return np.asarray(
            0.6 * np.sin(2 * np.pi * frequency * t + modulator) * np.minimum(1, t / 0.005) * np.exp(-t / 0.3)
        )

    def chord(self, frequency: float) -> Samples:
        t = _time(1.5)
        tine = 0.8 * np.exp(-t / 0.15) * np.sin(2 * np.pi * 7 * frequency * t)
        return np.asarray(
            0.15 * np.sin(2 * np.pi * frequency * t + tine) * np.minimum(1, t / self.soft) * np.exp(-t / 0.7)
        )

    def pluck(self, frequency: float) -> Samples:
        t = _time(0.6)
        bars = ((1.0, 1.0, 0.3), (3.93, 0.35, 0.08), (9.2, 0.12, 0.03))
        return np.asarray(sum(a * np.sin(2 * np.pi * r * frequency * t) * np.exp(-t / d) for r, a, d in bars) * 0.5)


_BANKS: dict[BankName, Callable[[Rng], Bank]] = {"tuning": TuningBank, "held_out": HeldOutBank}


def _time(seconds: float) -> Samples:
    return np.arange(round(seconds * RATE)) / RATE


def _faded(sound: Samples) -> Samples:
    """``sound`` with its last fifth faded out: a note cut short would click at its end."""
    fade = np.linspace(1, 0, sound.size // 5)
    return np.concatenate([sound[: sound.size - fade.size], sound[sound.size - fade.size :] * fade])


def _add(out: Samples, sound: Samples, time: float, rate: int) -> None:
    start = round(time * rate)
    end = min(out.size, start + sound.size)
    if end > start:
        out[start:end] += sound[: end - start]


def _room(dry: Samples, rng: Rng) -> Samples:
    """A little reverberation: two feedback combs."""
    wet = np.zeros_like(dry)
    for delay in (0.0297, 0.0371):
        step = round(delay * RATE)
        loop = dry.copy()
        for start in range(step, loop.size, step):
            end = min(start + step, loop.size)
            loop[start:end] += 0.6 * loop[start - step : end - step]
        wet += loop
    return np.asarray(dry + rng.uniform(0.02, 0.15) * wet)


def _normal(samples: Samples) -> NDArray[np.float32]:
    return np.asarray(0.9 * samples / np.abs(samples).max(), dtype=np.float32)
