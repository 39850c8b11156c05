"""Photos: recognised by their content, read upright, in sRGB, with something behind what is transparent."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from montage_ai.errors import MediaError

if TYPE_CHECKING:
    from PIL.Image import Image

Plane = NDArray[np.uint8]

_LARGEST = 100.0
"""Megapixels of the largest photo of a kind that has to be decoded whole: a JPEG may be larger."""

_ENOUGH = 2600
"""Pixels of the shorter side that no film needs more than: larger photos are halved, again and again."""

_MAGIC = (b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"BM", b"II*\x00", b"MM\x00*", b"II+\x00", b"MM\x00+")
_HEIF_BRANDS = frozenset({b"heic", b"heix", b"heim", b"heis", b"mif1", b"mif2", b"avif"})
_DAMAGE = ("premature end of data segment", "bad Huffman code", "Corrupt JPEG data: bad")
_CUT = "Premature end of JPEG file"
_BAND = 256  # rows
_BEHIND = 0.9  # brightness of the blurred copy that stands behind what is transparent
_HINT = "It may be damaged: save it again, or leave it out."


@dataclass(frozen=True)
class PhotoHeader:
    """A photo's format, and its size in pixels as shown: upright."""

    format: str
    width: int
    height: int
    alpha: bool


def is_photo(path: Path) -> bool:
    """Whether the file begins as photos do, whatever it is called. (GIFs may move: they are videos.)"""
    with path.open("rb") as file:
        head = file.read(16)
    if head[:4] == b"RIFF" and head[8:12] == b"WEBP":
        return True
    return head.startswith(_MAGIC) or (head[4:8] == b"ftyp" and head[8:12] in _HEIF_BRANDS)


def read_header(path: Path) -> PhotoHeader:
    """What a photo is, without decoding it. Raises ``MediaError`` for what is none."""
    if (deep := _read_deep_tiff(path)) is not None:
        return PhotoHeader("TIFF", deep.shape[1], deep.shape[0], alpha=False)
    with _opened(path) as photo:
        width, height = photo.size
        if _turn_of(photo) >= 5:
            width, height = height, width
        return PhotoHeader(photo.format or "", width, height, _has_alpha(photo))


def read_photo(path: Path) -> Plane:
    """The photo as (height, width, 3) BGR, 8 bit, upright, in sRGB.

    What is transparent shows a blurred copy of the rest. Large photos come at a half, a quarter or an eighth of their
    size, which is still more than a film shows.

    Raises:
        MediaError: It cannot be decoded, is damaged, or is too large.
    """
    if (deep := _read_deep_tiff(path)) is not None:
        return deep
    with _opened(path) as photo:
        pixels = _decoded(path, photo)
        pixels = _in_srgb(pixels, photo.info.get("icc_profile"))
        return _upright(_over_blurred_copy(pixels), _turn_of(photo))


@contextmanager
def _opened(path: Path) -> Iterator[Image]:
    """The photo as Pillow opens it: its header is read, its pixels are not."""
    from PIL import Image, UnidentifiedImageError

    _register_formats()
    Image.MAX_IMAGE_PIXELS = None  # we have a limit of our own
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path) as photo:
            yield photo
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, EOFError, ZeroDivisionError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = "no known kind of picture"
        raise MediaError(f"cannot be decoded as a photo ({reason}).", file=path, hint=_HINT) from error


def _read_deep_tiff(path: Path) -> Plane | None:
    """A TIFF of a kind that Pillow cannot read, like 16 bit colour, which OpenCV can; None for all else."""
    from PIL import Image, UnidentifiedImageError

    with path.open("rb") as file:
        if file.read(4) not in (b"II*\x00", b"MM\x00*"):
            return None
    try:
        with warnings.catch_warnings(action="ignore"), Image.open(path):
            return None
    except UnidentifiedImageError:
        found = cv2.imdecode(np.fromfile(path, np.uint8), cv2.IMREAD_COLOR)
        return None if found is None else found.astype(np.uint8, copy=False)
    except (OSError, SyntaxError, ValueError):
        return None


def _register_formats() -> None:
    """Let Pillow read HEIC."""
    import pillow_heif

    pillow_heif.register_heif_opener()


def _decoded(path: Path, photo: Image) -> NDArray[Any]:
    """Its pixels, 8 bit: (height, width, 3) BGR, or (height, width, 4) BGRA."""
    divisor = _divisor(photo.size)
    if photo.format in ("JPEG", "MPO") and photo.mode in ("RGB", "L"):
        return _decoded_jpeg(path, photo.size, divisor)
    megapixels = photo.width * photo.height / 1e6
    if megapixels > _LARGEST:
        what = f"has {megapixels:.0f} megapixels, and up to {_LARGEST:.0f} are read of this kind of photo."
        raise MediaError(what, file=path, hint="Save it smaller, or as JPEG.")
    if photo.mode.startswith(("I", "F")):
        deep = np.asarray(photo, np.float64)
        scale = 65535 if photo.mode.startswith("I") else max(float(deep.max(initial=0.0)), 1e-9)
        return cv2.cvtColor((deep.clip(0, scale) * (255 / scale)).astype(np.uint8), cv2.COLOR_GRAY2BGR)
    mode, to_bgr = ("RGBA", cv2.COLOR_RGBA2BGRA) if _has_alpha(photo) else ("RGB", cv2.COLOR_RGB2BGR)
    converted = photo.convert(mode)
    return cv2.cvtColor(np.asarray(converted if divisor == 1 else converted.reduce(divisor)), to_bgr)


