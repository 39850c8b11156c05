"""The footage as selection sees it: all usable moments of all clips, in cells of a fifth of a second."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from montage_ai.edit.brief import Brief, Exclusion, names_clip
from montage_ai.errors import UserError
from montage_ai.footage.clip import Clip
from montage_ai.footage.quality import Moments, judge
from montage_ai.footage.shots import Shot

CELL = 0.2
"""Seconds of a cell."""
PHOTO_SECONDS = 6.0
"""How long a photo may be shown."""
_POOR = 0.06

Series = NDArray[np.float64]


@dataclass(frozen=True)
class LeftOut:
    """A stretch of a clip that cannot be used, and why."""

    clip: Clip
    low: float
    high: float
    reason: str


@dataclass(frozen=True)
class Material:
    """All cells, shot after shot. Arrays have shape (cells,), ``layout`` (cells, 48), ``bounds`` (shots + 1,).

    Shot s owns the cells [bounds[s], bounds[s + 1]); ``seconds`` is where a cell begins in its clip. ``motion`` is its
    rank among all cells, 0 to 1. ``blocked`` cells cannot be used.
    """

    clips: tuple[Clip, ...]
    clip: NDArray[np.int64]
    shot: NDArray[np.int64]
    bounds: NDArray[np.int64]
    seconds: Series
    quality: Series
    motion: Series
    shake: Series
    faces: Series
    smiles: Series
    direction: Series
    layout: Series
    luma: Series
    warmth: Series
    blocked: NDArray[np.bool_]
    shots: tuple[Shot, ...]
    left_out: tuple[LeftOut, ...]

    @property
    def cells(self) -> int:
        return len(self.clip)

    @property
    def capacity(self) -> float:
        """Seconds that can be used."""
        return float(np.count_nonzero(~self.blocked) * CELL)


@dataclass
class _Builder:
    columns: dict[str, list[Series]] = field(default_factory=dict)
    shots: list[Shot] = field(default_factory=list)
    sizes: list[int] = field(default_factory=list)
    left_out: list[LeftOut] = field(default_factory=list)


def gather(clips: Sequence[Clip], brief: Brief) -> Material:
    """Cut the clips into cells.

    Raises ``UserError`` for a pin or exclusion that names no clip, and where nothing is left.
    """
    for name in [pin.clip for pin in brief.pins] + [exclusion.clip for exclusion in brief.exclusions]:
        if not any(names_clip(name, clip.info.path) for clip in clips):
            known = ", ".join(clip.name for clip in clips[:8])
            raise UserError(f"No clip is called {name!r}.", hint=f"The clips are: {known}.")
    builder = _Builder()
    for index, clip in enumerate(clips):
        moments = judge(clip)
        exclusions = [e for e in brief.exclusions if names_clip(e.clip, clip.info.path)]
        for shot in clip.facts.shots:
            _add_shot(builder, index, clip, shot, moments, exclusions)
    if not builder.sizes:
        raise UserError("No shot of the footage is long enough to use.", hint="Give longer clips.")
    table = {name: np.concatenate(parts) for name, parts in builder.columns.items()}
    material = Material(
        clips=tuple(clips),
        clip=table.pop("clip").astype(np.int64),
        shot=np.repeat(np.arange(len(builder.sizes)), builder.sizes),
        bounds=np.cumsum([0, *builder.sizes]),
        motion=_ranks(table.pop("motion")),
        blocked=table.pop("blocked").astype(bool),
        shots=tuple(builder.shots),
        left_out=tuple(builder.left_out),
        **table,
    )
    if material.blocked.all():
        raise UserError("Nothing of the footage can be used.", hint=_why(material.left_out))
    return material


def _add_shot(
    builder: _Builder, index: int, clip: Clip, shot: Shot, moments: Moments, exclusions: list[Exclusion]
) -> None:
    begin = float(clip.time_of(shot.first))
    length = PHOTO_SECONDS if clip.is_photo else float(clip.time_of(shot.end)) - begin
    cells = int(length / CELL + 1e-6)
    if cells < 1:
        builder.left_out.append(LeftOut(clip, begin, begin + length, "shorter than a fifth of a second"))
        return
    seconds = begin + CELL * np.arange(cells, dtype=np.float64)
    frames = np.searchsorted(clip.times, seconds + CELL / 2).clip(shot.first, shot.end - 1)
    samples = np.abs(clip.arrays["sample_time"][None, :] - seconds[:, None]).argmin(axis=1)
    blocked = _block(builder, clip, seconds, frames, moments, exclusions)
    columns = {
        "clip": np.full(cells, float(index)),
        "seconds": seconds,
        "quality": moments.quality[frames],
        "motion": moments.motion[frames],
        "shake": moments.shake[frames],
        "faces": moments.faces[frames],
        "smiles": moments.smiles[frames],
        "direction": clip.arrays["dx"][frames].astype(np.float64) * float(clip.info.picture.fps),
        "layout": clip.arrays["layout"][samples].astype(np.float64),
        "luma": clip.arrays["luma"][frames].astype(np.float64),
        "warmth": clip.arrays["warmth"][samples].astype(np.float64),
        "blocked": blocked.astype(np.float64),
    }
    for name, values in columns.items():
        builder.columns.setdefault(name, []).append(values)
    builder.shots.append(shot)
    builder.sizes.append(cells)


def _block(
    builder: _Builder,
    clip: Clip,
    seconds: Series,
    frames: NDArray[np.int64],
    moments: Moments,
    exclusions: list[Exclusion],
) -> NDArray[np.bool_]:
    """Which cells cannot be used; each reason is noted with its stretch."""
    excluded = np.zeros(len(seconds), bool)
    for exclusion in exclusions:
        excluded |= (seconds + CELL > exclusion.low) & (seconds < exclusion.high)
    reasons = {
        "excluded": excluded,
        "black or empty": moments.black[frames],
        "blurred, badly exposed or too shaky": (moments.quality[frames] < _POOR) & ~moments.black[frames],
    }
    blocked = np.zeros(len(seconds), bool)
    for reason, mask in reasons.items():
        if (mask & ~blocked).any():
            hit = seconds[mask & ~blocked]
            builder.left_out.append(LeftOut(clip, float(hit[0]), float(hit[-1] + CELL), reason))
        blocked |= mask
    return blocked


def _ranks(values: Series) -> Series:
    """The share of all values that each is at or above: 0 to 1, ties alike."""
    ordered = np.sort(values)
    return (np.searchsorted(ordered, values, "left") + np.searchsorted(ordered, values, "right")) / (2 * len(values))


def _why(left_out: Sequence[LeftOut]) -> str:
    return "; ".join(f"{piece.clip.name}: {piece.reason}" for piece in left_out[:3])
