"""A grade as a 3D lookup table, so that however much it does, it costs one filter."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from montage_ai.edit.grade import Grade
from montage_ai.errors import MediaError

_VERSION = "1"
_LARGEST_CUBE = 129
_SIZE = 21  # a grade is smooth: this many steps, looked up tetrahedrally, are within half a code value
_SIZE_WITH_LUT = 33
_GAMMA = 2.2
_KNEE = 0.9
_LUMA = np.array([0.2126, 0.7152, 0.0722])  # ITU-R BT.709

Colours = NDArray[np.float64]


def cube_digest(grade: Grade) -> str:
    """A digest of all that ``cube_of`` depends on."""
    numbers = grade.model_dump_json(exclude={"lut"})
    return hashlib.sha256(b"\n".join([_VERSION.encode(), numbers.encode(), _given(grade)])).hexdigest()


def cube_of(grade: Grade) -> str:
    """``grade`` as the text of a .cube file."""
    return cube_text(apply_grade(_lattice(_SIZE_WITH_LUT if grade.lut else _SIZE), grade))


def _given(grade: Grade) -> bytes:
    """The lookup table that is applied last."""
    if grade.lut is None:
        return b""
    try:
        return grade.lut.read_bytes()
    except OSError as error:
        hint = "Put the lookup table back, or make the film without it."
        raise MediaError(f"cannot be read ({error.strerror}).", file=grade.lut, hint=hint) from error


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
        return _parsed_cube(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, ValueError, IndexError, MemoryError) as error:
        what = f"is not a 3D .cube file ({str(error).splitlines()[0] if str(error) else 'no lattice'})."
        raise MediaError(what, file=path, hint="Give a file with LUT_3D_SIZE and its rows.") from error


def _parsed_cube(text: str) -> Colours:
    """The lattice in the text of a .cube file. Raises ``ValueError`` for what would not give a picture."""
    size, domain, rows = 0, [[0.0] * 3, [1.0] * 3], list[list[str]]()
    for line in filter(None, map(str.strip, text.splitlines())):
        words = line.split()
        if words[0] == "LUT_3D_SIZE":
            size = int(words[1])
        elif words[0] in ("DOMAIN_MIN", "DOMAIN_MAX"):
            domain[words[0] == "DOMAIN_MAX"] = [float(word) for word in words[1:4]]
        elif line[0].isdigit() or line[0] in "-.+":
            rows.append(words)
    if not 2 <= size <= _LARGEST_CUBE:
        raise ValueError(f"its size is {size}, not 2 to {_LARGEST_CUBE}")
    if domain != [[0.0] * 3, [1.0] * 3]:
        raise ValueError("its domain is not 0 to 1")
    table = np.array(rows, np.float64).reshape(size, size, size, 3)
    if not np.isfinite(table).all():
        raise ValueError("it holds values that are no numbers")
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
