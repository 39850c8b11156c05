"""vid.stab's files and filters: what its detection wrote, and what its transform filter is told.

Two FFmpeg runs over the same stretch of a clip, frame by frame in the order of decoding:

    ffmpeg -ss T0 -t LENGTH -i CLIP -an -sn -dn -vf DETECT -f null -      (here or elsewhere, from the clip or a proxy)
    ffmpeg -ss T0 -t LENGTH -i CLIP -vf TRANSFORM,... OUT                 (as part of the one encode)

DETECT is ``detect_filter``; ``read_motions`` turns its file into ``Motions``, ``camera_path.correct`` those into
``Corrections``; TRANSFORM is ``transform_filter`` with the file of ``corrections_text``. In both runs ``-ss`` and
``-t`` stand before ``-i``, and the filter before anything that changes the number of frames or, for TRANSFORM, their
size: vid.stab knows frames by their order only, so a variable frame rate does not matter. Files are named plainly and
lie in the process's working directory, so no name ever has to be escaped for a filter graph. vid.stab's pictures have
8 bits.

Moves are measured in whole pixels of the picture that DETECT sees. In one of 640 pixels a frame's error is about 0.1 of
them; below 480 there are too few fields. Scaling large clips down to 640 to 960 first saves most of the time.

The formats were read from vid.stab's source (serialize.c, localmotion2transform.c, transformfixedpoint.c) and the
signs checked against its pictures.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Iterator
from itertools import islice

import numpy as np
from numpy.typing import NDArray

from montage_ai.errors import VerificationError, WorkError
from montage_ai.media.camera_path import Corrections, Motions

Reals = NDArray[np.float64]

MOTIONS_FILE = "motions.trf"
CORRECTIONS_FILE = "corrections.trf"

_SAFE_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")
_FRAME = re.compile(r"Frame (\d+) \(List (\d+) \[(.*)\]\)")
_NUMBERS = str.maketrans("LM(),", "     ")
_VALUES = 7  # of a field: move x, y, place x, y, size, contrast, mismatch
_KEPT = [0, 1, 2, 3, 6]
_AT_ONCE = 500  # frames whose motions are fitted together: more are no faster, and take memory

_MIN_FIELDS = 4
_MIN_SPREAD = 0.14  # of the diagonal, RMS, half of what a full picture has: one thing that moves is not the camera
_ROUNDS = 12


def _safe(name: str) -> str:
    if not _SAFE_NAME.fullmatch(name):
        raise VerificationError(f"{name!r} cannot be named in a filter graph.", hint="Use a plain name in the cwd.")
    return name


def detect_filter(result: str = MOTIONS_FILE, *, shakiness: int = 5, accuracy: int = 15, stepsize: int = 32) -> str:
    """The filter that writes local motions to ``result``.

    The text form, because a binary file of one FFmpeg is refused by another. Accuracy is the number of fields: 15 takes
    up to twice as long as 9 and errs a third less. FFmpeg 9's vid.stab takes no notice of shakiness and step size.
    """
    return (
        f"vidstabdetect=shakiness={shakiness}:accuracy={accuracy}:stepsize={stepsize}"
        f":fileformat=ascii:result={_safe(result)}"
    )


def transform_filter(corrections: str = CORRECTIONS_FILE, *, interpolation: str = "bilinear") -> str:
    """The filter that applies the file of ``corrections_text`` as it stands: nothing smoothed, nothing added."""
    return (
        f"vidstabtransform=input={_safe(corrections)}:relative=0:smoothing=0:optalgo=avg:optzoom=0:zoom=0"
        f":crop=keep:interpol={interpolation}"
    )


FILTERS = (detect_filter(), transform_filter(MOTIONS_FILE))
"""What FFmpeg must be able to do, one after the other: see ``ffmpeg.ffmpeg_with``."""


def corrections_text(corrections: Corrections) -> str:
    """What ``transform_filter`` reads: a line "time x y alpha zoom extra" a frame.

    vid.stab shows at p (from the centre, y down) the recorded picture at ``(1 - zoom / 100) exp(i alpha) p - (x, y)``.
    """
    zooms, angles = 100 * (1 - np.abs(corrections.turn)), np.angle(corrections.turn)
    rows = zip(corrections.shift, angles, zooms, strict=True)
    return "".join(f"0 {-q.real:.4f} {-q.imag:.4f} {angle:.7f} {zoom:.6f} 0\n" for q, angle, zoom in rows)


def read_motions(lines: Iterable[str], width: int, height: int) -> Motions:
    """The camera's motions, from the lines of the file that ``detect_filter`` wrote for pictures of that size."""
    centre = np.array([width // 2, height // 2], np.float64)
    fields, parts = read_local_motions(lines), []
    while some := list(islice(fields, _AT_ONCE)):
        places, moves, weights = _padded(some)
        parts.append(_fit_similarities(places - centre, moves, weights, math.hypot(width, height)))
    steps = np.concatenate(parts) if parts else np.zeros((0, 4))
    steps[:1] = 0.0
    motions = Motions(width, height, steps)
    motions.check()
    return motions


def read_local_motions(lines: Iterable[str]) -> Iterator[Reals]:
    """vid.stab's measured fields, frame by frame: (fields, 5) of move x, y, place x, y in pixels, and mismatch.

    A move leads from a place in this frame to the same thing in the frame before. Raises ``WorkError`` for a file
    that is not vid.stab's, or incomplete.
    """
    lines = iter(lines)
    if not next(lines, "").startswith("VID.STAB"):
        raise WorkError("vid.stab's motions cannot be read.", hint="Is another FFmpeg used for them?")
    number = 0
    for line in lines:
        if line.startswith("#") or not line.strip():
            continue
        number += 1
        frame = _FRAME.fullmatch(line.rstrip())
        values = np.fromstring(frame[3].translate(_NUMBERS), sep=" ") if frame else np.zeros(1)
        if frame is None or int(frame[1]) != number or values.size != _VALUES * int(frame[2]):
            raise WorkError(f"vid.stab's motions are damaged at frame {number}.")
        yield values.reshape(-1, _VALUES)[:, _KEPT]


def _padded(frames: list[Reals]) -> tuple[Reals, Reals, Reals]:
    """All frames' fields as arrays: places and moves (N, M, 2), weights (N, M), 0 where there is no field.

    Fields that matched worse than 1.5 standard deviations above their frame's mean are left out, as vid.stab does.
    """
    most = max((len(fields) for fields in frames), default=0)
    places, moves, weights = (np.zeros((len(frames), most, *tail)) for tail in ((2,), (2,), ()))
    for index, fields in enumerate(frames):
        count, mismatch = len(fields), fields[:, 4]
        moves[index, :count], places[index, :count] = fields[:, 0:2], fields[:, 2:4]
        weights[index, :count] = mismatch <= mismatch.mean() + 1.5 * mismatch.std() if count else 0.0
    return places, moves, weights


def _fit_similarities(places: Reals, moves: Reals, weights: Reals, diagonal: float) -> Reals:
    """Steps (N, 4) as ``Motions`` has them: robust least squares of ``place + move = s place + o``, all frames at once.

    Iteratively reweighted with Cauchy's weights, starting from the median move, so that what moves by itself (less
    than half of the picture) does not count. A frame in which too few fields agree is not known (NaN).
    """
    points, targets = places[..., 0] + 1j * places[..., 1], moves[..., 0] + 1j * moves[..., 1]
    middle = np.array([_median(row[use > 0]) for row, use in zip(targets, weights, strict=True)], np.complex128)
    grow, shift = np.zeros_like(middle), middle
    unit = diagonal / math.hypot(640, 360)  # errors grow with the picture: lenses, parallax, blur
    for scale in np.geomspace(32.0, 2.0, _ROUNDS) * unit:
        error = np.abs(targets - grow[:, None] * points - shift[:, None])
        use = weights / (1 + (error / scale) ** 2)
        grow, shift = _weighted(points, targets, use)
    steps = np.stack([shift.real, shift.imag, np.angle(1 + grow), np.log(np.abs(1 + grow))], axis=1)
    error = np.abs(targets - grow[:, None] * points - shift[:, None])
    agreeing = weights * (error < max(2.0 * unit, 1.5))
    steps[(agreeing.sum(axis=1) < _MIN_FIELDS) | (_spread(points, agreeing) < _MIN_SPREAD * diagonal)] = np.nan
    return steps


def _spread(points: NDArray[np.complex128], weights: Reals) -> Reals:
    """The RMS distance of each frame's weighted points from their mean: (N,)."""
    total = np.maximum(weights.sum(axis=1), 1e-9)
    mean = (weights * points).sum(axis=1) / total
    return np.asarray(np.sqrt((weights * np.abs(points - mean[:, None]) ** 2).sum(axis=1) / total), np.float64)


def _median(values: NDArray[np.complex128]) -> complex:
    return complex(np.median(values.real), np.median(values.imag)) if len(values) else 0j


def _weighted(
    points: NDArray[np.complex128], targets: NDArray[np.complex128], weights: Reals
) -> tuple[NDArray[np.complex128], NDArray[np.complex128]]:
    """The complex straight lines ``target = grow point + shift`` of least weighted squares, one a frame: two (N,)."""
    total = np.maximum(weights.sum(axis=1), 1e-9)
    point_mean, target_mean = (weights * points).sum(axis=1) / total, (weights * targets).sum(axis=1) / total
    offsets = points - point_mean[:, None]
    spread = np.maximum((weights * np.abs(offsets) ** 2).sum(axis=1), 1e-6)
    grow = (weights * offsets.conj() * (targets - target_mean[:, None])).sum(axis=1) / spread
    return grow, target_mean - grow * point_mean
