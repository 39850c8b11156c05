"""Finding footage in folders, and telling it from what cameras, systems and other programs keep beside it."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cached_property
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
        except OSError as error:
            found.skipped.append(Skipped(place, f"cannot be looked into ({error.strerror})"))
            continue
        folders = [path for path in map(Path, entries) if _holds(path.is_dir)]
        files = [entry.name for entry in entries if _holds(Path(entry).is_file)]
        waiting += reversed([inner for inner in folders if _may_hold_footage(inner)])
        beside = _Beside(place, files)
        for name in files:
            _add(beside, name, found)


def _holds(question: Callable[[], bool]) -> bool:
    """The answer about a path; what cannot be asked (a link in a circle, a server that is gone) is neither."""
    try:
        return question()
    except OSError:
        return False


def _may_hold_footage(folder: Path) -> bool:
    name = folder.name.lower()
    if name.startswith(".") or name in _NOT_FOOTAGE:
        return False
    kept = _ORIGINALS.get(folder.parent.suffix.lower())
    if kept is not None:
        return name in kept
    return not (name in _COPIES and any(parent.suffix.lower() in _ORIGINALS for parent in folder.parents))


class _Beside:
    """A folder and the ``names`` of the files in it, among which a proxy's original may be."""

    def __init__(self, folder: Path, names: Sequence[str]) -> None:
        self.folder, self._names = folder, names

    @cached_property
    def stems(self) -> set[str]:
        return {Path(name).stem.lower() for name in self._names}

    @cached_property
    def endings(self) -> set[str]:
        """Names of recordings without the two letters in front, by which GoPro tells its kinds of files apart."""
        return {Path(name).stem[2:].lower() for name in self._names if Path(name).suffix.lower() in (".mp4", ".mov")}

    @cached_property
    def stems_above(self) -> set[str]:
        """The names of the clips in the folder above, and in a camera's folder of clips there."""
        places = (self.folder.parent, self.folder.parent / "CLIP")
        return {path.stem.lower() for place in places for path in _videos_in(place)}

    @cached_property
    def holds_insta360(self) -> bool:
        return any(stem.startswith(("vid_", "pro_vid_")) for stem in self.stems)


def _add(beside: _Beside, name: str, found: FoundFiles) -> None:
    """Add one of the files of a folder."""
    suffix = Path(name).suffix.lower()
    if name.startswith("."):
        return
    if suffix not in FOOTAGE_SUFFIXES:
        if suffix not in AUDIO_SUFFIXES:
            found.other_kinds[suffix or "without a suffix"] += 1
        return
    if beside.folder.suffix.lower() in _ORIGINALS:  # a library's own pictures
        return
    if _is_proxy(beside, name):
        found.proxies += 1
        return
    found.files[beside.folder / name] = None


def _is_proxy(beside: _Beside, name: str) -> bool:
    """Whether it is a small copy that a camera or an editor made of a clip that is there."""
    stem, suffix = Path(name).stem.lower(), Path(name).suffix.lower()
    if suffix in (".lrv", ".lrf") and not stem.startswith("lrv_"):
        return stem[2:] in beside.endings  # GoPro: GL010001.LRV of GX010001.MP4; DJI: DJI_0001.LRF of DJI_0001.MP4
    if stem.startswith("lrv_"):  # Insta360: LRV_... of VID_...
        return beside.holds_insta360
    if stem.endswith(("_proxy", "-proxy")):
        return stem[: -len("_proxy")] in beside.stems | beside.stems_above
    if beside.folder.name.lower() in _PROXY_FOLDERS:  # Sony: SUB/C0001S03.MP4 of CLIP/C0001.MP4
        return stem in beside.stems_above or stem.removesuffix("s03") in beside.stems_above
    return False


def _videos_in(folder: Path) -> Iterator[Path]:
    try:
        yield from (path for path in folder.iterdir() if path.suffix.lower() in VIDEO_SUFFIXES)
    except OSError:
        return
