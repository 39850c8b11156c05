"""From a brief, analysed clips and a beat grid to the film's timeline."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction

import numpy as np

from montage_ai.edit.brief import Brief
from montage_ai.edit.formats import film_rate, film_size
from montage_ai.edit.grade import Grade
from montage_ai.edit.material import LeftOut, Material, gather
from montage_ai.edit.pacing import Rhythm, Slot, pace
from montage_ai.edit.pins import missing_pin, place_pins
from montage_ai.edit.selection import select
from montage_ai.edit.timeline import Item, Move, Source, Timeline, clip_source, frame_of
from montage_ai.edit.windows import Pick
from montage_ai.errors import UserError
from montage_ai.footage.clip import Clip
from montage_ai.footage.quality import SHAKY
from montage_ai.footage.search import Insight
from montage_ai.music.beat_grid import BeatGrid

_SHORTEST_FILM = 0.5
_PASSES = 4
_MOST_STRETCHED = 12.0  # times the style's shots
_CLEAR = 0.3  # the score from which on `search` shows a moment


@dataclass(frozen=True)
class Plan:
    """The film as decided, and why it is as it is.

    ``slots[k]`` is where item k stands; ``notes`` say what could not be done as asked; ``wanted[k]`` is how well item k
    shows what is wanted, against the moment that shows it best, 0 to 1, if something is.
    """

    timeline: Timeline
    slots: tuple[Slot, ...]
    left_out: tuple[LeftOut, ...]
    length_reason: str
    notes: tuple[str, ...]
    wanted: tuple[float, ...] = ()


def plan_film(
    clips: Sequence[Clip],
    grid: BeatGrid,
    music: Source,
    brief: Brief,
    insight: Insight = Insight(),  # noqa: B008  it is frozen
) -> Plan:
    """Decide the film. Raises ``UserError`` where the brief cannot be carried out with these clips."""
    material = gather(clips, brief, insight)
    fps = film_rate(clips, brief.fps)
    duration, reason = _first_length(brief, grid, material)
    rhythm, picks = _fill(duration, material, grid, brief, fps)
    if not picks:
        raise UserError(
            "No shot of the footage is as long as the shortest slot of the film.", hint="Give longer clips."
        )
    if picks[-1].slot.end < frame_of(duration, fps):
        reason = _used_up(picks, material)
    if (pin := missing_pin(brief, picks, material)) is not None:
        hint = "Give more footage, or pin fewer clips."
        raise UserError(f"The footage runs out before the pin {pin.clip!r} is shown.", hint=hint)
    items = _matched(
        [_item(pick, number, material, brief, fps) for number, pick in enumerate(picks)], picks, material, brief
    )
    width, height = film_size([material.clip_at(pick.shot) for pick in picks], brief.aspect, brief.quality)
    timeline = Timeline(
        fps=fps,
        width=width,
        height=height,
        items=tuple(items),
        transitions=tuple(pick.slot.transition for pick in picks[1:]),
        music=music,
        sound=brief.sound,
        quality=brief.quality,
        opening_fade=brief.style.transitions.opening_fade,
        closing_fade=brief.style.transitions.closing_fade,
        style=brief.style.name,
    )
    slots, notes = tuple(pick.slot for pick in picks), (*rhythm.notes, *_unfulfilled(insight))
    wanted = [float(material.wanted[material.cells_between(p.shot, p.low, p.high)].mean()) for p in picks]
    return Plan(timeline, slots, material.left_out, reason, notes, tuple(wanted) if brief.wants else ())


def _unfulfilled(insight: Insight) -> list[str]:
    return [
        f"Nothing of the footage clearly shows {wish!r}: the best moment has a score of {best:.2f}."
        for wish, best in insight.best.items()
        if best < _CLEAR
    ]


def _first_length(brief: Brief, grid: BeatGrid, material: Material) -> tuple[float, str]:
    """The length to try first, and what it comes from."""
    lengths = {"the length of the music": grid.duration}
    if brief.duration is not None:
        lengths["the length that was asked for"] = brief.duration
    lengths["what the footage can fill without showing anything twice"] = max(material.capacity, _SHORTEST_FILM)
    reason = min(lengths, key=lambda name: lengths[name])
    return lengths[reason], reason


def _used_up(picks: Sequence[Pick], material: Material) -> str:
    """Why the film is no longer, where the footage ran out."""
    reason = "what the footage can fill without showing anything twice"
    if any(clip.is_photo for clip in material.clips):
        return reason
    shown = sum(pick.high - pick.low for pick in picks)
    return (
        f"{reason}: {shown:.1f} of {material.capacity:.1f} usable seconds, the rest is too short for a shot on the beat"
    )


def _fill(
    duration: float, material: Material, grid: BeatGrid, brief: Brief, fps: Fraction
) -> tuple[Rhythm, list[Pick]]:
    """The picks for a film of ``duration`` seconds. Where the footage runs out, it is paced again for what it fills.

    Photos are shown once, but for longer where there is time: they are paced slower first, if a length was asked for.
    """

    def filled(duration: float, stretch: float) -> tuple[Rhythm, list[Pick], int]:
        rhythm = pace(
            grid,
            brief.style,
            fps=fps,
            duration=duration,
            density=brief.density,
            beat_offset=brief.beat_offset,
            seed=brief.seed,
            stretch=stretch,
        )
        rhythm, pinned = place_pins(rhythm, material, brief)
        picks = select(rhythm, pinned, material, brief.style.taste, brief.seed)
        return rhythm, picks, picks[-1].slot.end if picks else 0

    stretch = 1.0
    rhythm, picks, reached = filled(duration, stretch)
    if brief.duration is not None and brief.density == "auto" and any(clip.is_photo for clip in material.clips):
        while 0 < reached < rhythm.frames and stretch < _MOST_STRETCHED:
            longer = min(1.1 * stretch * rhythm.frames / reached, _MOST_STRETCHED)
            slower = filled(duration, longer)
            if slower[2] <= reached:
                break
            stretch, (rhythm, picks, reached) = longer, slower
    for _ in range(_PASSES - 1):
        if reached in (0, rhythm.frames):
            break
        rhythm, picks, reached = filled(max(float(reached / fps), _SHORTEST_FILM), stretch)
    return rhythm, picks


def _item(pick: Pick, number: int, material: Material, brief: Brief, fps: Fraction) -> Item:
    clip = material.clip_at(pick.shot)
    shaky = float(material.shake[material.cells_between(pick.shot, pick.low, pick.high)].mean()) > SHAKY
    return Item(
        clip=clip_source(clip),
        start=Fraction(0) if clip.is_photo else clip.time_of(pick.frame),
        frames=pick.slot.frames,
        focus=_focus(clip, pick.low, pick.high),
        stabilize="never" if clip.is_photo or (brief.stabilize == "auto" and not shaky) else brief.stabilize,
        grade=_look(brief),
        move=_move(clip, number, brief) if clip.is_photo else None,
        section=pick.slot.part,
    )


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


def _move(clip: Clip, number: int, brief: Brief) -> Move:
    """In for every other shot, out for the rest, towards the photo's faces."""
    near = 1 + brief.style.photo_move
    target = _focus(clip, 0, 1)
    if number % 2:
        return Move(zoom=(near, 1.0), start=target, end=(0.5, 0.5))
    return Move(zoom=(1.0, near), start=(0.5, 0.5), end=target)


def _look(brief: Brief) -> Grade:
    return brief.style.look.model_copy(update={"lut": brief.lut.absolute()}) if brief.lut else brief.style.look


def _matched(items: list[Item], picks: list[Pick], material: Material, brief: Brief) -> list[Item]:
    """Bring each shot a part of the way towards the mean of itself and its neighbours."""
    strength = brief.style.match_neighbours
    if strength == 0:
        return items
    spans = [material.cells_between(pick.shot, pick.low, pick.high) for pick in picks]
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
