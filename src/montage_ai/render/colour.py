"""A grade as a 3D lookup table, so that however much it does, it costs one filter."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from montage_ai.edit.grade import Grade
from montage_ai.errors import MediaError
from montage_ai.media.files import write_atomically

_VERSION = "1"
_SIZE = 21  # a grade is smooth: this many steps, looked up tetrahedrally, are within half a code value
_SIZE_WITH_LUT = 33
_GAMMA = 2.2
_KNEE = 0.9
_LUMA = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709

Colours = NDArray[np.float64]


def lut_file(grade: Grade, folder: Path) -> Path:
    """The .cube file of ``grade`` in ``folder``, written if it is not there; its name is a digest of the grade."""
    if grade.lut is not None and not grade.lut.is_file():
        raise MediaError(
            "is not there.", file=grade.lut, hint="Put the lookup table back, or make the film without it."
        )
    given = grade.lut.read_bytes() if grade.lut else b""
    numbers = grade.model_dump_json(exclude={"lut"})
    digest = hashlib.sha256(b"\n".join([_VERSION.encode(), numbers.encode(), given])).hexdigest()
    path = folder / f"{digest[:20]}.cube"
    if path.exists():
        path.touch()  # it is in use
    else:
        write_atomically(path, cube_text(apply_grade(_lattice(_SIZE_WITH_LUT if given else _SIZE), grade)))
    return path


def apply_grade(colours: Colours, grade: Grade) -> Colours:
    """``colours``, shape (..., 3), gamma-encoded RGB from 0 to 1, after ``grade``.

    White balance and exposure are multiplied in light (the display's gamma taken as 2.2); contrast turns around
    middle grey; saturation is about BT.709 luma; tints of shadows and highlights fade out towards the other end.
    """
    balance = np.array([1 + 0.3 * grade.temperature, 1 - 0.25 * grade.tint, 1 - 0.3 * grade.temperature])
    gain = 2.0**grade.exposure * balance / (balance @ _LUMA)
    light = np.clip(colours, 0, 1) ** _GAMMA * gain
    out = _shoulder(light ** (1 / _GAMMA), float(gain.max() ** (1 / _GAMMA)))
    out = _contrast(out, grade.contrast)
    luma = (out @ _LUMA)[..., None]
    out = luma + (out - luma) * grade.saturation
    out = out + (1 - luma) ** 2 * np.array(grade.shadows) + luma**2 * np.array(grade.highlights)
    out = np.clip(grade.fade + out * (1 - grade.fade), 0, 1)
    return sample_lut(read_cube(grade.lut), out) if grade.lut else out


def cube_text(table: Colours) -> str:
    """A lattice of shape (n, n, n, 3), indexed blue, green, red, as a .cube file (Adobe's format)."""
    size = table.shape[0]
    lines = "\n".join(f"{r:.6f} {g:.6f} {b:.6f}" for r, g, b in table.reshape(-1, 3).tolist())
    return f"LUT_3D_SIZE {size}\n{lines}\n"


@lru_cache(maxsize=8)
def read_cube(path: Path) -> Colours:
    """The lattice of a .cube file. Raises ``MediaError`` for one that is not valid."""
    if not path.is_file():
        raise MediaError("is not a file.", file=path, hint="Give a .cube file.")
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
        size = next(int(line.split()[1]) for line in lines if line.startswith("LUT_3D_SIZE"))
        rows = [line.split() for line in lines if line and (line[0].isdigit() or line[0] in "-.+")]
        table = np.array(rows, np.float64).reshape(size, size, size, 3)
    except (OSError, UnicodeDecodeError, ValueError, IndexError, StopIteration) as error:
        raise MediaError(
            "is not a 3D .cube file.", file=path, hint="Give a file with LUT_3D_SIZE and its rows."
        ) from error
    return table


def sample_lut(table: Colours, colours: Colours) -> Colours:
    """``colours`` looked up in ``table``, trilinearly."""
    from scipy.ndimage import map_coordinates

    places = np.clip(colours, 0, 1)[..., ::-1].reshape(-1, 3).T * (table.shape[0] - 1)
    channels = [map_coordinates(table[..., c], places, order=1, mode="nearest") for c in range(3)]
    return np.stack(channels, axis=-1).reshape(colours.shape)


def _lattice(size: int) -> Colours:
    axis = np.linspace(0, 1, size)
    blue, green, red = np.meshgrid(axis, axis, axis, indexing="ij")
    return np.stack([red, green, blue], axis=-1)


def _shoulder(values: Colours, white: float) -> Colours:
    """Roll off from 0.9 on, so that ``white``, what exposure made of white, comes out as 1 and nothing is clipped."""
    if white <= 1:
        return values
    over = np.maximum(values - _KNEE, 0)
    return np.minimum(values, _KNEE) + over / (1 + over * (1 / (1 - _KNEE) - 1 / (white - _KNEE)))


def _contrast(values: Colours, factor: float) -> Colours:
    """A curve of slope ``factor`` at middle grey that keeps black and white where they are."""
    pivot = 0.45
    low = pivot * (np.clip(values, 0, pivot) / pivot) ** factor
    high = 1 - (1 - pivot) * ((1 - np.clip(values, pivot, 1)) / (1 - pivot)) ** factor
    return np.where(values < pivot, low, high)