def _divisor(size: tuple[int, int]) -> int:
    """By how much a photo of this size is scaled down."""
    return next((by for by in (8, 4, 2) if min(size) // by >= _ENOUGH), 1)


def _decoded_jpeg(path: Path, size: tuple[int, int], divisor: int) -> NDArray[Any]:
    """A JPEG, scaled down by its decoder; damage is noticed.

    libjpeg only warns of damage, and shows grey in its place.
    """
    import simplejpeg

    content = path.read_bytes()
    wanted = {"min_width": size[0] // divisor, "min_height": size[1] // divisor} if divisor > 1 else {}
    try:
        return np.asarray(simplejpeg.decode_jpeg(content, "BGR", strict=True, **wanted))
    except ValueError as error:
        said = str(error)
        damaged = any(sign in said for sign in _DAMAGE)
        pixels = None if damaged else np.asarray(simplejpeg.decode_jpeg(content, "BGR", strict=False, **wanted))
        if pixels is None or (_CUT in said and _ends_blank(pixels)):
            raise MediaError("is damaged: a part of the picture is missing.", file=path, hint=_HINT) from error
        return pixels


def _ends_blank(pixels: NDArray[Any]) -> bool:
    """Whether the last rows hold one colour, as they do where a JPEG was cut off."""
    tail = pixels[-8:]
    return bool((tail == tail[-1, -1]).all())


def _has_alpha(photo: Image) -> bool:
    return photo.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in photo.info


def _in_srgb(pixels: NDArray[Any], profile: bytes | None) -> NDArray[Any]:
    """Colours of another space (phones have Display P3) converted; without a profile that can be read, as they are."""
    if not profile:
        return pixels
    from PIL import Image, ImageCms

    try:
        given = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if given.profile.xcolor_space.strip() != "RGB" or "srgb" in ImageCms.getProfileDescription(given).lower():
            return pixels
        rgb = Image.fromarray(np.ascontiguousarray(pixels[:, :, 2::-1]))
        ImageCms.profileToProfile(rgb, given, ImageCms.createProfile("sRGB"), inPlace=True)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError):
        return pixels
    return np.dstack([np.asarray(rgb)[:, :, ::-1], pixels[:, :, 3:]])


def _over_blurred_copy(pixels: NDArray[Any]) -> Plane:
    """Something behind what is transparent: the rest, blurred. What colour it hides there is nobody's business."""
    if pixels.shape[2] == 3 or (pixels[:, :, 3] == 255).all():
        return np.ascontiguousarray(pixels[:, :, :3])
    scale = 64 / max(pixels.shape[:2])
    size = (max(1, round(pixels.shape[1] * scale)), max(1, round(pixels.shape[0] * scale)))
    shown = np.empty((*pixels.shape[:2], 3), np.uint8)
    for band in _bands(pixels.shape[0]):  # in real numbers a whole photo would take a gigabyte
        shown[band] = (pixels[band, :, :3] * (pixels[band, :, 3:].astype(np.float32) / 255)).round()
    small = cv2.resize(shown, size, interpolation=cv2.INTER_AREA).astype(np.float32)
    weight = cv2.resize(pixels[:, :, 3], size, interpolation=cv2.INTER_AREA).astype(np.float32) / 255
    for sigma in (6, 20, 60):  # farther from anything opaque, from farther away
        near = cv2.GaussianBlur(weight, (0, 0), sigma)
        fill = cv2.GaussianBlur(small, (0, 0), sigma) / np.maximum(near, 1e-4)[:, :, None]
        if float(near.min()) > 0.01:
            break
    behind = cv2.resize((fill * _BEHIND).clip(0, 255).astype(np.uint8), pixels.shape[1::-1])
    for band in _bands(pixels.shape[0]):
        clear = 1 - pixels[band, :, 3:].astype(np.float32) / 255
        shown[band] = (shown[band] + behind[band] * clear).round().clip(0, 255)
    return shown


def _bands(height: int) -> list[slice]:
    return [slice(top, min(top + _BAND, height)) for top in range(0, height, _BAND)]


def _turn_of(photo: Image) -> int:
    """EXIF's orientation, 1 to 8; HEIC is turned by its own decoder."""
    if photo.format == "HEIF":
        return 1
    try:
        found = int(photo.getexif().get(0x0112, 1))
    except (ValueError, TypeError, SyntaxError, OSError, KeyError):
        return 1
    return found if 1 <= found <= 8 else 1


def _upright(picture: Plane, turn: int) -> Plane:
    """What EXIF's orientation says, undone."""
    if turn in (2, 4, 5, 7):
        picture = np.asarray(cv2.flip(picture, 0 if turn == 4 else 1), np.uint8)
    turns = {3: cv2.ROTATE_180, 6: cv2.ROTATE_90_CLOCKWISE, 8: cv2.ROTATE_90_COUNTERCLOCKWISE}
    turns |= {5: cv2.ROTATE_90_COUNTERCLOCKWISE, 7: cv2.ROTATE_90_CLOCKWISE}
    return np.asarray(cv2.rotate(picture, turns[turn]), np.uint8) if turn in turns else picture
