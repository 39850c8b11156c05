"""Which moment of the footage stands in which slot: a beam search with a stated objective.

The score of a film is the sum over its slots of, each weighted by the style's taste:

    quality      mean quality of the moments
    motion       1 - |motion - level|: lively moments where the music is lively, by rank among all the footage
    faces        size of the largest face, and a quarter more for a smile
    arc          wide, quiet pictures in intro and outro; faces and motion in the climax
    variety      minus: the clip was just seen; it has had more than its share; the picture resembles the one before
    continuity   pictures move the same way as the one before
    chronology   minus the distance between the moment's place in the footage and the slot's place in the film

No cell of footage is used twice, none that is blocked at all, and no stretch crosses a cut of the source. A pin's slot
takes its clip. Ties are broken by a small noise from the seed, so equal inputs and seed give an equal film.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from math import ceil

import numpy as np
from numpy.typing import NDArray

from montage_ai.edit.brief import Brief, Pin, names_clip
from montage_ai.edit.material import CELL, Material
from montage_ai.edit.pacing import Slot, split
from montage_ai.edit.styles import Taste
from montage_ai.edit.timeline import half_after, half_before
from montage_ai.errors import UserError

_WIDTH = 6
_BRANCH = 8
_NOISE = 0.04
_CELL = Fraction(1, 5)
_LOOKALIKE = 0.12  # mean layout distance, as a share of full scale, under which a join reads as a jump cut

Series = NDArray[np.float64]


@dataclass(frozen=True)
class Pick:
    """A slot and the cells [``first``, ``first + cells``) that stand in it; ``lead`` of them come before its first
    frame, for the transition into it."""

    slot: Slot
    first: int
    cells: int
    lead: int


@dataclass(frozen=True)
class _State:
    score: float
    picks: tuple[Pick, ...]
    used: NDArray[np.bool_]
    seconds_of_clip: Series


def select(slots: Sequence[Slot], material: Material, brief: Brief, fps: Fraction) -> list[Pick]:
    """The best picks for the slots in order, for as many slots as the footage can fill.

    A slot that is longer than any free stretch is split at a beat. Raises ``UserError`` where a pin cannot be honoured.
    """
    queue = list(slots)
    pinned = _place_pins(queue, material, brief, fps)
    scorer = _Scorer(material, brief.style.taste, brief.seed, film=queue[-1].end)
    states = [_State(0.0, (), _reserve(material, pinned), np.zeros(len(material.clips)))]
    position = 0
    while position < len(queue):
        slot, following = queue[position], queue[position + 1] if position + 1 < len(queue) else None
        if slot.start in pinned:
            grown = [_extend(state, pinned[slot.start], 0.0, material) for state in states]
        else:
            cells, lead = _cells_needed(slot, following, fps)
            grown = [s for state in states for s in _branch(state, slot, cells, lead, scorer, material)]
        if grown:
            states = sorted(grown, key=lambda state: -state.score)[:_WIDTH]
            position += 1
        elif halves := split(slot):
            queue[position : position + 1] = halves
        else:
            break
    return list(states[0].picks)


def _branch(state: _State, slot: Slot, cells: int, lead: int, scorer: _Scorer, material: Material) -> list[_State]:
    """The state with each of the most promising windows for ``slot`` added."""
    starts, scores = scorer.best_windows(state, slot, cells)
    return [
        _extend(state, Pick(slot, int(start), cells, lead), float(score), material)
        for start, score in zip(starts, scores, strict=True)
    ]


def _extend(state: _State, pick: Pick, score: float, material: Material) -> _State:
    used, seconds = state.used.copy(), state.seconds_of_clip.copy()
    clip = material.clip[pick.first]
    if material.clips[clip].is_photo:
        used[material.clip == clip] = True  # a photo is shown once
    used[pick.first : pick.first + pick.cells] = True
    seconds[clip] += pick.cells * CELL
    return _State(state.score + score, (*state.picks, pick), used, seconds)


def _cells_needed(slot: Slot, following: Slot | None, fps: Fraction) -> tuple[int, int]:
    """Cells for the slot and its share of both transitions, and how many of them lie before its first frame.

    A start is moved up to the next frame of the source, which costs up to half a cell.
    """
    lead = ceil(half_before(slot.transition) / fps / _CELL) if slot.transition else 0
    tail = half_after(following.transition) if following else 0
    return lead + ceil((slot.frames + tail) / fps / _CELL + Fraction(1, 2)), lead


class _Scorer:
    """Scores windows of cells, all at once."""

    def __init__(self, material: Material, taste: Taste, seed: int, film: int) -> None:
        self.material, self.taste, self.film = material, taste, film
        self.rng = np.random.default_rng(seed)
        self.place = np.arange(material.cells) / max(material.cells - 1, 1)
        faces = np.minimum(material.faces * 2, 1) * (1 + 0.25 * material.smiles)
        self.sums = {
            name: np.concatenate([[0.0], np.cumsum(values)])
            for name, values in (("quality", material.quality), ("motion", material.motion), ("faces", faces))
        }
        self.share = CELL * material.cells / len(material.clips)

    def best_windows(self, state: _State, slot: Slot, cells: int) -> tuple[NDArray[np.int64], Series]:
        """Starts and scores of the best window of each of the most promising shots."""
        material = self.material
        count = material.cells - cells + 1
        if count < 1:
            return np.zeros(0, np.int64), np.zeros(0)
        used = np.concatenate([[0], np.cumsum(state.used)])
        valid = (used[cells:] == used[:-cells]) & (material.shot[cells - 1 :] == material.shot[:count])
        scores = np.full(material.cells, -np.inf)
        starts = np.flatnonzero(valid)
        scores[starts] = self._alone(slot, cells, starts) + self._joined(state, slot, starts)
        scores[starts] += _NOISE * self.rng.random(len(starts))
        per_shot = np.maximum.reduceat(scores, material.bounds[:-1])
        leaders = np.argsort(-per_shot, kind="stable")[: 3 * _BRANCH]
        leaders = leaders[np.isfinite(per_shot[leaders])]
        spans = [slice(material.bounds[s], material.bounds[s + 1]) for s in leaders]
        best = np.array([span.start + scores[span].argmax() for span in spans], np.int64)
        final = per_shot[leaders] - self.taste.variety * self._likeness(state, best)
        order = np.argsort(-final, kind="stable")[:_BRANCH]
        return best[order], final[order]

    def _alone(self, slot: Slot, cells: int, starts: NDArray[np.int64]) -> Series:
        taste = self.taste
        mean = {name: (total[starts + cells] - total[starts]) / cells for name, total in self.sums.items()}
        score = taste.quality * mean["quality"] + taste.motion * (1 - np.abs(mean["motion"] - slot.level))
        score = score + taste.faces * mean["faces"]
        if slot.part in ("intro", "outro"):
            score = score + taste.arc * (1 - mean["faces"]) * (1 - mean["motion"])
        elif slot.part == "climax":
            score = score + taste.arc * np.maximum(mean["faces"], mean["motion"])
        return np.asarray(score - taste.chronology * np.abs(self.place[starts] - slot.start / self.film))

    def _joined(self, state: _State, slot: Slot, starts: NDArray[np.int64]) -> Series:
        """What depends on the picks before."""
        material, taste = self.material, self.taste
        clips = material.clip[starts]
        excess = state.seconds_of_clip[clips] / self.share
        penalty = 0.5 * np.minimum(excess, 2.0)
        for age, pick in enumerate(reversed(state.picks[-3:])):
            penalty = penalty + np.where(clips == material.clip[pick.first], (1.0, 0.4, 0.2)[age], 0.0)
        if not state.picks:
            return np.asarray(-taste.variety * penalty)
        last = state.picks[-1].first + state.picks[-1].cells - 1
        same_way = np.sign(material.direction[starts]) * np.sign(material.direction[last])
        moving = np.minimum(np.abs(material.direction[starts]), np.abs(material.direction[last])) > 0.05
        return np.asarray(taste.continuity * same_way * moving - taste.variety * penalty)

    def _likeness(self, state: _State, starts: NDArray[np.int64]) -> Series:
        """How much a window's first picture is like the last one shown, 0 to 1: a join of equals is a jump cut."""
        if not state.picks or not len(starts):
            return np.zeros(len(starts))
        last = state.picks[-1].first + state.picks[-1].cells - 1
        apart = np.abs(self.material.layout[starts] - self.material.layout[last]).mean(axis=1) / 255
        return np.asarray(np.maximum(0.0, 1 - apart / _LOOKALIKE))


