"""When the film cuts: slots between beats, from the music's energy, the style's pacing and the arc."""

from __future__ import annotations

import random
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from montage_ai.edit.choices import Density
from montage_ai.edit.styles import Pacing, Style
from montage_ai.edit.timeline import Transition, frame_of
from montage_ai.music.beat_grid import BeatGrid

_PARTS = (("intro", 0.12), ("build", 0.5), ("climax", 0.72), ("sustain", 0.9), ("outro", 1.0))
_SECTION, _DOWNBEAT, _BEAT, _HALF = 1.0, 0.6, 0.3, 0.0
_BAR = 4  # beats, where the music does not tell
_NEAR_SECTION = 1.0  # seconds
_STRONG = 0.5  # how much longer a part may be cut for the start of a section


@dataclass(frozen=True)
class Slot:
    """A place for one shot: output frames [``start``, ``end``).

    ``beat`` is the moment of the music (seconds) that ``start`` was put on; ``level`` the wanted intensity, 0 to 1;
    ``part`` that of the arc; ``transition`` how it joins the slot before it.
    """

    start: int
    end: int
    beat: float
    level: float
    part: str
    transition: Transition | None = None

    @property
    def frames(self) -> int:
        return self.end - self.start


class CutPoint(NamedTuple):
    """A moment of the music that a cut may fall on, and the output frame that it falls on."""

    frame: int
    time: float
    strength: float


@dataclass(frozen=True)
class Rhythm:
    """The slots of a film of ``frames`` frames, without gaps, and what they can be cut up by.

    ``shortest`` is the style's shortest shot in frames; ``notes`` say what the music did not allow.
    """

    slots: tuple[Slot, ...]
    frames: int
    shortest: int
    points: tuple[CutPoint, ...]
    grid: BeatGrid
    style: Style
    fps: Fraction
    notes: tuple[str, ...] = ()

    def slot(self, start: int, end: int, beat: float) -> Slot:
        """The slot between two frames, with what the music and the arc want there."""
        level = _level(self.grid, self.style, float(start / self.fps), float(self.frames / self.fps))
        return Slot(start, end, beat, level, part_at(start / self.frames))

    def split(self, slot: Slot, longest: int) -> tuple[Slot, Slot] | None:
        """Two slots in the place of one, the first of at most ``longest`` frames, cut where the music is cut.

        The longest is taken that ends on a strong beat. Shorter shots than the style's shortest are only made where
        nothing else is left. None where no cut point lies so that it can be done.
        """
        inside = [point for point in self.points if slot.start < point.frame <= slot.start + longest]
        for strength, shortest in ((_BEAT, self.shortest), (_HALF, 2)):
            fits = [
                point
                for point in inside
                if point.strength >= strength and min(point.frame - slot.start, slot.end - point.frame) >= shortest
            ]
            if fits:
                at = max(fits, key=lambda p: (p.frame - slot.start) * (1 + _STRONG * p.strength))
                first = replace(self.slot(slot.start, at.frame, slot.beat), transition=slot.transition)
                return first, self.slot(at.frame, slot.end, at.time)
        return None


def pace(
    grid: BeatGrid,
    style: Style,
    *,
    fps: Fraction,
    duration: float,
    density: Density = "auto",
    beat_offset: float = 0.0,
    seed: int = 0,
    stretch: float = 1.0,
) -> Rhythm:
    """The slots of a film of ``duration`` seconds, each boundary on a cut point of the music.

    ``stretch`` makes shots so many times as long as the style wants them, where ``density`` leaves that open.
    """
    last = frame_of(duration, fps)
    points = tuple(
        CutPoint(frame_of(time + beat_offset, fps), time, strength)
        for time, strength in _strengths(grid)
        if 0 < time + beat_offset < duration
    )
    shortest = max(2, int(style.pacing.min_seconds * fps)) if density == "auto" else 2
    empty = Rhythm((), last, shortest, points, grid, style, fps)
    notes: tuple[str, ...] = ()
    if density == "auto":
        pacing = _stretched(style.pacing, stretch)
        chosen = _choose(points, grid, style, pacing, duration, random.Random(seed))  # noqa: S311  variety, not secrecy
    else:
        chosen, notes = _every(points, grid, density)
    cuts = [CutPoint(0, 0.0, _BEAT), *_spaced(chosen, empty), CutPoint(last, duration, _BEAT)]
    slots = [empty.slot(a.frame, b.frame, a.time) for a, b in pairwise(cuts)]
    return replace(empty, slots=tuple(_with_transitions(slots, style, grid, fps, seed)), notes=notes)


def part_at(share: float) -> str:
    """The part of the arc at ``share`` (0 to 1) of the film."""
    return next((name for name, end in _PARTS if share < end), "outro")


def _strengths(grid: BeatGrid) -> list[tuple[float, float]]:
    """All moments of the music that a cut may fall on, in order, each with how much it asks for one.

    Half-way points exist only where there is a tempo.
    """
    downbeats = set(grid.downbeats)
    beats = np.array(grid.beats)
    strengths = {beat: _DOWNBEAT if beat in downbeats else _BEAT for beat in grid.beats}
    for section in grid.sections[1:]:
        if len(beats):
            nearest = float(beats[np.abs(beats - section.start).argmin()])
            if abs(nearest - section.start) < _NEAR_SECTION:
                strengths[nearest] = _SECTION
    if grid.tempo is not None:
        strengths |= {(a + b) / 2: _HALF for a, b in pairwise(grid.beats)}
    return sorted(strengths.items())


