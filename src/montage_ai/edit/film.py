"""From a brief, analysed clips and a beat grid to the film's timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from pathlib import Path

import numpy as np

from montage_ai.edit.brief import Brief, names_clip
from montage_ai.edit.formats import film_rate, film_size
from montage_ai.edit.grade import Grade
from montage_ai.edit.material import CELL, LeftOut, Material, gather
from montage_ai.edit.pacing import Slot, pace
from montage_ai.edit.selection import Pick, select
from montage_ai.edit.timeline import ClipSource, Item, Move, Source, Timeline, Transition, frame_of
from montage_ai.errors import UserError
from montage_ai.footage.clip import Clip
from montage_ai.footage.quality import SHAKY
from montage_ai.music.beat_grid import BeatGrid

_SHORTEST_FILM = 0.5


@dataclass(frozen=True)
class Plan:
    """The film as decided, and why it is as it is. ``slots[k]`` is where item k stands; ``offered`` are all clips."""

    timeline: Timeline
    slots: tuple[Slot, ...]
    left_out: tuple[LeftOut, ...]
    offered: tuple[Path, ...]
    length_reason: str


def plan_film(clips: Sequence[Clip], grid: BeatGrid, music: Source, brief: Brief) -> Plan:
    """Decide the film. Raises ``UserError`` where the brief cannot be carried out with these clips."""
    material = gather(clips, brief)
    fps = film_rate(clips, brief.fps)
    duration, reason = _first_length(brief, grid, material)
    picks = _fill(duration, material, grid, brief, fps)
    reached = float((picks[-1].slot.end if picks else 0) / fps)
    if frame_of(duration, fps) > (picks[-1].slot.end if picks else 0):
        reason = f"what the footage can fill without showing anything twice ({material.capacity:.0f} s are usable)"
        picks = _fill(max(reached, _SHORTEST_FILM), material, grid, brief, fps)
    if not picks:
        raise UserError(
            "No shot of the footage is as long as the shortest slot of the film.", hint="Give longer clips."
        )
    _check_pins(brief, [material.clips[material.clip[pick.first]].info.path for pick in picks])
    items = _matched([_item(pick, material, brief, fps) for pick in picks], picks, material, brief)
    width, height = film_size([clips[material.clip[p.first]] for p in picks], brief.aspect, brief.quality)
    timeline = Timeline(
        fps=fps,
        width=width,
        height=height,
        items=tuple(items),
        transitions=tuple(_join(before.slot, after.slot) for before, after in pairwise(picks)),
        music=music,
        sound=brief.sound,
        quality=brief.quality,
        opening_fade=brief.style.transitions.opening_fade,
        closing_fade=brief.style.transitions.closing_fade,
        style=brief.style.name,
    )
    return Plan(
        timeline, tuple(pick.slot for pick in picks), material.left_out, tuple(clip.info.path for clip in clips), reason
    )


def _join(before: Slot, after: Slot) -> Transition | None:
    """The transition between two slots, no longer than half of either: one that was split is shorter than planned."""
    if after.transition is None:
        return None
    frames = min(after.transition.frames, before.frames // 2, after.frames // 2)
    return after.transition.model_copy(update={"frames": frames}) if frames >= 2 else None


def _check_pins(brief: Brief, shown: Sequence[Path]) -> None:
    for pin in brief.pins:
        if not any(names_clip(pin.clip, path) for path in shown):
            hint = "Give more footage, or pin fewer clips."
            raise UserError(f"The footage runs out before the pin {pin.clip!r} is shown.", hint=hint)


def _first_length(brief: Brief, grid: BeatGrid, material: Material) -> tuple[float, str]:
    """The length to try first, and what it comes from."""
    lengths = {"the length of the music": grid.duration}
    if brief.duration is not None:
        lengths["the length that was asked for"] = brief.duration
    lengths["what the footage can fill without showing anything twice"] = max(material.capacity, _SHORTEST_FILM)
    reason = min(lengths, key=lambda name: lengths[name])
    return lengths[reason], reason


def _fill(duration: float, material: Material, grid: BeatGrid, brief: Brief, fps: Fraction) -> list[Pick]:
    slots = pace(
        grid,
        brief.style,
        fps=fps,
        duration=duration,
        density=brief.density,
        beat_offset=brief.beat_offset,
        seed=brief.seed,
    )
    return select(slots, material, brief, fps)


def _item(pick: Pick, material: Material, brief: Brief, fps: Fraction) -> Item:
    clip = material.clips[material.clip[pick.first]]
    span = slice(pick.first, pick.first + pick.cells)
    shaky = float(material.shake[span].mean()) > SHAKY
    low = float(material.seconds[pick.first])
    return Item(
        clip=_source(clip),
        start=_start(clip, pick, material),
        frames=pick.slot.frames,
        available=_available(clip, pick, material),
        focus=_focus(clip, low, low + pick.cells * CELL),
        stabilize="never" if clip.is_photo or (brief.stabilize == "auto" and not shaky) else brief.stabilize,
        grade=_look(brief),
        move=_move(clip, pick, brief) if clip.is_photo else None,
        section=pick.slot.part,
    )


def _source(clip: Clip) -> ClipSource:
    path, digest = clip.info.path, clip.facts.sha256
    if clip.is_photo:
        return ClipSource(path=path, sha256=digest, kind="photo")
    return ClipSource(path=path, sha256=digest, rate=clip.info.picture.fps, seconds=clip.time_of(len(clip.ticks)))


def _start(clip: Clip, pick: Pick, material: Material) -> Fraction:
    """The time of the source frame that the item begins with: exact, and on a frame, so that no rounding can tie."""
    if clip.is_photo:
        return Fraction(0)
    seconds = float(material.seconds[pick.first]) + pick.lead * CELL
    frame = int(np.searchsorted(clip.times, seconds - 1e-6))
    return clip.time_of(min(frame, len(clip.ticks) - 1))


def _available(clip: Clip, pick: Pick, material: Material) -> tuple[Fraction, Fraction]:
    """What transitions may show: the cells picked for this item, so that nothing is shown twice."""
    if clip.is_photo:
        return Fraction(0), Fraction(3600)
    shot = material.shots[material.shot[pick.first]]
    low = Fraction(round(float(material.seconds[pick.first]) * 1000), 1000)
    high = low + Fraction(pick.cells) * Fraction(1, 5)
    return max(low, clip.time_of(shot.first)), min(high, clip.time_of(shot.end))


def _focus(clip: Clip, low: float, high: float) -> tuple[float, float]:
    """The middle of the faces seen between ``low`` and ``high`` seconds, large ones counting more; else the centre.

    It is the median: of two people far apart one is shown, and not the gap between them.
    """
    faces = [face for face in clip.facts.faces if clip.is_photo or low - 0.5 <= face.time < high + 0.5]
    if not faces:
        return 0.5, 0.5
    weights = [face.height for face in faces]
    x = _weighted_median([face.x + face.width / 2 for face in faces], weights)
    y = _weighted_median([face.y + face.height / 2 for face in faces], weights)
    return round(x, 3), round(y, 3)


def _weighted_median(values: Sequence[float], weights: Sequence[float]) -> float:
    """The first value at which half of the weight lies at or below it."""
    order = np.argsort(values)
    reached = np.cumsum(np.array(weights)[order])
    return float(np.array(values)[order][np.searchsorted(reached, reached[-1] / 2)])


def _move(clip: Clip, pick: Pick, brief: Brief) -> Move:
    """In for every other photo, out for the rest, towards its faces."""
    near = 1 + brief.style.photo_move
    target = _focus(clip, 0, 1)
    if pick.slot.start % 2:
        return Move(zoom=(near, 1.0), start=target, end=(0.5, 0.5))
    return Move(zoom=(1.0, near), start=(0.5, 0.5), end=target)


def _look(brief: Brief) -> Grade:
    return brief.style.look.model_copy(update={"lut": brief.lut.absolute()}) if brief.lut else brief.style.look


def _matched(items: list[Item], picks: list[Pick], material: Material, brief: Brief) -> list[Item]:
    """Bring each shot a part of the way towards the mean of itself and its neighbours."""
    strength = brief.style.match_neighbours
    if strength == 0:
        return items
    spans = [slice(pick.first, pick.first + pick.cells) for pick in picks]
    luma = np.array([material.luma[span].mean() for span in spans])
    warmth = np.array([material.warmth[span].mean() for span in spans])
    matched = []
    for k, item in enumerate(items):
        around = slice(max(0, k - 1), k + 2)
        stops = strength * np.clip(np.log2((luma[around].mean() - 8) / max(luma[k] - 8, 8.0)), -0.7, 0.7)
        shift = strength * np.clip((warmth[around].mean() - warmth[k]) / 30, -0.4, 0.4)
        # Steps of a tenth: a neighbour that is replaced by a like one does not change this shot's pixels.
        grade = item.grade.matched(round(float(stops), 1), round(float(shift), 1), 0.0)
        matched.append(item.model_copy(update={"grade": grade}))
    return matched
