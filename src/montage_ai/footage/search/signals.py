"""What was measured at every frame of a clip, by the names that the vocabulary knows."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from montage_ai.footage.clip import Clip
from montage_ai.footage.quality import judge
from montage_ai.footage.sounds import SILENCE
from montage_ai.media.speech import WINDOW

Series = NDArray[np.float64]


def signals(clip: Clip) -> dict[str, Series]:
    """Each signal of ``words.toml``, shape (frames,); ``quality`` is 0 to 1, and 0 where nothing is to be seen."""
    moments, arrays = judge(clip), clip.arrays
    picture, fps = clip.info.picture, float(clip.info.picture.fps)
    pan = np.abs(uniform_filter1d(arrays["dx"].astype(np.float64) * fps, max(int(fps), 1), mode="nearest"))
    sharpness = _at_frames(clip, "sharpness")
    return {
        "quality": moments.quality,
        "faces": moments.faces,
        "smiles": moments.smiles,
        "motion": moments.motion,
        "pan": pan,
        "shake": moments.shake,
        "light": arrays["luma"].astype(np.float64),
        "contrast": arrays["contrast"].astype(np.float64),
        "colour": _at_frames(clip, "saturation"),
        "red": _at_frames(clip, "warmth"),
        "blue": _at_frames(clip, "tint"),
        "sharp": sharpness / max(float(np.percentile(sharpness, 75)), 1e-9),
        "sound": _heard(clip, "level", SILENCE),
        "speech": _heard(clip, "speech", 0.0),
        "photo": np.full(len(clip.ticks), float(clip.is_photo)),
        "upright": np.full(len(clip.ticks), float(picture.height > picture.width)),
    }


def _heard(clip: Clip, name: str, without: float) -> Series:
    """What was measured on the sound, and ``without`` where there is none."""
    values = clip.arrays.get(name, np.array([without], np.float32))
    return np.interp(clip.times, (np.arange(len(values)) + 0.5) * WINDOW, values)


def _at_frames(clip: Clip, name: str) -> Series:
    return np.interp(clip.times, clip.arrays["sample_time"], clip.arrays[name])
