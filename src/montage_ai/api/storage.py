"""What the program keeps: where, how large it is, and removing what can be made again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from montage_ai import config
from montage_ai.errors import UserError
from montage_ai.offload.attempted import remove_abandoned
from montage_ai.offload.cache import is_used, prune
from montage_ai.offload.store import Store

_LIBRARY = ("library.sqlite", "library.sqlite-wal", "library.sqlite-shm")
_MEANT = {
    "library.sqlite": "what is known of your footage and music",
    "jobs.sqlite": "jobs, measured times, consents",
    "jobs": "files of unfinished jobs",
    "cgpu": "the login of cgpu, as it was last seen",
    "styles": "your own styles",
    "segments": "rendered segments of films",
    "sound": "rendered sound",
    "results": "results of heavy steps",
    "packs": "small pictures for models",
    "rebuilt": "copies of clips whose time stamps are put in order",
    "scratch": "files that are used while rendering",
    "fetched": "which models were downloaded",
    "checked": "which models passed their checks",
    "runs": "which programs run now",
}


@dataclass(frozen=True)
class Kept:
    """Something that is kept: a file or folder, its size in bytes, and whether the program can make it again."""

    path: Path
    size: int
    meaning: str
    can_be_made_again: bool


def storage() -> list[Kept]:
    """All that is kept on this machine, the largest of each folder first."""
    cache, found = config.cache_dir(), list[Kept]()
    folders = list(dict.fromkeys((cache, config.data_dir(), config.settings_dir())))  # some systems have one for all
    for folder in folders:
        entries = [_kept(entry, folder == cache) for entry in _entries(folder) if entry not in folders]
        found += sorted(entries, key=lambda kept: -kept.size)
    return found


def clean(*, library: bool = False) -> int:
    """Remove what can be made again, but for what a running program uses; return the bytes that are free now.

    Args:
        library: Also forget what is known of footage and music, which is looked at again when it is used.

    Raises:
        UserError: The library is to be forgotten while a program uses it.
    """
    cache = config.cache_dir()
    if library and is_used(cache):
        raise UserError("A program of montage-ai is running.", hint="Let it end, or leave out --library.")
    before = sum(kept.size for kept in storage())
    prune(cache, [entry for entry in cache.iterdir() if entry.is_dir() and entry.name != "runs"], 0)
    if library:
        for name in _LIBRARY:
            (config.data_dir() / name).unlink(missing_ok=True)
    if (config.data_dir() / "jobs").is_dir():
        forget_jobs(before=0.0)
    return max(0, before - sum(kept.size for kept in storage()))


def forget_jobs(before: float) -> tuple[int, int]:
    """Forget jobs that ended before a time in Unix seconds, and remove the files of all that have ended.

    Returns how many were forgotten, and the bytes that are free now.
    """
    store = Store(config.data_dir())
    try:
        return store.forget(before), remove_abandoned(config.data_dir() / "jobs", store.unfinished)
    finally:
        store.close()


def _entries(folder: Path) -> Iterator[Path]:
    """What lies in ``folder``; what belongs to a database goes with it."""
    return (entry for entry in folder.iterdir() if not entry.name.endswith(("-wal", "-shm")))


def _kept(entry: Path, can_be_made_again: bool) -> Kept:
    files = entry.rglob("*") if entry.is_dir() else [entry, *entry.parent.glob(f"{entry.name}-*")]
    size = 0
    for file in files:
        try:
            size += file.stat().st_size if file.is_file() else 0
        except OSError:  # another program has removed it meanwhile
            continue
    meaning = _MEANT.get(entry.name, "your executors" if entry.suffix == ".toml" else "")
    return Kept(entry, size, meaning, can_be_made_again)
