"""The footage as selection sees it: what may be shown, as exact stretches, and how good it is, in cells of 0.2 s."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from math import ceil
from typing import Any

import numpy as np
from numpy.typing import NDArray

from montage_ai.edit.brief import Brief, Exclusion, names_clip
from montage_ai.edit.free import Free
from montage_ai.errors import UserError
from montage_ai.footage.clip import Clip
from montage_ai.footage.quality import Moments, judge
from montage_ai.footage.search import ClipInsight, Insight
from montage_ai.footage.shots import Shot

CELL = 0.2
"""Seconds of a cell."""
PHOTO_SECONDS = 6.0
"""How long a photo may be shown."""
_POOR = 0.06
_HOLE, _HOLE_STEPS = 1.0, 3.0  # seconds without a frame, and usual steps between two, that are no footage
_AVOIDED = 0.5  # how well something shows what is to be avoided to be left out

Series = NDArray[np.float64]
Array = NDArray[Any]


@dataclass(frozen=True)
class LeftOut:
    """A stretch of a clip that cannot be used, and why."""

    clip: Clip
    low: float
    high: float
    reason: str


@dataclass(frozen=True)
class Material:
    """All footage, shot after shot.

    ``free`` are the stretches that may be shown, ``pinnable`` those that a pin may ask for (all but the excluded).
    The measures are arrays over cells, shape (cells,), ``layout`` (cells, 48): shot s owns the cells
    [bounds[s], bounds[s + 1]); ``seconds`` is where a cell begins in its clip; ``motion`` its rank among all, 0 to 1.
    ``wanted``, ``unwanted``, ``intensity``, ``mood`` and ``picture`` are of ``ClipInsight``, ``pictures`` of
    ``Insight``.
    """

    clips: tuple[Clip, ...]
    shots: tuple[Shot, ...]
    clip_of_shot: NDArray[np.int64]
    free: Free
    pinnable: Free
    bounds: NDArray[np.int64]
    seconds: Series
    quality: Series
    motion: Series
    shake: Series
    faces: Series
    smiles: Series
    direction: Series
    layout: NDArray[np.float32]
    luma: Series
    warmth: Series
    wanted: Series
    unwanted: Series
    intensity: Series
    mood: Series
    picture: NDArray[np.int64]
    pictures: NDArray[np.float16]
    left_out: tuple[LeftOut, ...]

    @property
    def cells(self) -> int:
        return len(self.seconds)

    @property
    def capacity(self) -> float:
        """Seconds that can be used."""
        return float(self.free.lengths.sum())

    def clip_at(self, shot: int) -> Clip:
        """The clip that a shot is of."""
        return self.clips[int(self.clip_of_shot[shot])]

    def cells_between(self, shot: int, low: float, high: float) -> slice:
        """The cells of a shot that lie in a stretch of it, one at least."""
        first, end = int(self.bounds[shot]), int(self.bounds[shot + 1])
        a = min(first + max(0, int((low - self.seconds[first]) / CELL + 1e-6)), end - 1)
        b = first + ceil((high - self.seconds[first]) / CELL - 1e-6)
        return slice(a, min(max(a + 1, b), end))


@dataclass
class _Builder:
    columns: dict[str, list[Array]] = field(default_factory=dict)
    shots: list[Shot] = field(default_factory=list)
    clips: list[int] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    free: list[tuple[int, float, float]] = field(default_factory=list)
    pinnable: list[tuple[int, float, float]] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def gather(clips: Sequence[Clip], brief: Brief, insight: Insight = Insight()) -> Material:  # noqa: B008  it is frozen
    """Look at all clips; raises ``UserError`` where a wish names no clip, or several, and where nothing is left."""
    for name in [pin.clip for pin in brief.pins] + [exclusion.clip for exclusion in brief.exclusions]:
        named_clip(name, clips)
    builder = _Builder()
    for index, clip in enumerate(clips):
        moments = judge(clip)
        exclusions = [e for e in brief.exclusions if names_clip(e.clip, clip.info.path)]
        for shot in clip.facts.shots:
            known = insight.clips.get(clip.facts.sha256) or _nothing_known(clip)
            _add_shot(builder, index, clip, shot, moments, known, exclusions)
    if not builder.sizes:
        raise UserError("No shot of the footage is long enough to use.", hint="Give longer clips.")
    if not builder.free and not (brief.pins and builder.pinnable):
        raise UserError("Nothing of the footage can be used.", hint=_why(builder.left_out))
    table = {name: np.concatenate(parts) for name, parts in builder.columns.items()}
    return Material(
        clips=tuple(clips),
        shots=tuple(builder.shots),
        clip_of_shot=np.array(builder.clips),
        free=_as_free(builder.free),
        pinnable=_as_free(builder.pinnable),
        bounds=np.cumsum([0, *builder.sizes]),
        motion=_ranks(table.pop("motion")),
        pictures=insight.pictures,
        left_out=tuple(builder.left_out),
        **table,
    )


def named_clip(name: str, clips: Sequence[Clip]) -> int:
    """The number of the clip that a user's ``name`` means. Raises ``UserError`` where that is none, or several."""
    found = [number for number, clip in enumerate(clips) if names_clip(name, clip.info.path)]
    if not found:
        known = ", ".join(clip.name for clip in clips[:8])
        raise UserError(f"No clip is called {name!r}.", hint=f"The clips are: {known}.")
    if len(found) > 1:
        paths = ", ".join(str(clips[number].info.path) for number in found)
        raise UserError(f"{len(found)} clips are called {name!r}.", hint=f"Name one of them by its path: {paths}.")
    return found[0]


