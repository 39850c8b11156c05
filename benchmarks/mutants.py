"""Damaged files made to measure: bits flipped, ends cut, sizes in headers grown, parts of other files put in."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np

from benchmarks.measuring import ffmpeg, run

_PICTURE = ("-f", "lavfi", "-i", "testsrc2=s=320x180:r=25:d=1.5")
_TONE = ("-f", "lavfi", "-i", "sine=440:d=1.5")
_X264 = ("-c:v", "libx264", "-preset", "veryfast", "-pix_fmt", "yuv420p", "-g", "12")

_SEEDS: dict[str, Sequence[str]] = {
    "h264.mp4": (*_PICTURE, *_TONE, *_X264, "-c:a", "aac", "-movflags", "+faststart"),
    "h264.ts": (*_PICTURE, *_TONE, *_X264, "-c:a", "mp2"),
    "hevc.mkv": (*_PICTURE, "-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=error"),
    "vp9.webm": (*_PICTURE, *_TONE, "-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-c:a", "libopus"),
    "mjpeg.avi": (*_PICTURE, *_TONE, "-c:v", "mjpeg", "-c:a", "pcm_s16le"),
    "mpeg2.mpg": (*_PICTURE, *_TONE, "-c:v", "mpeg2video", "-c:a", "mp2"),
    "prores.mov": (*_PICTURE, "-t", "0.4", "-c:v", "prores_ks"),
    "moving.gif": (*_PICTURE, "-t", "0.6", "-vf", "scale=160:-1"),
    "raw.h264": (*_PICTURE, *_X264, "-f", "h264"),
}
_PHOTOS = (".jpg", ".png", ".webp", ".tif", ".bmp")


def write_seeds(folder: Path) -> list[Path]:
    """Small whole files of many formats in ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, arguments in _SEEDS.items():
        run(ffmpeg(*arguments, f"file:{folder / name}"))
    rng = np.random.default_rng(0)
    photo = cv2.GaussianBlur(rng.integers(0, 255, (180, 320, 3)).astype(np.uint8), (0, 0), 3)
    for suffix in _PHOTOS:
        cv2.imencode(suffix, photo)[1].tofile(folder / f"photo{suffix}")
    return sorted(folder.iterdir())


def mutants(seeds: Sequence[Path], count: int, seed: int = 0) -> Iterator[tuple[str, bytes]]:
    """``count`` damaged files as (name, content); the same for the same ``seed``."""
    contents = {path: path.read_bytes() for path in seeds}
    for number in range(count):
        rng = random.Random(f"{seed} {number}")
        path = rng.choice(seeds)
        way = rng.choice(_WAYS)
        other = contents[rng.choice(seeds)]
        yield f"{number:04}_{way.__name__.strip('_')}_{path.name}", way(contents[path], other, rng)


def _flipped(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Some bits, anywhere."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 5, 50))):
        changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _flipped_head(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """Some bits of the headers."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 4, 20))):
        changed[rng.randrange(min(1500, len(changed)))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """The beginning alone, or the end."""
    at = rng.randrange(len(content))
    return content[:at] if rng.random() < 0.7 else content[at:]


def _grown(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """A size, a length or a number in the headers that is as large as can be."""
    changed = bytearray(content)
    for _ in range(rng.choice((1, 2, 3))):
        at = rng.randrange(min(3000, len(changed)))
        changed[at : at + rng.choice((1, 2, 4))] = b"\xff" * 4
    return bytes(changed)


def _mixed(content: bytes, other: bytes, rng: random.Random) -> bytes:
    """A piece of another file, or of noise, in the middle."""
    at, size = rng.randrange(len(content)), rng.randrange(1, 5000)
    piece = other[:size] if rng.random() < 0.5 else rng.randbytes(size)
    return content[:at] + piece + content[at + (size if rng.random() < 0.5 else 0) :]


_WAYS: tuple[Callable[[bytes, bytes, random.Random], bytes], ...] = (_flipped, _flipped_head, _cut, _grown, _mixed)
