"""How well a clip was stabilised: the measures of the literature.

- Stability, cropping ratio and distortion value: Liu, Yuan, Tan and Sun, "Bundled camera paths for video
  stabilization" (ACM Trans. Graph. 32(4), SIGGRAPH 2013), section 6, in the reading of Choi and Kweon, "Deep
  iterative frame interpolation for full-frame video stabilization" (ACM Trans. Graph. 39(1), 2020).
- ITF, inter-frame transformation fidelity: Marcenaro, Vernazza and Regazzoni, "Image stabilization algorithms for
  video-surveillance applications" (ICIP 2001); the mean PSNR between consecutive frames.

Homographies are (..., 3, 3) float64 arrays that map points from the centre of the picture, in picture widths.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict

from montage_ai.errors import MediaError, WorkError
from montage_ai.media.decode import Frame, decode_pass, turn
from montage_ai.media.photos import Plane
from montage_ai.media.probe import probe

Reals = NDArray[np.float64]

IDENTICAL_PSNR = 100.0
"""Decibels that two identical pictures count as, whose PSNR is infinite."""

_UNSEEN = 3e-4  # widths or radians, RMS: what is no more than the error of measuring
_SIDE = 640
_TRACKED = 200
_DESCRIBED = 500
_ENOUGH = 8


class StabilizationMetrics(BaseModel):
    """How steady a clip is, and what that cost."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    stability: float
    """0 to 1, higher is steadier: see ``stability_score``."""
    cropping_ratio: float
    """0 to 1: how much of the recorded width is still seen, the mean of all frames."""
    distortion: float
    """0 to 1, 1 for none: the least ratio of the two stretches of a frame."""
    itf: float
    """Decibels: the mean PSNR between consecutive frames of the stabilised clip."""


def measure(original: Path, stabilized: Path) -> StabilizationMetrics:
    """Measure ``stabilized``, a clip made from all frames of ``original``.

    Raises ``MediaError`` where the two do not have the same number of frames, ``WorkError`` where no frame of one
    can be found again in the other.
    """
    before, after = observe(original, track=False), observe(stabilized)
    if before.frames != after.frames:
        raise MediaError(f"has {after.frames} frames, the original {before.frames}.", file=stabilized)
    pairs = zip(before.features, after.features, strict=True)
    found = [homography for old, new in pairs if (homography := match(old, new)) is not None]
    if not found:
        raise WorkError("does not look like the original in any frame.", file=stabilized)
    changes = np.stack(found)
    return StabilizationMetrics(
        stability=stability_score(after.steps),
        cropping_ratio=cropping_ratio(changes),
        distortion=distortion_value(changes),
        itf=after.itf,
    )


def stability_score(steps: Reals) -> float:
    """The share of slow movement in a camera's path, from the (N, 3, 3) homographies between consecutive frames.

    The path is the running sum of the steps' translations of the centre (x and y together) and of their rotations.
    Of each, the energy of the 2nd to 6th frequency of its Fourier transform is divided by the energy of all but the
    first (the mean); the smaller of the two quotients is the score. Movement too small to be seen is perfectly steady.
    The frequencies are multiples of 1 / length, so scores only compare between clips of one length.
    """
    if not len(steps):
        return 1.0
    moves, angles = translations(steps), rotations(steps)
    start = np.zeros(1)
    return min(
        _slow_share(np.cumsum(np.concatenate((start, signal)), dtype=np.complex128)) for signal in (moves, angles)
    )


def translations(homographies: Reals) -> NDArray[np.complex128]:
    """Where each homography moves the centre of the picture: complex (N,), in widths."""
    scale = homographies[..., 2, 2]
    return np.asarray((homographies[..., 0, 2] + 1j * homographies[..., 1, 2]) / scale, np.complex128)


def rotations(homographies: Reals) -> Reals:
    """The angle of the rotation nearest to each homography's affine part: (N,), radians."""
    a, b, c, d = (homographies[..., i, j] for i in range(2) for j in range(2))
    return np.asarray(np.arctan2(c - b, a + d), np.float64)


def cropping_ratio(changes: Reals) -> float:
    """The mean of 1 / scale of the (N, 3, 3) homographies from original to stabilised frames; at most 1."""
    scales = np.sqrt(np.abs(np.linalg.det(_affine(changes))))
    return min(1.0, float(np.mean(1 / scales)))


def distortion_value(changes: Reals) -> float:
    """The least ratio of the smaller to the larger stretch of the affine parts of (N, 3, 3) homographies.

    Stretches are singular values: the published eigenvalues, except that turning a picture is no distortion.
    """
    stretches = np.linalg.svd(_affine(changes), compute_uv=False)
    return float((stretches[..., 1] / stretches[..., 0]).min())


def psnr(first: Plane, second: Plane) -> float:
    """The peak signal-to-noise ratio of two 8-bit pictures, in decibels, at most ``IDENTICAL_PSNR``."""
    error = float(np.mean(np.square(first.astype(np.float32) - second)))
    return min(IDENTICAL_PSNR, 10 * math.log10(255**2 / error)) if error else IDENTICAL_PSNR


@dataclass(frozen=True, slots=True, eq=False)
class Features:
    """ORB features of a frame: ``points`` (n, 2) from the centre in widths, ``descriptors`` (n, 32)."""

    points: NDArray[np.float32]
    descriptors: Plane


@dataclass(frozen=True, slots=True, eq=False)
class Observed:
    """What was seen in a clip: ``steps`` (frames - 1, 3, 3) from each frame to the next, ``itf`` in decibels."""

    features: tuple[Features, ...]
    steps: Reals
    itf: float

    @property
    def frames(self) -> int:
        return len(self.features)


