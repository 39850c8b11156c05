"""How good each moment of a clip is to look at, from its measures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d, uniform_filter1d

from montage_ai.footage.clip import Clip

Series = NDArray[np.float64]

_LONGEST_STEP = 1.0  # seconds from one frame to the next, of which a path is made

SHAKY = 0.005
"""Shake (see ``Moments.shake``) above which a stretch may be worth stabilising: vid.stab then measures it exactly."""


@dataclass(frozen=True)
class Moments:
    """Per frame, shape (frames,): ``quality`` 0 to 1; ``motion`` in picture widths a second; ``shake`` in picture
    widths (RMS of the camera path around its smoothed self); ``faces`` as a share of the picture's height; ``smiles``
    0 or 1; and masks of what makes a frame unusable (``black``) or poor (``blurred``, ``frozen``)."""

    quality: Series
    motion: Series
    shake: Series
    faces: Series
    smiles: Series
    black: NDArray[np.bool_]
    blurred: NDArray[np.bool_]
    frozen: NDArray[np.bool_]


def judge(clip: Clip) -> Moments:
    """Judge every frame of ``clip``."""
    arrays = clip.arrays
    fps = float(clip.info.picture.fps)
    shake = path_shake(clip.times, arrays["dx"], arrays["dy"], fps)
    contrast = arrays["contrast"].astype(np.float64)
    sharpness = _at_frames(clip, arrays["sharpness"]) * _usual_contrast(contrast)
    black = ((arrays["luma"] < 26) & (contrast < 10)) | (contrast < 3)
    blurred = sharpness < 0.35 * np.percentile(sharpness, 75)
    frozen = _frozen(arrays["change"], fps) & (not clip.is_photo)
    faces, smiles = _faces(clip)
    quality = _exposure(clip) * _saturating(sharpness, 0.02) / (1 + (shake / 0.012) ** 2)
    quality = quality * np.where(blurred, 0.5, 1.0) * np.where(frozen, 0.6, 1.0) * np.where(black, 0.0, 1.0)
    return Moments(quality, _motion(clip, fps), shake, faces, smiles, black, blurred, frozen)


def _usual_contrast(contrast: Series) -> Series:
    """What makes sharpness, measured against each frame's own contrast, one against no more than the clip's usual one.

    Something bright that passes adds contrast, and takes nothing from the sharpness of the rest.
    """
    usual = np.minimum(contrast, np.median(contrast))
    return np.asarray((contrast / np.maximum(usual, 1.0)) ** 2)


def path_shake(times: Series, dx: NDArray[np.float32], dy: NDArray[np.float32], fps: float) -> Series:
    """Local RMS over a second of the camera path's distance from the path smoothed over a third of a second.

    ``times`` are those of the frames in seconds, ``dx`` and ``dy`` are in picture widths a frame, and so is the result
    in picture widths; a steady pan has none. The path is looked at in even steps of time, whatever the frames are.
    """
    path = np.cumsum(np.stack([dx, dy]).astype(np.float64), axis=1)
    moments = np.concatenate([[0.0], np.cumsum(np.diff(times).clip(0, _LONGEST_STEP))])
    even = np.arange(round(float(moments[-1]) * fps) + 1) / fps
    path = np.stack([np.interp(even, moments, along) for along in path])
    beyond = min(round(1.5 * fps), path.shape[1] - 1)  # a pan goes on beyond both ends
    extended = np.pad(path, ((0, 0), (beyond, beyond)), mode="reflect", reflect_type="odd")
    smooth = gaussian_filter1d(extended, max(fps / 3, 1.0), axis=1, mode="nearest")
    jitter = path - smooth[:, beyond : beyond + path.shape[1]]
    power = uniform_filter1d((jitter**2).sum(axis=0), max(int(fps), 1), mode="nearest")
    shake = np.sqrt(np.maximum(power, 0))  # a running sum may end a hair below zero
    return np.asarray(np.interp(moments, even, shake))


def _motion(clip: Clip, fps: float) -> Series:
    whole = np.hypot(clip.arrays["dx"], clip.arrays["dy"]) + clip.arrays["subject"]
    return np.asarray(uniform_filter1d(whole.astype(np.float64) * fps, max(int(fps / 2), 1), mode="nearest"))


def _exposure(clip: Clip) -> Series:
    """1 in the middle of the range, falling towards black, white and large clipped areas."""
    luma = clip.arrays["luma"].astype(np.float64)
    middle = np.clip((luma - 16) / 40, 0.1, 1) * np.clip((240 - luma) / 40, 0.1, 1)
    return np.asarray(middle * (1 - 0.6 * np.clip(_at_frames(clip, clip.arrays["clipped"]), 0, 1)))


def _at_frames(clip: Clip, samples: NDArray[np.float32]) -> Series:
    return np.interp(clip.times, clip.arrays["sample_time"], samples)


def _saturating(values: Series, half: float) -> Series:
    return values / (values + half)


def _frozen(change: NDArray[np.float32], fps: float) -> NDArray[np.bool_]:
    """Frames within a run of at least half a second in which nothing changes."""
    still = change < 0.05
    still[0] = still[1] if len(still) > 1 else False  # nothing comes before the first frame
    size = max(int(fps / 2), 2)
    whole = uniform_filter1d(still.astype(np.float64), size, mode="nearest") > 1 - 0.5 / size
    return np.asarray(uniform_filter1d(whole.astype(np.float64), size, mode="nearest") > 0)


def _faces(clip: Clip) -> tuple[Series, Series]:
    """Height of the largest face and whether one smiles, spread over the second that each sample stands for."""
    size, smiles = np.zeros(len(clip.ticks)), np.zeros(len(clip.ticks))
    for face in clip.facts.faces:
        second = np.abs(clip.times - face.time) <= 0.75
        size[second] = np.maximum(size[second], face.height)
        smiles[second] = np.maximum(smiles[second], float(face.smile))
    return size, smiles