def _as_free(stretches: list[tuple[int, float, float]]) -> Free:
    shot, low, high = zip(*stretches, strict=True) if stretches else ((), (), ())
    return Free(np.array(shot, np.int64), np.array(low, np.float64), np.array(high, np.float64))


def _nothing_known(clip: Clip) -> ClipInsight:
    none = np.zeros(len(clip.ticks))
    return ClipInsight(none, none, none, none, np.full(len(clip.ticks), -1))


def _add_shot(
    builder: _Builder,
    index: int,
    clip: Clip,
    shot: Shot,
    moments: Moments,
    known: ClipInsight,
    exclusions: list[Exclusion],
) -> None:
    begin = float(clip.time_of(shot.first))
    end = PHOTO_SECONDS if clip.is_photo else float(clip.time_of(shot.end))
    cells = int((end - begin) / CELL + 1e-6)
    if cells < 1:
        builder.left_out.append(LeftOut(clip, begin, end, "shorter than a fifth of a second"))
        return
    seconds = begin + CELL * np.arange(cells, dtype=np.float64)
    frames = np.searchsorted(clip.times, seconds + CELL / 2).clip(shot.first, shot.end - 1)
    samples = _nearest(clip.arrays["sample_time"], seconds)
    avoided = known.unwanted[frames] >= _AVOIDED
    excluded, poor = _blocked(builder, clip, seconds, frames, moments, avoided, exclusions)
    number = len(builder.shots)
    builder.pinnable += [(number, *span) for span in _runs(~excluded, seconds, end)]
    builder.free += [(number, *span) for span in _runs(~(excluded | poor), seconds, end)]
    columns: dict[str, Array] = {
        "seconds": seconds,
        "quality": moments.quality[frames],
        "motion": moments.motion[frames],
        "shake": moments.shake[frames],
        "faces": moments.faces[frames],
        "smiles": moments.smiles[frames],
        "direction": clip.arrays["dx"][frames].astype(np.float64) * float(clip.info.picture.fps),
        "layout": clip.arrays["layout"][samples],
        "luma": clip.arrays["luma"][frames].astype(np.float64),
        "warmth": clip.arrays["warmth"][samples].astype(np.float64),
        "wanted": known.wanted[frames],
        "unwanted": known.unwanted[frames],
        "intensity": known.intensity[frames],
        "mood": known.mood[frames],
        "picture": known.picture[frames],
    }
    for name, values in columns.items():
        builder.columns.setdefault(name, []).append(values)
    builder.shots.append(shot)
    builder.clips.append(index)
    builder.sizes.append(cells)


def _blocked(
    builder: _Builder,
    clip: Clip,
    seconds: Series,
    frames: NDArray[np.int64],
    moments: Moments,
    avoided: NDArray[np.bool_],
    exclusions: list[Exclusion],
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Which cells are excluded, and which are too poor or avoided; each stretch is noted with its reason."""
    excluded = np.zeros(len(seconds), bool)
    for exclusion in exclusions:
        excluded |= (seconds + CELL > exclusion.low) & (seconds < exclusion.high)
    black = _any_in_cells(moments.black, np.searchsorted(clip.times, seconds).clip(0, len(clip.times) - 1))
    empty = _in_a_hole(clip, seconds + CELL / 2)
    excluded |= empty
    poor = moments.quality[frames] < _POOR
    reasons = {
        "nothing was recorded": empty,
        "excluded": excluded & ~empty,
        "black or empty": black & ~excluded,
        "blurred, badly exposed or too shaky": poor & ~black & ~excluded,
        "shows what is to be avoided": avoided & ~poor & ~black & ~excluded,
    }
    for reason, mask in reasons.items():
        spans = _runs(mask, seconds, float(seconds[-1] + CELL))
        builder.left_out += [LeftOut(clip, low, high, reason) for low, high in spans]
    return excluded, black | poor | avoided


def _in_a_hole(clip: Clip, seconds: Series) -> NDArray[np.bool_]:
    """Whether each of ``seconds`` is in a gap between two frames, as recordings of screens have that were paused."""
    steps = np.diff(clip.times)
    if not len(steps):
        return np.zeros(len(seconds), bool)
    before = np.searchsorted(clip.times, seconds, side="right") - 1
    gap = steps[before.clip(0, len(steps) - 1)]
    return np.asarray((gap > max(_HOLE, _HOLE_STEPS * float(np.median(steps)))) & (before < len(steps)))


def _any_in_cells(frames: NDArray[np.bool_], firsts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Whether any frame of each cell is marked; a cell's frames end where the next cell's begin."""
    last = min(int(firsts[-1] + max(1, firsts[-1] - firsts[0]) // max(1, len(firsts) - 1)), len(frames) - 1)
    return np.asarray(np.logical_or.reduceat(frames[: last + 1], firsts), np.bool_)


def _runs(mask: NDArray[np.bool_], seconds: Series, end: float) -> list[tuple[float, float]]:
    """Where ``mask`` holds, as stretches; the last cell reaches to ``end``."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], mask, [False]]).astype(np.int8)))
    borders = np.append(seconds, end)
    return [(float(borders[a]), float(borders[b])) for a, b in edges.reshape(-1, 2)]


def _nearest(times: NDArray[np.float32], wanted: Series) -> NDArray[np.int64]:
    """The index of the value nearest to each of ``wanted``; ``times`` increase."""
    middles = (times[1:].astype(np.float64) + times[:-1]) / 2
    return np.asarray(np.searchsorted(middles, wanted), np.int64)


def _ranks(values: Series) -> Series:
    """The share of all values that each is at or above: 0 to 1, ties alike."""
    ordered = np.sort(values)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(values))


def _why(left_out: Sequence[LeftOut]) -> str:
    return "; ".join(f"{piece.clip.name}: {piece.reason}" for piece in left_out[:3])