def observe(path: Path, *, track: bool = True) -> Observed:
    """Look at all frames of a clip; without ``track`` its ``steps`` are empty."""
    info = probe(path)
    observer = _Observer(info.picture.rotation, info.picture.mirrored, track)
    decode_pass(info, [observer])
    steps = np.array(observer.steps, np.float64).reshape(-1, 3, 3)
    itf = float(np.mean(observer.fidelities)) if observer.fidelities else IDENTICAL_PSNR
    return Observed(tuple(observer.features), steps, itf)


def match(first: Features, second: Features, *, rigid: bool = False) -> Reals | None:
    """The homography (3, 3) from one frame's features to another's, None where too few agree.

    ``rigid`` looks for a similarity only: steadier where no other change is expected.
    """
    if min(len(first.points), len(second.points)) < _ENOUGH:
        return None
    matches = cv2.BFMatcher(cv2.NORM_HAMMING, crossCheck=True).match(first.descriptors, second.descriptors)
    here = first.points[[m.queryIdx for m in matches]]
    there = second.points[[m.trainIdx for m in matches]]
    if rigid:
        return _similarity(here, there, 3.0 / _SIDE, _ENOUGH)
    return _homography(here, there, 2.0 / _SIDE)


class _Observer:
    """A consumer of the decode pass that follows points from frame to frame."""

    def __init__(self, rotation: int, mirrored: bool, track: bool) -> None:
        self.rotation, self.mirrored = rotation, mirrored
        self.track = track
        self.steps: list[Reals] = []
        self.fidelities: list[float] = []
        self.features: list[Features] = []
        self._orb = cv2.ORB.create(nfeatures=_DESCRIBED, fastThreshold=10)
        self._last: Plane | None = None

    def push(self, frame: Frame) -> None:
        picture = _small(turn(frame.full_luma(), self.rotation, self.mirrored)).copy()
        keypoints, descriptors = self._orb.detectAndCompute(picture, None)
        places = np.array([k.pt for k in keypoints], np.float32).reshape(-1, 2)
        described = np.zeros((0, 32), np.uint8) if descriptors is None else np.asarray(descriptors, np.uint8)
        self.features.append(Features(_centred(places, picture), described))
        if self._last is not None and self.track:
            self.fidelities.append(psnr(self._last, picture))
            self.steps.append(self._step(self._last, picture))
        self._last = picture

    def _step(self, before: Plane, after: Plane) -> Reals:
        """The step (3, 3) to this picture: by following corners, across a jump by features, else none at all."""
        step = _followed(before, after)
        if step is None:
            step = match(self.features[-2], self.features[-1], rigid=True)
        return np.eye(3) if step is None else step


def _followed(before: Plane, after: Plane) -> Reals | None:
    """The similarity (3, 3) from one picture to the next by optical flow, None where most corners are lost."""
    corners = np.asarray(cv2.goodFeaturesToTrack(before, _TRACKED, 0.01, 8), np.float32)  # NaN where it finds none
    if corners.ndim != 3:
        return None
    moved, found, _ = cv2.calcOpticalFlowPyrLK(before, after, corners, corners.copy(), winSize=(15, 15), maxLevel=4)
    kept = found.ravel() > 0
    here, there = (_centred(np.asarray(points, np.float32)[kept].reshape(-1, 2), before) for points in (corners, moved))
    return _similarity(here, there, 1.0 / _SIDE, max(_ENOUGH, round(0.4 * len(corners))))


def _similarity(here: NDArray[np.float32], there: NDArray[np.float32], tolerance: float, enough: int) -> Reals | None:
    """The robust similarity (3, 3) between two sets of points, None where fewer than ``enough`` agree."""
    if len(here) < enough:
        return None
    found, inliers = cv2.estimateAffinePartial2D(here, there, method=cv2.RANSAC, ransacReprojThreshold=tolerance)
    if found is None or int(inliers.sum()) < enough:
        return None
    return np.vstack([found, [0.0, 0.0, 1.0]]).astype(np.float64)


def _homography(here: NDArray[np.float32], there: NDArray[np.float32], tolerance: float) -> Reals | None:
    if len(here) < _ENOUGH:
        return None
    found, inliers = cv2.findHomography(here, there, cv2.RANSAC, tolerance, maxIters=1000, confidence=0.995)
    return None if found is None or int(inliers.sum()) < _ENOUGH else np.asarray(found, np.float64)


def _small(picture: Plane) -> Plane:
    height, width = picture.shape
    scale = min(1.0, _SIDE / max(width, height))
    if scale == 1.0:
        return picture
    size = (round(width * scale), round(height * scale))
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _centred(points: NDArray[np.float32], picture: Plane) -> NDArray[np.float32]:
    height, width = picture.shape
    return np.asarray((points - np.array([width / 2, height / 2])) / width, np.float32)


def _affine(homographies: Reals) -> Reals:
    return np.asarray(homographies[..., :2, :2] / homographies[..., 2:, 2:], np.float64)


def _slow_share(signal: NDArray[np.complex128]) -> float:
    """The energy of the 2nd to 6th frequency over that of all but the first, of a signal (N,)."""
    energy = np.abs(np.fft.fft(signal)) ** 2
    count = len(signal) // 2
    positive, negative = energy[1 : count + 1], energy[::-1][:count]
    both = positive + negative
    total = float(both.sum())
    return float(both[:5].sum()) / total if math.sqrt(total) > _UNSEEN * len(signal) else 1.0
