"""Pins: a place in the film for every moment that the user asked for, before the rest is chosen."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np

from montage_ai.edit.brief import Brief, Pin
from montage_ai.edit.free import TINY, Free
from montage_ai.edit.material import Material, named_clip
from montage_ai.edit.pacing import Rhythm, Slot
from montage_ai.edit.windows import Need, Pick, window
from montage_ai.errors import UserError


def place_pins(rhythm: Rhythm, material: Material, brief: Brief) -> tuple[Rhythm, dict[int, Pick]]:
    """The rhythm with a slot for every pin, evenly over the film in the order given, and the picks by slot start.

    A pinned slot is joined by cuts, and split where the footage around the pin is shorter. One pick may show several
    pins. Raises ``UserError`` where a pin cannot be honoured, with the reason.
    """
    board = _Board(rhythm, material, [(pin, _checked(pin, material)) for pin in brief.pins])
    for number, (pin, clip) in enumerate(board.pins):
        if not any(shows(pick, pin, clip, material) for pick in board.picks.values()):
            board.place(pin, clip, (number + 0.5) / len(board.pins))
    return replace(rhythm, slots=tuple(board.slots)), board.picks


def missing_pin(brief: Brief, picks: Iterable[Pick], material: Material) -> Pin | None:
    """A pin that none of the picks shows."""
    shown = list(picks)
    for pin in brief.pins:
        clip = named_clip(pin.clip, material.clips)
        if not any(shows(pick, pin, clip, material) for pick in shown):
            return pin
    return None


def shows(pick: Pick, pin: Pin, clip: int, material: Material) -> bool:
    """Whether a pick shows the pinned moment, or for a pin without one its clip."""
    if material.clip_of_shot[pick.shot] != clip:
        return False
    return pin.at is None or material.clips[clip].is_photo or pick.shows(pin.at)


def _checked(pin: Pin, material: Material) -> int:
    """The pinned clip's number, where there is footage to show."""
    number = named_clip(pin.clip, material.clips)
    clip = material.clips[number]
    stretches = _of_clip(material.pinnable, number, material)
    if pin.at is not None and not clip.is_photo and pin.at >= clip.facts.duration:
        hint = f"The clip is {clip.facts.duration:.2f} s long."
        raise UserError(f"The pin {pin.clip!r} asks for {pin.at:g} s, behind the clip's end.", hint=hint)
    if not len(stretches.shot) or (pin.at is not None and not clip.is_photo and _around(stretches, pin.at) is None):
        raise UserError(f"The pin {pin.clip!r} asks for what is excluded or too short.", hint="Pin another moment.")
    return number


class _Board:
    """The slots, and what has been pinned to them."""

    def __init__(self, rhythm: Rhythm, material: Material, pins: list[tuple[Pin, int]]) -> None:
        self.rhythm, self.material, self.pins = rhythm, material, pins
        self.slots = list(rhythm.slots)
        self.picks: dict[int, Pick] = {}
        self.free = material.pinnable

    def place(self, pin: Pin, clip: int, share: float) -> None:
        """Give the pin the slot nearest to ``share`` of the film that its footage fills, or a part of one."""
        middle = share * self.rhythm.frames
        nearest = sorted(
            (slot for slot in self.slots if slot.start not in self.picks),
            key=lambda slot: abs((slot.start + slot.end) / 2 - middle),
        )
        spans = self._spans(pin, clip)
        for slot in nearest:
            if self._pin(slot, pin, spans):
                return
        longest = max((high - low for _, low, high in spans), default=0.0)
        for slot in nearest:
            halves = self.rhythm.split(slot, min(int((longest + TINY) * self.rhythm.fps), slot.frames - 1))
            if halves is not None:
                at = self.slots.index(slot)
                self.slots[at : at + 1] = halves
                if self._pin(halves[0], pin, spans):
                    return
        hint = "Give more footage, pin fewer clips, or make the film longer."
        raise UserError(f"The pin {pin.clip!r} fits nowhere in the film.", hint=hint)

    def _pin(self, slot: Slot, pin: Pin, spans: list[tuple[int, float, float]]) -> bool:
        body = float(slot.frames / self.rhythm.fps)
        fitting = [span for span in spans if span[2] - span[1] >= body - TINY]
        for shot, low, high in sorted(fitting, key=lambda span: -self._quality(*span)):
            wanted = low + (high - low - body) / 2 if pin.at is None else pin.at - body / 2
            clip = self.material.clip_at(shot)
            pick = window(replace(slot, transition=None), Need(0.0, body, 0.0), shot, clip, (low, high), wanted)
            if pick is not None and (pin.at is None or clip.is_photo or pick.shows(pin.at)):
                self._put(slot, pick)
                return True
        return False

    def _put(self, slot: Slot, pick: Pick) -> None:
        at = self.slots.index(slot)
        self.slots[at] = pick.slot
        if at + 1 < len(self.slots):
            self.slots[at + 1] = replace(self.slots[at + 1], transition=None)
        self.picks[slot.start] = pick
        photo = self.material.clip_at(pick.shot).is_photo
        self.free = self.free.without_shot(pick.shot) if photo else self.free.without(pick.shot, pick.low, pick.high)

    def _spans(self, pin: Pin, clip: int) -> list[tuple[int, float, float]]:
        """What may be shown for the pin: shot, from, to. It leaves room for the clip's other pins."""
        mine = _of_clip(self.free, clip, self.material)
        if pin.at is None or self.material.clips[clip].is_photo:
            return list(zip(mine.shot.tolist(), mine.low.tolist(), mine.high.tolist(), strict=True))
        k = _around(mine, pin.at)
        if k is None:
            return []
        shortest = float(self.rhythm.shortest / self.rhythm.fps)
        others = [other.at for other, its in self.pins if its == clip and other.at is not None]
        apart = [at for at in others if abs(at - pin.at) > shortest]  # what is nearer is shown in one
        low = max([float(mine.low[k]), *((pin.at + at) / 2 for at in apart if at < pin.at)])
        high = min([float(mine.high[k]), *((pin.at + at) / 2 for at in apart if at > pin.at)])
        return [(int(mine.shot[k]), low, high)]

    def _quality(self, shot: int, low: float, high: float) -> float:
        return float(self.material.quality[self.material.cells_between(shot, low, high)].mean())


def _of_clip(free: Free, clip: int, material: Material) -> Free:
    mine = material.clip_of_shot[free.shot] == clip
    return Free(free.shot[mine], free.low[mine], free.high[mine])


def _around(free: Free, seconds: float) -> int | None:
    """The stretch that a moment lies in."""
    found = np.flatnonzero((free.low <= seconds + TINY) & (seconds < free.high - TINY))
    return int(found[0]) if len(found) else None