def _every(points: tuple[CutPoint, ...], grid: BeatGrid, density: Density) -> tuple[list[CutPoint], tuple[str, ...]]:
    """The cut points of a fixed density, and what has to be said about them."""
    beats = [point for point in points if point.strength >= _BEAT]
    notes: tuple[str, ...] = ()
    if density == "half":
        if grid.tempo is None:
            notes = ("There are no half beats without a pulse: a cut falls on every cut point.",)
        return _begun(list(points)), notes
    if density == "beat":
        return _begun(beats), notes
    if grid.downbeats:
        downbeats = set(grid.downbeats)
        return _begun([point for point in beats if point.time in downbeats]), notes
    notes = (f"Where the bars begin cannot be told: a cut falls on every {_BAR}th beat.",)
    return _begun(beats[::_BAR]), notes


def _begun(points: list[CutPoint]) -> list[CutPoint]:
    """Without a first one that would leave but a flash before it."""
    gaps = [b.frame - a.frame for a, b in pairwise(points)]
    return points[1:] if gaps and points[0].frame < float(np.median(gaps)) / 2 else points


def _spaced(chosen: list[CutPoint], film: Rhythm) -> list[CutPoint]:
    """Those that leave room for the shortest shot, and for the film's fades within its first and its last shot."""
    fades = film.style.transitions
    opening, closing = (frame_of(seconds, film.fps) for seconds in (fades.opening_fade, fades.closing_fade))
    kept: list[CutPoint] = []
    for point in chosen:
        before = kept[-1].frame + film.shortest if kept else max(film.shortest, opening)
        if before <= point.frame <= film.frames - max(film.shortest, closing):
            kept.append(point)
    return kept


def _choose(
    points: tuple[CutPoint, ...], grid: BeatGrid, style: Style, pacing: Pacing, duration: float, rng: random.Random
) -> list[CutPoint]:
    """Walk through the music; each shot ends on the point that fits its wanted length and the bars best."""
    now = 0.0
    chosen: list[CutPoint] = []
    beat = 60 / grid.tempo if grid.tempo else float(np.median(np.diff(grid.beats))) if len(grid.beats) > 1 else 1.0
    times = np.array([point.time for point in points])
    while True:
        wanted = _wanted_seconds(_level(grid, style, now, duration), beat, pacing)
        low = int(np.searchsorted(times, now + pacing.min_seconds))
        if low >= len(points):
            return chosen
        high = max(low + 1, int(np.searchsorted(times, now + max(pacing.max_seconds, 1.5 * beat), "right")))
        best = max(points[low:high], key=lambda p: _fit(p, p.time - now, wanted, pacing.variation, rng))
        chosen.append(best)
        now = best.time


def _stretched(pacing: Pacing, stretch: float) -> Pacing:
    longer = {"slow": stretch * pacing.slow, "fast": stretch * pacing.fast, "max_seconds": stretch * pacing.max_seconds}
    return pacing if stretch == 1 else pacing.model_copy(update=longer)


def _wanted_seconds(level: float, beat: float, pacing: Pacing) -> float:
    beats: float = pacing.slow * (pacing.fast / pacing.slow) ** level
    return min(max(beats * beat, pacing.min_seconds), pacing.max_seconds)


def _fit(point: CutPoint, length: float, wanted: float, variation: float, rng: random.Random) -> float:
    return -2 * abs(float(np.log2(length / wanted))) + point.strength + 2 * variation * rng.random()


def _level(grid: BeatGrid, style: Style, time: float, duration: float) -> float:
    """Intensity wanted at ``time``: the music's energy in the next two seconds, and the arc's."""
    energy = grid.energy_between(time, min(time + 2.0, grid.duration))
    planned: float = getattr(style.arc, part_at(time / duration))
    return float((1 - style.arc.weight) * energy + style.arc.weight * planned)


def _with_transitions(slots: list[Slot], style: Style, grid: BeatGrid, fps: Fraction, seed: int) -> list[Slot]:
    """Give joins their transition: at the starts of sections, and at a share of the others."""
    wanted = style.transitions
    rng = random.Random(seed + 1)  # noqa: S311
    frames = max(2, frame_of(wanted.seconds, fps))
    at_section = _nearest_to_sections(slots, grid)
    joined = slots[:1]
    for before, slot in pairwise(slots):
        elsewhere = rng.random() < wanted.share
        kind = wanted.between_sections if slot.start in at_section else wanted.elsewhere if elsewhere else None
        length = min(frames, before.frames // 2, slot.frames // 2)
        joined.append(replace(slot, transition=Transition(kind=kind, frames=length)) if kind and length >= 2 else slot)
    return joined


def _nearest_to_sections(slots: list[Slot], grid: BeatGrid) -> set[int]:
    """For each start of a section the one slot (by its start) that begins with it."""
    found = set()
    for section in grid.sections[1:]:
        nearest = min(slots[1:], key=lambda slot: abs(slot.beat - section.start), default=None)
        if nearest is not None and abs(nearest.beat - section.start) < _NEAR_SECTION:
            found.add(nearest.start)
    return found
