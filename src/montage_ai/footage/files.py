"""Finding footage in folders, and telling it from what cameras, systems and other programs keep beside it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from montage_ai import config
from montage_ai.errors import UserError
from montage_ai.media.probe import AUDIO_SUFFIXES, PHOTO_SUFFIXES, VIDEO_SUFFIXES

FOOTAGE_SUFFIXES = PHOTO_SUFFIXES | VIDEO_SUFFIXES

_NOT_FOOTAGE = frozenset(
    {"@eadir", "#recycle", "$recycle.bin", "system volume information", "__macosx", "lost+found"}  # systems and servers
    | {"thmbnl", "thumbnails", "thumbs"}  # small pictures
    | {"render files", "cacheclip", "optimizedmedia", "media cache", "media cache files"}  # editors
    | {"adobe premiere pro video previews", "adobe premiere pro audio previews", "adobe premiere pro auto-save"}
)
_ORIGINALS = {  # libraries of other programs: the folders in them that hold what was imported
    ".photoslibrary": ("originals", "masters"),
    ".photolibrary": ("originals", "masters"),
    ".aplibrary": ("masters",),
    ".fcpbundle": None,  # events are folders in it, see ``_COPIES``
    ".imovielibrary": None,
    ".lrdata": (),
    ".tvlibrary": (),
}
_COPIES = frozenset({"transcoded media", "render files", "analysis files", "shared items", "proxy media", "__temp"})
_PROXY_FOLDERS = frozenset({"proxy", "proxies", "sub", "proxymedia"})


@dataclass(frozen=True)
class Skipped:
    """A file or folder that was left out, and why."""

    path: Path
    reason: str


@dataclass
class FoundFiles:
    """The ``files`` that may be footage; what was ``skipped``; and how many of ``other_kinds``, by suffix."""

    files: dict[Path, None] = field(default_factory=dict)
    skipped: list[Skipped] = field(default_factory=list)
    proxies: int = 0
    other_kinds: Counter[str] = field(default_factory=Counter)


def find_files(places: Iterable[Path]) -> FoundFiles:
    """The videos and photos in folders (all the way down, hidden ones left out) and the files named one by one.

    Linked folders are followed, each folder is looked into once. Raises ``UserError`` for a place that does not exist.
    """
    found = FoundFiles()
    for place in places:
        if not place.exists():
            raise UserError("does not exist.", file=place, hint="Name a folder of footage, or files.")
        place = place.absolute()  # so that a timeline can be rendered from any folder
        if place.is_dir():
            _look_into(place, found)
        else:
            found.files[place] = None
    return found


def _look_into(folder: Path, found: FoundFiles) -> None:
    """Add what ``folder`` holds, in the order of names."""
    own = {config.data_dir(), config.cache_dir()}
    seen, waiting = set[tuple[int, int]](), [folder]
    while waiting:
        place = waiting.pop()
        try:
            stat = place.stat()
            if (stat.st_dev, stat.st_ino) in seen or place in own:
                continue
            seen.add((stat.st_dev, stat.st_ino))
            with os.scandir(place) as listing:
                entries = sorted(listing, key=lambda entry: entry.name)
            folders = [Path(entry.path) for entry in entries if entry.is_dir()]
            names = {entry.name for entry in entries if entry.is_file()}
        except OSError as error:
            found.skipped.append(Skipped(place, f"cannot be looked into ({error.strerror})"))
            continue
        waiting += reversed([inner for inner in folders if _may_hold_footage(inner)])
        for name in sorted(names):
            _add(place, name, names, found)


def _may_hold_footage(folder: Path) -> bool:
    name = folder.name.lower()
    if name.startswith(".") or name in _NOT_FOOTAGE:
        return False
    kept = _ORIGINALS.get(folder.parent.suffix.lower())
    if kept is not None:
        return name in kept
    return not (name in _COPIES and any(parent.suffix.lower() in _ORIGINALS for parent in folder.parents))


def _add(folder: Path, name: str, names: set[str], found: FoundFiles) -> None:
    """Add one of the files of a folder, which are called ``names``."""
    suffix = Path(name).suffix.lower()
    if name.startswith("."):
        return
    if suffix not in FOOTAGE_SUFFIXES:
        if suffix not in AUDIO_SUFFIXES:
            found.other_kinds[suffix or "without a suffix"] += 1
        return
    if folder.suffix.lower() in _ORIGINALS:  # a library's own pictures
        return
    if _is_proxy(folder, name, names):
        found.proxies += 1
        return
    found.files[folder / name] = None


def _is_proxy(folder: Path, name: str, names: set[str]) -> bool:
    """Whether it is a small copy that a camera or an editor made of a clip that is there."""
    stem, suffix = Path(name).stem, Path(name).suffix.lower()
    if suffix in (".lrv", ".lrf"):  # GoPro: GL010001.LRV of GX010001.MP4; DJI: DJI_0001.LRF of DJI_0001.MP4
        ends = {Path(other).stem[2:].lower() for other in names if Path(other).suffix.lower() in (".mp4", ".mov")}
        return stem[2:].lower() in ends
    if stem.lower().startswith("lrv_"):  # Insta360: LRV_... of VID_...
        return any(other.lower().startswith(("vid_", "pro_vid_")) for other in names)
    bare = stem[: -len("_proxy")].lower() if stem.lower().endswith(("_proxy", "-proxy")) else None
    if bare is not None:
        return bare in {Path(other).stem.lower() for other in names} | _stems_beside(folder)
    if folder.name.lower() in _PROXY_FOLDERS:  # Sony: SUB/C0001S03.MP4 of CLIP/C0001.MP4
        originals = _stems_beside(folder)
        return stem.lower() in originals or stem.lower().removesuffix("s03") in originals
    return False


def _stems_beside(folder: Path) -> set[str]:
    """The names of the clips in the folder above and in a camera's folder of clips there."""
    return {path.stem.lower() for place in (folder.parent, folder.parent / "CLIP") for path in _videos_in(place)}


def _videos_in(folder: Path) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    except OSError:
        return
