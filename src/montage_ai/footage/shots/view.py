"""Small pictures, and whether two of them show the same view."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from montage_ai.media.decode import Frame, halved
from montage_ai.media.photos import Plane

Floats = NDArray[np.float32]

DETAIL_BLUR = 15
"""Side in pixels (of about 80 across) of the box whose mean is taken away to leave a picture's detail."""

SAME_CORRELATION = 0.6
SAME_INLIERS = 12
SAME_SHARE = 0.37
FEW_MATCHES = 12
FLAT = 1.0


@dataclass(eq=False)
class Small:
    """A copy of what is needed of a frame.

    ``luma`` is at the size of the decode pass (longer side 320 pixels), ``y`` a quarter of that, ``u`` and ``v`` an
    eighth (a quarter of the chroma planes).
    """

    index: int
    time: float
    luma: Plane
    y: Plane = field(init=False)
    u: Plane
    v: Plane

    def __post_init__(self) -> None:
        self.y = quartered(self.luma)

    @classmethod
    def of(cls, frame: Frame) -> Small:
        return cls(frame.index, float(frame.time), frame.luma.copy(), quartered(frame.u), quartered(frame.v))

    @cached_property
    def detail(self) -> Floats:
        """``y`` less its local mean, flat, float32: what a change of light leaves alone but for its scale."""
        mean = cv2.blur(self.y, (DETAIL_BLUR, DETAIL_BLUR))
        return np.asarray(cv2.subtract(self.y, mean, dtype=cv2.CV_32F), np.float32).ravel()

    @cached_property
    def power(self) -> float:
        """Sum of squares of ``detail``."""
        return float(self.detail @ self.detail)

    @cached_property
    def corners(self) -> tuple[Floats, Any]:
        """ORB corners of ``luma``: positions (n, 2) in pixels and descriptors (n, 32), None without a corner.

        E. Rublee et al., "ORB: an efficient alternative to SIFT or SURF", ICCV 2011.
        """
        points, descriptors = _ORB.detectAndCompute(self.luma, None)
        return np.array([p.pt for p in points], np.float32).reshape(-1, 2), descriptors


_ORB = cv2.ORB.create(300, 1.2, 6, 12, patchSize=24, fastThreshold=8)
_MATCHER = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True)


def same_view(a: Small, b: Small) -> bool:
    """Whether ``a`` and ``b`` show the same things: moved, turned, nearer or in another light, but the same.

    Still pictures are told by the correlation of their detail, moved ones by the share of matched corners that
    one similarity transform explains (RANSAC: M. Fischler, R. Bolles, CACM 24(6), 1981).
    """
    if _correlation(a, b) >= SAME_CORRELATION:
        return True
    matched, explained = _matches(a, b)
    if matched < FEW_MATCHES:
        return _plain_correlation(a, b) >= 0.9
    return explained >= SAME_INLIERS and explained >= SAME_SHARE * matched


def quartered(plane: Plane) -> Plane:
    """``plane`` at a quarter of its width and height: the mean of every 4 by 4 pixels."""
    return halved(halved(plane))


def _correlation(a: Small, b: Small) -> float:
    if a.detail.shape != b.detail.shape or min(a.power, b.power) < FLAT * a.detail.size:
        return 0.0
    return float(a.detail @ b.detail) / float(np.sqrt(a.power * b.power))


def _plain_correlation(a: Small, b: Small) -> float:
    x, y = (np.subtract(s.y, s.y.mean(), dtype=np.float32).ravel() for s in (a, b))
    power = float((x @ x) * (y @ y))
    return float(x @ y) / power**0.5 if power > (FLAT * x.size) ** 2 else 0.0


def _matches(a: Small, b: Small) -> tuple[int, int]:
    """How many corners of ``a`` and ``b`` match, and how many of those one similarity transform explains."""
    (points_a, descriptors_a), (points_b, descriptors_b) = a.corners, b.corners
    if descriptors_a is None or descriptors_b is None:
        return 0, 0
    pairs = _MATCHER.match(descriptors_a, descriptors_b)
    if len(pairs) < 3:
        return len(pairs), 0
    source = points_a[[p.queryIdx for p in pairs]]
    target = points_b[[p.trainIdx for p in pairs]]
    _, inliers = cv2.estimateAffinePartial2D(source, target, ransacReprojThreshold=2.5, maxIters=500)
    return len(pairs), int(inliers.sum()) if inliers is not None else 0
