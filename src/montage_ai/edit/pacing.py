"""When the film cuts: slots between beats, from the music's energy, the style's pacing and the arc."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise

import numpy as np

from montage_ai.edit.choices import Density
from montage_ai.edit.styles import Arc, Pacing, Style, Transitions
from montage_ai.edit.timeline import Transition, frame_of
from montage_ai.music.beat_grid import BeatGrid

_PARTS = (("intro", 0.12), ("build", 0.5), ("climax", 0.72), ("sustain", 0.9), ("outro", 1.0))


@dataclass(frozen=True)
class Slot:
    """A place for one shot: output frames [``start``, ``end``).

    ``beat`` is the moment of the music (seconds) that ``start`` was put on; ``level`` the wanted intensity, 0 to 1;
    ``inner`` the frames at which the slot may be split; ``transition`` how it joins the slot before it.
    """

    start: int
    end: int
    beat: float
    level: float
    part: str
    inner: tuple[int, ...] = ()
    transition: Transition | None = None

    @property
    def frames(self) -> int:
        return self.end - self.start


@dataclass(frozen=True)
class _CutPoint:
    time: float
    strength: float  # 1 the start of a section, 0.6 a downbeat, 0.3 a beat, 0 half-way between beats


def pace(
    grid: BeatGrid,
    style: Style,
    *,
    fps: Fraction,
    duration: float,
    density: Density = "auto",
    beat_offset: float = 0.0,
    seed: int = 0,
) -> list[Slot]:
    """The slots of a film of ``duration`` seconds, without gaps, each boundary on a cut point of the music."""
    points = [p for p in _cut_points(grid) if p.time + beat_offset < duration]
    if density == "auto":
        times = _choose(points, grid, style, duration, random.Random(seed))  # noqa: S311  variety, not secrecy
    else:
        times = [p.time for p in points if p.strength >= {"bar": 0.6, "beat": 0.3, "half": 0.0}[density]]
    last = frame_of(duration, fps)
    shortest = max(2, frame_of(style.pacing.min_seconds, fps)) if density == "auto" else 2
    cuts = {0: 0.0}
    for time in times:
        frame = frame_of(time + beat_offset, fps)
        if frame - max(cuts) >= shortest and last - frame >= shortest:
            cuts[frame] = time
    frames = [frame_of(p.time + beat_offset, fps) for p in points if p.strength >= 0.3]
    slots = [_slot(a, b, cuts[a], frames, grid, style.arc, last, fps) for a, b in pairwise([*cuts, last])]
    return _with_transitions(slots, style.transitions, grid, fps, seed)


def split(slot: Slot) -> tuple[Slot, Slot] | None:
    """Two slots in the place of one, cut at its most central beat; None where it has none inside."""
    inner = [frame for frame in slot.inner if min(frame - slot.start, slot.end - frame) >= 2]
    if not inner:
        return None
    middle = min(inner, key=lambda frame: abs(2 * frame - slot.start - slot.end))
    first = replace(slot, end=middle, inner=tuple(f for f in inner if f < middle))
    second = replace(slot, start=middle, inner=tuple(f for f in inner if f > middle), transition=None)
    return first, second


def part_at(share: float) -> str:
    """The part of the arc at ``share`` (0 to 1) of the film."""
    return next((name for name, end in _PARTS if share < end), "outro")


def _cut_points(grid: BeatGrid) -> list[_CutPoint]:
    """All moments of the music that a cut may fall on, in order. Half-way points exist only where there is a tempo."""
    downbeats = set(grid.downbeats)
    beats = np.array(grid.beats)
    strengths = {beat: 0.6 if beat in downbeats else 0.3 for beat in grid.beats}
    for section in grid.sections[1:]:
        if len(beats):
            nearest = float(beats[np.abs(beats - section.start).argmin()])
            if abs(nearest - section.start) < 1.0:
                strengths[nearest] = 1.0
    if grid.tempo is not None:
        strengths |= {(a + b) / 2: 0.0 for a, b in pairwise(grid.beats)}
    return [_CutPoint(time, strengths[time]) for time in sorted(strengths)]


def _choose(points: list[_CutPoint], grid: BeatGrid, style: Style, duration: float, rng: random.Random) -> list[float]:
    """Walk through the music; each shot ends on the point that fits its wanted length and the bars best."""
    pacing, now = style.pacing, 0.0
    chosen: list[float] = []
    beat = 60 / grid.tempo if grid.tempo else float(np.median(np.diff(grid.beats))) if len(grid.beats) > 1 else 1.0
    times = np.array([p.time for p in points])
    while True:
        wanted = _wanted_seconds(_level(grid, style.arc, now, duration), beat, pacing)
        low = int(np.searchsorted(times, now + pacing.min_seconds))
        if low >= len(points):
            return chosen
        high = max(low + 1, int(np.searchsorted(times, now + max(pacing.max_seconds, 1.5 * beat), "right")))
        best = max(points[low:high], key=lambda p: _fit(p, p.time - now, wanted, pacing.variation, rng))
        chosen.append(best.time)
        now = best.time


def _wanted_seconds(level: float, beat: float, pacing: Pacing) -> float:
    beats: float = pacing.slow * (pacing.fast / pacing.slow) ** level
    return min(max(beats * beat, pacing.min_seconds), pacing.max_seconds)


def _fit(point: _CutPoint, length: float, wanted: float, variation: float, rng: random.Random) -> float:
    return -2 * abs(float(np.log2(length / wanted))) + point.strength + 2 * variation * rng.random()


def _level(grid: BeatGrid, arc: Arc, time: float, duration: float) -> float:
    """Intensity wanted at ``time``: the music's energy in the next two seconds, and the arc's."""
    energy = grid.energy_between(time, min(time + 2.0, grid.duration))
    planned: float = getattr(arc, part_at(time / duration))
    return float((1 - arc.weight) * energy + arc.weight * planned)


def _slot(
    start: int, end: int, beat: float, points: list[int], grid: BeatGrid, arc: Arc, last: int, fps: Fraction
) -> Slot:
    inner = tuple(frame for frame in points if start < frame < end)
    level = _level(grid, arc, float(start / fps), float(last / fps))
    return Slot(start, end, beat, level, part_at(start / last), inner)


def _with_transitions(slots: list[Slot], wanted: Transitions, grid: BeatGrid, fps: Fraction, seed: int) -> list[Slot]:
    """Give joins their transition: at the starts of sections, and at a share of the others."""
    rng = random.Random(seed + 1)  # noqa: S311
    frames = max(2, frame_of(wanted.seconds, fps))
    section_starts = [section.start for section in grid.sections[1:]]
    joined = slots[:1]
    for before, slot in pairwise(slots):
        elsewhere = rng.random() < wanted.share
        at_section = any(abs(slot.beat - start) < 0.6 for start in section_starts)
        kind = wanted.between_sections if at_section else wanted.elsewhere if elsewhere else None
        length = min(frames, before.frames // 2, slot.frames // 2)
        joined.append(replace(slot, transition=Transition(kind=kind, frames=length)) if kind and length >= 2 else slot)
    return joined
