"""Where the program keeps what it knows, and the few settings that come from the environment.

MONTAGE_AI_HOME      one folder for everything kept (else: the platform's user data and cache folders)
MONTAGE_AI_FFMPEG    "bundled" (the default), "system", or the path of an FFmpeg binary
MONTAGE_AI_CACHE_GB  size of the cache of rendered segments and results (default 10)
"""

from __future__ import annotations

import os
from pathlib import Path

from montage_ai.errors import UserError

APP = "montage-ai"


def data_dir() -> Path:
    """The folder of what is worth keeping: the library of clips, the jobs."""
    return _folder("data", "user_data_path")


def cache_dir() -> Path:
    """The folder of what can be made again: segments, results of tasks."""
    return _folder("cache", "user_cache_path")


def settings_dir() -> Path:
    """The folder of what the user writes: the executors."""
    return _folder("settings", "user_config_path")


def cache_limit() -> int:
    """Bytes that the cache may hold."""
    text = os.environ.get("MONTAGE_AI_CACHE_GB", "10")
    try:
        size = int(float(text) * 1e9)
    except (ValueError, OverflowError):
        size = -1
    if size < 0:
        raise UserError(f"MONTAGE_AI_CACHE_GB is {text!r}.", hint="Give a number of gigabytes, like 10.")
    return size


def ffmpeg_choice() -> str:
    """Which FFmpeg to run: ``bundled``, ``system`` or a path."""
    return os.environ.get("MONTAGE_AI_FFMPEG", "bundled")


def _folder(name: str, platform_folder: str) -> Path:
    home = os.environ.get("MONTAGE_AI_HOME")
    if home:
        folder = _expanded(home) / name
    else:
        import platformdirs  # costs 10 ms: only where no home is named

        folder = Path(getattr(platformdirs, platform_folder)(APP, appauthor=False))
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise UserError(
            f"cannot be made ({error.strerror}).", file=folder, hint="Set MONTAGE_AI_HOME to a folder you may write to."
        ) from error
    return folder


def _expanded(home: str) -> Path:
    try:
        return Path(home).expanduser().absolute()
    except RuntimeError:
        raise UserError(f"MONTAGE_AI_HOME is {home!r}, and there is no such user.", hint="Give a whole path.") from None
