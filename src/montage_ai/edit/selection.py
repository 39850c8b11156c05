"""Which moment of the footage stands in which slot: a beam search with a stated objective.

The score of a film is the sum over its slots of, each weighted by the style's taste:

    quality      mean quality of the moments
    motion       1 - |motion - level|: lively moments where the music is lively, by rank among all the footage
    faces        size of the largest face, and a quarter more for a smile
    arc          wide, quiet pictures in intro and outro; faces and motion in the climax
    mood         1 - |intensity - level|: moods that fit the music, as surely as the pictures have one
    wishes       how well what is wanted is to be seen, minus how well what is not
    variety      minus: the clip was just seen; it has had more than its share; the picture resembles the one before, or
                 shows the same as one of the last ones, as far as a model can tell
    continuity   pictures move the same way as the one before
    chronology   minus the distance between the moment's place in the footage and the slot's place in the film
    thrift       minus what is left too short to be shown, where the film needs most of the footage

No stretch of footage is used twice, none that is blocked at all, and none crosses a cut of the source. Ties are broken
by a small noise from the seed, so equal inputs and seed give an equal film.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from montage_ai.edit.free import TINY, Free
from montage_ai.edit.material import CELL, Material
from montage_ai.edit.pacing import Rhythm, Slot
from montage_ai.edit.styles import Taste
from montage_ai.edit.windows import Need, Pick, need_of, window

_WIDTH = 6
_BRANCH = 8
_NOISE = 0.04
_LOOKALIKE = 0.12  # mean layout distance, as a share of full scale, under which a join reads as a jump cut
_THRIFT = 3.0
_WISH = 2.0  # as much as all of a style's taste together
_AGES = (1.0, 0.75, 0.55, 0.4, 0.3, 0.2)  # how much it counts that one of the last pictures showed the same

Series = NDArray[np.float64]


@dataclass(frozen=True)
class _State:
    score: float
    picks: tuple[Pick, ...]
    free: Free
    seconds_of_clip: Series


def select(rhythm: Rhythm, pinned: Mapping[int, Pick], material: Material, taste: Taste, seed: int) -> list[Pick]:
    """The best picks for the slots in order, for as many as the footage can fill; ``pinned`` ones, by start, are set.

    A slot that is longer than any free stretch is given up its transitions first, and then split.
    """
    queue, position = list(rhythm.slots), 0
    scorer = _Scorer(material, taste, seed, rhythm)
    states = [_State(0.0, (), _reserve(material, pinned), np.zeros(len(material.clips)))]
    while position < len(queue):
        slot, following = queue[position], queue[position + 1] if position + 1 < len(queue) else None
        if slot.start in pinned:
            grown = [_extend(state, pinned[slot.start], 0.0, material) for state in states]
        else:
            need = need_of(slot, following, rhythm.fps)
            alone = scorer.alone(slot, need)
            grown = [s for state in states for s in _branch(state, slot, need, alone, scorer)]
        if grown:
            states = sorted(grown, key=lambda state: -state.score)[:_WIDTH]
            position += 1
        elif not _made_shorter(queue, position, max(state.free.longest for state in states), rhythm):
            break
    return list(states[0].picks)


def _made_shorter(queue: list[Slot], position: int, longest: float, rhythm: Rhythm) -> bool:
    """Make the slot at ``position`` need less: without its transitions, or split. False where it cannot."""
    slot = queue[position]
    around = [k for k in (position, position + 1) if k < len(queue) and queue[k].transition is not None]
    if around:
        for k in around:
            queue[k] = replace(queue[k], transition=None)
        return True
    halves = rhythm.split(slot, min(int((longest + TINY) * rhythm.fps), slot.frames - 1))
    if halves is not None:
        queue[position : position + 1] = halves
    return halves is not None


def _branch(state: _State, slot: Slot, need: Need, alone: Series, scorer: _Scorer) -> list[_State]:
    """The state with each of the most promising windows for ``slot`` added."""
    return [_extend(state, pick, score, scorer.material) for pick, score in scorer.best(state, slot, need, alone)]


def _extend(state: _State, pick: Pick, score: float, material: Material) -> _State:
    seconds = state.seconds_of_clip.copy()
    seconds[material.clip_of_shot[pick.shot]] += pick.high - pick.low
    return _State(state.score + score, (*state.picks, pick), _taken(state.free, pick, material), seconds)


def _taken(free: Free, pick: Pick, material: Material) -> Free:
    """What is still free with ``pick``; a photo is shown once."""
    if material.clip_at(pick.shot).is_photo:
        return free.without_shot(pick.shot)
    return free.without(pick.shot, pick.low, pick.high)


def _reserve(material: Material, pinned: Mapping[int, Pick]) -> Free:
    """What is free for the slots that are not pinned."""
    free = material.free
    for pick in pinned.values():
        free = _taken(free, pick, material)
    return free


class _Scorer:
    """Scores windows of footage, all at once."""

    def __init__(self, material: Material, taste: Taste, seed: int, rhythm: Rhythm) -> None:
        self.material, self.taste, self.film, self.fps = material, taste, rhythm.frames, rhythm.fps
        self.rng = np.random.default_rng(seed)
        self.place = np.arange(material.cells) / max(material.cells - 1, 1)
        faces = np.minimum(material.faces * 2, 1) * (1 + 0.25 * material.smiles)
        self.sums = {
            name: np.concatenate([[0.0], np.cumsum(values)])
            for name, values in (
                ("quality", material.quality),
                ("motion", material.motion),
                ("faces", faces),
                ("wish", material.wanted - material.unwanted),
                ("mood", material.mood),
                ("intensity", material.mood * material.intensity),
            )
        }
        self.usual = _usual_likeness(material)
        self.ends = np.repeat(material.bounds[1:], np.diff(material.bounds))  # of the shot that a cell is of
        seconds = float(rhythm.frames / rhythm.fps)
        self.share = _fair_shares(material) * min(seconds, material.capacity)
        self.keep = rhythm.shortest / float(rhythm.fps)
        scarcity = min(1.0, seconds / max(material.capacity, CELL))
        self.thrift = _THRIFT * scarcity**4

    def alone(self, slot: Slot, need: Need) -> Series:
        """What a window that begins with each cell is worth, whatever else is in the film: shape (cells,)."""
        taste, starts = self.taste, np.arange(self.material.cells)
        ends = np.minimum(starts + max(1, round(need.seconds / CELL)), self.ends)
        mean = {name: (total[ends] - total[starts]) / (ends - starts) for name, total in self.sums.items()}
        score = taste.quality * mean["quality"] + taste.motion * (1 - np.abs(mean["motion"] - slot.level))
        score = score + taste.faces * mean["faces"]
        if slot.part in ("intro", "outro"):
            score = score + taste.arc * (1 - mean["faces"]) * (1 - mean["motion"])
        elif slot.part == "climax":
            score = score + taste.arc * np.maximum(mean["faces"], mean["motion"])
        intensity = mean["intensity"] / np.maximum(mean["mood"], 1e-9)
        score = score + taste.mood * mean["mood"] * (1 - np.abs(intensity - slot.level))
        score = score + _WISH * mean["wish"] + _NOISE * self.rng.random(len(starts))
        return np.asarray(score - taste.chronology * np.abs(self.place - slot.start / self.film))

    def best(self, state: _State, slot: Slot, need: Need, alone: Series) -> list[tuple[Pick, float]]:
        """The best window of each of the most promising free stretches."""
        fits = np.flatnonzero(state.free.lengths >= need.seconds - TINY)
        if not len(fits):
            return []
        shots, low, high = state.free.shot[fits], state.free.low[fits], state.free.high[fits] - need.seconds
        first, end = self._cells(shots, low), self._cells(shots, high) + 1
        peaks = np.maximum.reduceat(alone, np.stack([first, np.minimum(end, len(alone) - 1)], axis=1).ravel())[::2]
        rough = peaks - self.taste.variety * self._seen_before(state, shots, need)
        found = []
        for k in np.argsort(-rough, kind="stable")[: 3 * _BRANCH]:
            wanted = self.material.seconds[first[k] + int(alone[first[k] : end[k]].argmax())]
            span = (float(state.free.low[fits[k]]), float(state.free.high[fits[k]]))
            clip, shot = self.material.clip_at(shots[k]), int(shots[k])
            pick = window(slot, need, shot, clip, span, self._snug(float(wanted), need, span))
            if pick is not None:
                found.append((pick, float(rough[k] - peaks[k]) + self._score(state, pick, span, alone)))
        return sorted(found, key=lambda one: -one[1])[:_BRANCH]

    def _cells(self, shots: NDArray[np.int64], seconds: Series) -> NDArray[np.int64]:
        """The cell of each shot that a moment lies in."""
        first = self.material.bounds[shots]
        inside = ((seconds - self.material.seconds[first]) / CELL + 1e-6).astype(np.int64)
        return np.asarray(np.clip(first + inside, first, self.material.bounds[shots + 1] - 1), np.int64)

    def _snug(self, wanted: float, need: Need, span: tuple[float, float]) -> float:
        """``wanted``, or the end of the free stretch near it: no piece is to be left that is too short to show."""
        low, high = span
        if wanted - low < self.keep:
            return low
        return high - need.seconds if high - need.seconds - wanted < self.keep else wanted

    def _score(self, state: _State, pick: Pick, span: tuple[float, float], alone: Series) -> float:
        """A window's worth where it really lies, next to the pick before it."""
        material, taste = self.material, self.taste
        cells = material.cells_between(pick.shot, pick.low, pick.high)
        wasted = sum(rest for rest in (pick.low - span[0], span[1] - pick.high) if rest < self.keep)
        score = float(alone[cells.start]) - self.thrift * wasted
        if not state.picks:
            return score
        before = state.picks[-1]
        last = material.cells_between(before.shot, before.low, before.high).stop - 1
        directions = material.direction[cells.start], material.direction[last]
        if min(map(abs, directions)) > 0.05:
            score += taste.continuity * float(np.sign(directions[0]) * np.sign(directions[1]))
        apart = float(np.abs(material.layout[cells.start] - material.layout[last]).mean()) / 255
        repeated = max(1 - apart / _LOOKALIKE, self._shown_before(state, cells.start))
        return score - taste.variety * max(0.0, repeated)

    def _shown_before(self, state: _State, cell: int) -> float:
        """How much a picture shows the same as one of the last picks, 0 to 1; 0 where no model has seen it."""
        material, most = self.material, 0.0
        if material.picture[cell] < 0:
            return most
        vector = material.pictures[material.picture[cell]].astype(np.float32)
        for age, pick in zip(_AGES, reversed(state.picks), strict=False):
            other = material.picture[material.cells_between(pick.shot, pick.low, pick.high).start]
            if other >= 0:
                alike = (float(vector @ material.pictures[other]) - self.usual) / max(1 - self.usual, 1e-6)
                most = max(most, age * alike)
        return most

    def _seen_before(self, state: _State, shots: NDArray[np.int64], need: Need) -> Series:
        """How much of each shot's clip will have been shown against its fair share, and whether it just was."""
        clips = self.material.clip_of_shot[shots]
        penalty = 0.5 * np.minimum((state.seconds_of_clip[clips] + need.seconds) / self.share[clips], 2.0)
        for age, pick in enumerate(reversed(state.picks[-3:])):
            same = clips == self.material.clip_of_shot[pick.shot]
            penalty = penalty + np.where(same, (1.0, 0.4, 0.2)[age], 0.0)
        return np.asarray(penalty)


def _usual_likeness(material: Material) -> float:
    """The mean product of the vectors of two pictures of the footage."""
    count = len(material.pictures)
    if count < 2:
        return 0.0
    total = material.pictures.sum(axis=0, dtype=np.float64)
    return float((total @ total - count) / (count * (count - 1)))


def _fair_shares(material: Material) -> Series:
    """The share of the film that each clip deserves, shape (clips,): alike, but for how good they are to look at."""
    count, cells = len(material.clips), np.repeat(material.clip_of_shot, np.diff(material.bounds))
    mean = np.bincount(cells, material.quality, count) / np.maximum(np.bincount(cells, minlength=count), 1)
    worth = np.maximum(mean, 0.05) ** 2
    return np.asarray(worth / worth.sum(), np.float64)