def _place_pins(slots: list[Slot], material: Material, brief: Brief, fps: Fraction) -> dict[int, Pick]:
    """A slot (by its start) and cells for every pin, evenly over the film in the order given."""
    placed: dict[int, Pick] = {}
    taken = material.blocked.copy()
    for number, pin in enumerate(brief.pins):
        wanted = (number + 0.5) / len(brief.pins) * len(slots)
        for index in sorted(range(len(slots)), key=lambda i: abs(i + 0.5 - wanted)):
            slot = slots[index]
            cells, lead = _cells_needed(slot, slots[index + 1] if index + 1 < len(slots) else None, fps)
            start = None if slot.start in placed else _pin_window(pin, cells, material, taken)
            if start is not None:
                placed[slot.start] = Pick(slot, start, cells, lead)
                taken[start : start + cells] = True
                break
        else:
            raise UserError(f"The pin {pin.clip!r} fits nowhere in the film.", hint="Pin a longer or clearer stretch.")
    return placed


def _pin_window(pin: Pin, cells: int, material: Material, taken: NDArray[np.bool_]) -> int | None:
    """The first cell of the best free window of the pinned clip that shows the pinned moment, or None."""
    busy = np.concatenate([[0], np.cumsum(taken)])
    best: tuple[float, int] | None = None
    for start in range(material.cells - cells + 1):
        if material.shot[start] != material.shot[start + cells - 1] or busy[start + cells] != busy[start]:
            continue
        clip = material.clips[material.clip[start]]
        low, high = material.seconds[start], material.seconds[start + cells - 1] + CELL
        shows = clip.is_photo or pin.at is None or low <= pin.at < high
        if names_clip(pin.clip, clip.info.path) and shows:
            off_centre = 0.0 if pin.at is None else abs((low + high) / 2 - pin.at) / (high - low)
            score = float(material.quality[start : start + cells].mean()) - off_centre
            best = max(best or (score, start), (score, start))
    return None if best is None else best[1]


def _reserve(material: Material, pinned: dict[int, Pick]) -> NDArray[np.bool_]:
    """Cells that no other slot may use."""
    used = material.blocked.copy()
    for pick in pinned.values():
        used[pick.first : pick.first + pick.cells] = True
        if material.clips[material.clip[pick.first]].is_photo:
            used[material.clip == material.clip[pick.first]] = True
    return used
