"""What travels to another machine: the worker and all below it, as one zip named by its content."""

from __future__ import annotations

import hashlib
import io
import zipfile
from dataclasses import dataclass
from functools import cache
from importlib import metadata
from pathlib import Path

_TRAVELS = (
    "worker",
    "tasks",
    "models",
    "media",
    "isolation.py",
    "forkserver.py",
    "parallel.py",
    "paths.py",
    "processes.py",
    "config.py",
    "events.py",
    "errors.py",
    "__init__.py",
)
_NEEDED = ("av", "imageio-ffmpeg", "numpy", "opencv-python-headless", "platformdirs", "pydantic", "scipy")
_EPOCH = (1980, 1, 1, 0, 0, 0)


@dataclass(frozen=True)
class Program:
    """The zip's bytes and their SHA-256, and the packages that it needs, as pip wants them."""

    content: bytes
    sha256: str
    requirements: tuple[str, ...]

    @property
    def name(self) -> str:
        """Of the folder that it is unpacked in."""
        return self.sha256[:16]


@cache
def program() -> Program:
    """This program's, the same bytes every time."""
    root = Path(__file__).parents[1]
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(path for name in _TRAVELS for path in _sources(root / name)):
            entry = zipfile.ZipInfo(f"montage_ai/{path.relative_to(root).as_posix()}", _EPOCH)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, path.read_bytes())
    content = packed.getvalue()
    return Program(content, hashlib.sha256(content).hexdigest(), _requirements())


def _sources(path: Path) -> list[Path]:
    return [path] if path.is_file() else list(path.rglob("*.py"))


def _requirements() -> tuple[str, ...]:
    """Of this package's own requirements those that a worker needs."""
    required = metadata.requires("montage-ai") or []
    return tuple(sorted(one for one in required if ";" not in one and _name(one) in _NEEDED))


def _name(requirement: str) -> str:
    for end, letter in enumerate(requirement):
        if not (letter.isalnum() or letter in "-_."):
            return requirement[:end].lower()
    return requirement.lower()
