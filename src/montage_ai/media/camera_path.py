"""How a camera moved, how it should have moved, and how each frame is corrected without showing a border.

A picture is turned and moved about its centre, written with complex numbers (x + iy, in pixels from the centre, y
down) as ``p -> turn p + shift``.

The path of a camera is the sum of its steps from frame to frame; ``path_smoothing`` says how it is smoothed. The
corrected picture must lie inside the recorded one, as in Grundmann, Kwatra and Essa, "Auto-directed video stabilization
with robust L1 optimal camera paths" (CVPR 2011): that is a box around the path for every frame.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from montage_ai.errors import VerificationError
from montage_ai.media.path_smoothing import smooth, smooth_within

Reals = NDArray[np.float64]
Complexes = NDArray[np.complex128]

MAX_ZOOM = 1.2
"""How far a picture may be enlarged to hide the moved borders."""

SHAKY = 0.003
"""A ``shake`` from which on a shot is worth stabilising."""

EDGE = 4.0
"""Pixels next to the border that are never shown: interpolation and half-size chroma planes reach that far."""

_STILL = 0.1
"""Pixels: a picture that no correction moves further than this is left exactly as it is."""

_GUESSED = 3  # frames next to a seen one whose motion is guessed
_DECIMALS = (3, 3, 6, 6)
_PLAUSIBLE = np.array([4.0, 4.0, math.pi, 2.0])  # widths, widths, radians, log zoom: more is no motion of a camera


@dataclass(frozen=True, slots=True, eq=False)
class Motions:
    """How a camera moved over N frames, seen in pictures of ``width`` by ``height`` pixels.

    ``steps`` is (N, 4): dx, dy in pixels, the angle in radians and the logarithm of the zoom of the similarity about
    the centre that lays frame i onto frame i - 1. The first row is zero; a row of NaN says "could not be seen".
    """

    width: int
    height: int
    steps: Reals

    def scaled(self, width: int, height: int) -> Motions:
        """The same motions seen in pictures of another size (a proxy's, applied to the full picture)."""
        return Motions(width, height, self.steps * [width / self.width, height / self.height, 1.0, 1.0])

    def part(self, start: int, stop: int) -> Motions:
        """The motions of the frames from ``start`` up to ``stop``, the first of which has none."""
        steps = self.steps[start:stop].copy()
        steps[:1] = 0.0
        return Motions(self.width, self.height, steps)

    def to_json(self) -> str:
        """As JSON text of about 35 bytes a frame, exact to 0.001 pixels and a millionth of a radian."""
        rows = [None if np.isnan(row).any() else _rounded(row) for row in self.steps]
        return json.dumps({"width": self.width, "height": self.height, "steps": rows}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Motions:
        """Read what ``to_json`` wrote; raises ``VerificationError`` for anything else."""
        try:
            read: dict[str, Any] = json.loads(text)
            rows = [[math.nan] * 4 if row is None else row for row in read["steps"]]
            steps = np.array(rows, np.float64).reshape(len(rows), 4)
            motions = cls(int(read["width"]), int(read["height"]), steps)
        except (ValueError, TypeError, KeyError, OverflowError) as error:
            raise VerificationError(f"Received camera motions that cannot be read ({error}).") from error
        motions.check()
        return motions

    def check(self) -> None:
        """Raise ``VerificationError`` for what cannot be the motions of a camera."""
        limits = _PLAUSIBLE * [self.width, self.width, 1.0, 1.0]
        known = self.steps[~np.isnan(self.steps).any(axis=1)]
        if min(self.width, self.height) < 1 or (np.abs(known) > limits).any():
            raise VerificationError("Received camera motions that no camera can make.")


@dataclass(frozen=True, slots=True, eq=False)
class Corrections:
    """Where each of N corrected pictures is taken from the recorded one, both ``width`` by ``height`` pixels.

    A pixel at p of the corrected picture shows the recorded one at ``turn * p + shift``. Both are complex (N,);
    ``zoom`` is the static enlargement that is part of ``turn``.
    """

    width: int
    height: int
    zoom: float
    turn: Complexes
    shift: Complexes

    @property
    def overshoot(self) -> float:
        """Pixels by which the worst corner lies outside the recorded picture; at most 0: no border is ever shown."""
        half = np.array([self.width / 2, self.height / 2])
        return float((_reach(self.turn, self.width, self.height) + _parts(np.abs, self.shift) - half).max(initial=-1e9))

    @property
    def identity(self) -> bool:
        """Whether nothing is corrected at all."""
        return bool((self.turn == 1).all() and (self.shift == 0).all())


def correct(motions: Motions, *, smoothing: int = 15, max_zoom: float = MAX_ZOOM) -> Corrections:
    """The corrections that make a camera's path smooth, under the smallest zoom up to ``max_zoom`` that suffices.

    Swings that take ``4 * smoothing`` frames (15: two seconds at 30 frames a second) are halved, faster ones taken out,
    steady pans and slow moves kept. Where ``max_zoom`` does not suffice the path follows the camera as far as it must.
    Zooming is left as it is.
    """
    angles, centres = camera_path(motions)
    axes = np.exp(1j * angles)
    turn = np.exp(1j * (smooth(angles, smoothing).real - angles))
    shift = (smooth(centres, smoothing) - centres) / axes
    if _is_still(turn, shift, motions):
        return Corrections(motions.width, motions.height, 1.0, np.ones_like(turn), np.zeros_like(shift))
    zoom = needed_zoom(turn, shift, motions.width, motions.height)
    if zoom > max_zoom:
        zoom = max_zoom
        turn = _limited_turn(angles, smoothing, zoom, motions)
        room = _room(turn / zoom, motions)
        shift = (smooth_within(centres, axes, room, smoothing) - centres) / axes
    return Corrections(motions.width, motions.height, zoom, turn / zoom, shift)


def camera_path(motions: Motions) -> tuple[Reals, Complexes]:
    """Where the camera points: its angles (N,) in radians and the centres (N,) of its pictures, in their pixels.

    Every frame laid onto the first by the product of its steps, without their zooms: so a pixel stays a pixel.
    """
    steps = _filled(motions.steps)
    angles = np.cumsum(steps[:, 2])
    before = np.concatenate(([0.0], angles[:-1]))
    centres = np.cumsum(np.exp(1j * before) * (steps[:, 0] + 1j * steps[:, 1]))
    return angles, np.asarray(centres, np.complex128)


def needed_zoom(turn: Complexes, shift: Complexes, width: int, height: int) -> float:
    """The smallest zoom under which pictures taken at ``turn * p + shift`` show no border; infinity where none does."""
    room = np.array([width / 2, height / 2]) - EDGE - _parts(np.abs, shift)
    reach = _reach(turn, width, height)
    with np.errstate(divide="ignore"):
        need = np.where(room > 0, reach / np.maximum(room, 1e-9), np.inf)
    return max(1.0, float(need.max(initial=1.0)))


def shake(motions: Motions, fps: float) -> float:
    """How much a camera shook: the RMS of what is faster than one swing a second in its path, in picture widths.

    Turning counts as what it moves the pixels by, on average. Tripods stay below 0.001, a steadied walk below 0.002.
    """
    angles, centres = camera_path(motions)
    smoothing = max(1, round(fps / 4))
    moved = centres - smooth(centres, smoothing)
    spun = (angles - smooth(angles, smoothing)) * math.hypot(motions.width, motions.height) / math.sqrt(12)
    return float(np.sqrt(np.mean(np.abs(moved) ** 2 + np.abs(spun) ** 2)) / motions.width) if len(angles) else 0.0


def _rounded(row: Reals) -> list[float]:
    return [round(float(value), digits) + 0.0 for value, digits in zip(row, _DECIMALS, strict=True)]


def _filled(steps: Reals) -> Reals:
    """``steps`` with unseen rows replaced: next to seen ones by what lies between these, elsewhere by no motion.

    Where less than half was seen, nothing is believed.
    """
    seen = np.asarray(~np.isnan(steps).any(axis=1), np.bool_)
    if 2 * int(seen.sum()) < len(steps) or not seen.any():
        return np.zeros_like(steps)
    index = np.arange(len(steps))
    filled = np.stack([np.interp(index, index[seen], column[seen]) for column in steps.T], axis=1)
    near = np.convolve(seen, np.ones(2 * _GUESSED + 1))[_GUESSED:-_GUESSED] > 0.5
    return np.where(near[:, None], filled, 0.0)


def _parts(function: Any, values: Complexes) -> Reals:
    return np.stack([function(values.real), function(values.imag)], axis=1)


def _reach(turn: Complexes, width: int, height: int) -> Reals:
    """Half the width and height of the box around a turned picture: (N, 2)."""
    cos, sin = np.abs(turn.real), np.abs(turn.imag)
    return np.stack([cos * width + sin * height, sin * width + cos * height], axis=1) / 2


def _room(turn: Complexes, motions: Motions) -> Reals:
    """How far a turned picture can be moved each way inside the recorded one: (N, 2)."""
    half = np.array([motions.width / 2, motions.height / 2])
    return np.maximum(half - EDGE - _reach(turn, motions.width, motions.height), 0.0)


def _limited_turn(angles: Reals, smoothing: int, zoom: float, motions: Motions) -> Complexes:
    """Turns that use up at most half of what ``zoom`` spares."""
    radius = math.hypot(motions.width, motions.height) / 2  # turning is measured by what it moves a corner by
    long, short = max(motions.width, motions.height), min(motions.width, motions.height)
    limit = max(zoom * (1 - 2 * EDGE / short) - 1, 0.0) / 2 * short / long
    path, ones = (angles * radius).astype(np.complex128), np.ones(len(angles), np.complex128)
    smoothed = smooth_within(path, ones, np.tile([limit * radius, 1.0], (len(angles), 1)), smoothing)
    return np.asarray(np.exp(1j * (smoothed - path).real / radius), np.complex128)


def _is_still(turn: Complexes, shift: Complexes, motions: Motions) -> bool:
    corner = math.hypot(motions.width, motions.height) / 2
    return bool((np.abs(turn - 1) * corner + np.abs(shift)).max(initial=0.0) < _STILL)
