"""``doctor``: is everything here that the program needs?"""

from __future__ import annotations

import platform
import shutil
from typing import TYPE_CHECKING, Annotated

import typer

from montage_ai import __version__
from montage_ai.cli.display import print_json
from montage_ai.errors import MontageError, UserError
from montage_ai.events import counted

if TYPE_CHECKING:
    from collections.abc import Callable

_FILTERS = ("xfade", "lut3d", "ebur128", "alimiter", "zscale", "tonemap")
_LEAST_DISK = 2e9
_EXTRAS = {"ssh": "asyncssh", "jupyter": "httpx", "cgpu": "websockets", "ray": "ray", "semantic": "transformers"}


def doctor(json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Check this machine: FFmpeg and its filters, the databases, the settings, the disk."""
    checks: dict[str, Callable[[], str]] = {
        "montage-ai": lambda: __version__,
        "Python": platform.python_version,
        "processors": _processors,
        "FFmpeg": _ffmpeg,
        "FFmpeg's filters": _filters,
        "library": _library,
        "jobs": _jobs,
        "cache": _cache,
        "executors": _executors,
        "extras": _extras,
    }
    failed = False
    for name, check in checks.items():
        try:
            said, good = check(), True
        except MontageError as error:
            said, good, failed = str(error), False, True
        if json:
            print_json("check", name=name, ok=good, found=said)
        else:
            typer.echo(f"{'ok  ' if good else 'FAIL'}  {name}: {said}")
    if failed:
        raise typer.Exit(2)


def _processors() -> str:
    from montage_ai.parallel import cores

    return f"{cores()}, {platform.machine()}"


def _ffmpeg() -> str:
    from montage_ai.media.ffmpeg import ffmpeg_path, ffmpeg_version

    return f"{ffmpeg_version()} ({ffmpeg_path()})"


def _filters() -> str:
    from montage_ai.media import vidstab
    from montage_ai.media.ffmpeg import ffmpeg_filters, ffmpeg_path, ffmpeg_with

    missing = set(_FILTERS) - ffmpeg_filters()
    if missing:
        hint = "Unset MONTAGE_AI_FFMPEG to use the FFmpeg that came with this package."
        raise UserError(f"FFmpeg lacks {', '.join(sorted(missing))}.", hint=hint)
    if ffmpeg_with(*vidstab.FILTERS) != ffmpeg_path():
        return "all there; to stabilise, the bundled FFmpeg is used: this one lacks options of vid.stab"
    return "all there"


def _library() -> str:
    from montage_ai import config
    from montage_ai.footage.library import Library

    with Library(config.data_dir()) as library:
        return str(library.path)


def _jobs() -> str:
    from montage_ai import config
    from montage_ai.offload.store import Store

    store = Store(config.data_dir())
    try:
        return f"{store.path}, {counted(len(store.unfinished()), 'unfinished job')}"
    finally:
        store.close()


def _executors() -> str:
    from montage_ai.offload.settings import load_settings, settings_file

    names = ", ".join(load_settings().executors)
    return f"{names} ({settings_file()})" if names else "none: all work is done on this machine"


def _extras() -> str:
    from importlib.util import find_spec

    there = [name for name, module in _EXTRAS.items() if find_spec(module) is not None]
    lacking = [name for name in _EXTRAS if name not in there]
    said = f"{', '.join(there) or 'none'} installed"
    return said + (f"; for {', '.join(lacking)}: pip install 'montage-ai[all]'" if lacking else "")


def _cache() -> str:
    from montage_ai import config

    folder = config.cache_dir()
    free = shutil.disk_usage(folder).free
    if free < _LEAST_DISK:
        raise UserError(f"only {free / 1e9:.1f} GB are free.", file=folder, hint="Free some space.")
    return f"{folder} ({free / 1e9:.0f} GB free, at most {config.cache_limit() / 1e9:.0f} GB used)"
