"""Smoothing a path: freely, or inside a box around each of its points.

A path is complex (x + iy), one sample a frame. Its smoothed version is that of the penalised least squares of
Whittaker (1923) and Eilers, "A perfect smoother" (Anal. Chem. 75, 2003): the path whose second differences are smallest
for staying close. It keeps straight lines (steady pans) exactly and needs no padding at the ends. Inside boxes the same
objective is minimised by the barrier method (Boyd and Vandenberghe, "Convex optimization", 2004, section 11.3).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Reals = NDArray[np.float64]
Complexes = NDArray[np.complex128]

_ITERATIONS = 30
_ACCURACY = 1e-4  # of the barrier's weight, in squares of the path's unit
_NO_ROOM = 1e-6


def _solve(bands: Reals, right: Reals) -> Reals:
    """The solution of a symmetric positive definite banded system; ``bands`` as LAPACK has them, upper form."""
    from scipy.linalg import solveh_banded  # a third of a second that who only measures motions does not need

    return np.asarray(solveh_banded(bands, right, check_finite=False), np.float64)


def smooth(path: Complexes | Reals, smoothing: int) -> Complexes:
    """``path`` (N,) with swings of ``4 * smoothing`` frames halved and faster ones taken out (Whittaker)."""
    if len(path) < 3:
        return path.astype(np.complex128)
    trend = np.linspace(path[0], path[-1], len(path))  # kept by smoothing anyway: taken out, it costs no precision
    rest = np.stack([(path - trend).real, (path - trend).imag], axis=1)
    smoothed = _solve(_penalty(len(path), smoothing), rest)
    return np.asarray(trend + smoothed[:, 0] + 1j * smoothed[:, 1], np.complex128)


def smooth_within(path: Complexes, axes: Complexes, room: Reals, smoothing: int) -> Complexes:
    """The smoothest path near ``path`` (N,) that leaves it by less than ``room`` (N, 2) along ``axes`` (N,) and across.

    The objective is that of ``smooth``. A log barrier of falling weight keeps every point inside its box, and
    Newton's method, whose matrix is banded, finds the smoothest path each time.
    """
    if len(path) < 3:
        return path.copy()
    limit = np.maximum(room, _NO_ROOM).ravel()
    bands = _turned_penalty(axes, smoothing)
    pull = _flat(axes.conj() * _strength(smoothing) * _second_differences_twice(path))
    leave = np.zeros_like(limit)
    weight = max(float(np.mean(np.abs(pull) * limit)), _ACCURACY)
    while weight >= _ACCURACY:
        leave = _newton(leave, bands, pull, limit, weight)
        weight /= 8
    return path + axes * (leave[0::2] + 1j * leave[1::2])


def _strength(smoothing: int) -> float:
    """The weight of squared second differences that halves swings of ``4 * smoothing`` samples."""
    return float((2 * math.sin(math.pi / (4 * smoothing))) ** -4)


def _penalty(length: int, smoothing: int) -> Reals:
    """The upper bands (3, length) of ``I + strength * D'D``, D the second difference of a signal of ``length``."""
    bands = np.zeros((3, length))
    for lag, products in enumerate(([1.0, 4.0, 1.0], [-2.0, -2.0], [1.0])):
        for start, product in enumerate(products):
            bands[2 - lag, start + lag : start + lag + length - 2] += _strength(smoothing) * product
    bands[2] += 1.0
    return bands


def _turned_penalty(axes: Complexes, smoothing: int) -> Reals:
    """The upper bands (6, 2N) of ``_penalty`` in the frames' own ``axes`` (N,), with x and y of each in turn."""
    plain = _penalty(len(axes), smoothing)
    bands = np.zeros((6, 2 * len(axes)))
    for lag in range(3):
        turned = axes[: len(axes) - lag].conj() * axes[lag:] * plain[2 - lag, lag:]
        column = 2 * lag
        bands[5 - 2 * lag, column::2] = bands[5 - 2 * lag, column + 1 :: 2] = turned.real
        if lag:
            bands[6 - 2 * lag, column::2] = turned.imag
            bands[4 - 2 * lag, column + 1 :: 2] = -turned.imag
    return bands


def _newton(leave: Reals, bands: Reals, pull: Reals, limit: Reals, weight: float) -> Reals:
    """From ``leave`` (2N,) to the least ``(bands leave / 2 + pull) . leave - weight * sum(log(limit^2 - leave^2))``."""
    for _ in range(_ITERATIONS):
        spare = limit**2 - leave**2
        slope = _times(bands, leave) + pull + weight * 2 * leave / spare
        curved = bands.copy()
        curved[5] += weight * 2 * (limit**2 + leave**2) / spare**2
        step = -_solve(curved, slope)
        far = float(np.max(np.where(step > 0, step / (limit - leave), -step / (limit + leave))))
        leave = leave + step * min(1.0, 0.9 / max(far, 1e-12))
        if far < 0.9 and -float(slope @ step) < 0.1 * weight:
            break
    return leave


def _times(bands: Reals, vector: Reals) -> Reals:
    """The product of a symmetric matrix, given by its upper bands, and a vector."""
    product = bands[-1] * vector
    for lag in range(1, len(bands)):
        band = bands[-1 - lag, lag:]
        product[:-lag] += band * vector[lag:]
        product[lag:] += band * vector[:-lag]
    return np.asarray(product, np.float64)


def _second_differences_twice(path: Complexes) -> Complexes:
    """``D'D path``: (N,)."""
    return np.asarray(np.diff(np.pad(np.diff(path, 2), 2), 2), np.complex128)


def _flat(values: Complexes) -> Reals:
    """x and y in turn: (2N,)."""
    return np.stack([values.real, values.imag], axis=1).ravel()
