"""From folders and files to analysed clips: what is bad is named and skipped, what is known is not decoded again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from montage_ai import config
from montage_ai.errors import MediaError, UserError, printable
from montage_ai.events import Emit, Notice, StageDone, StageStarted, Tally, counted
from montage_ai.footage.clip import Clip
from montage_ai.footage.footage_analyzer import Analysis, analyze_file
from montage_ai.footage.library import Library
from montage_ai.media.origin import moment_of
from montage_ai.media.probe import PHOTO_SUFFIXES, VIDEO_SUFFIXES, MediaInfo, probe
from montage_ai.parallel import StopSign, cores, run_all

_STAGE = "Looking at the footage"
_RECOGNISING = "Recognising the files"
_MUCH = 1000.0  # megabytes: below, their digests are there in a second or two


@dataclass(frozen=True)
class Skipped:
    """A file that was left out, and why."""

    path: Path
    reason: str


@dataclass(frozen=True)
class Footage:
    """The clips of a film in the order they were taken. ``decoded`` counts those that had to be decoded now."""

    clips: tuple[Clip, ...]
    skipped: tuple[Skipped, ...]
    decoded: int


def find_files(places: Iterable[Path]) -> list[Path]:
    """The videos and photos in folders (all the way down, hidden ones left out) and the files named one by one.

    Raises ``UserError`` for a place that does not exist.
    """
    found: dict[Path, None] = {}
    for place in places:
        if not place.exists():
            raise UserError("does not exist.", file=place, hint="Name a folder of footage, or files.")
        place = place.absolute()  # so that a timeline can be rendered from any folder
        found.update(dict.fromkeys(_in_folder(place) if place.is_dir() else [place]))
    return list(found)


def read_footage(
    places: Sequence[Path],
    library: Library,
    emit: Emit,
    *,
    is_ours: Callable[[Path], bool] = lambda _: False,
    needed: bool = True,
) -> Footage:
    """Analyse all that ``places`` hold, using what the library knows. Films of ours that lie among it are left out.

    Raises ``UserError`` where nothing usable is left, if it is ``needed``.
    """
    named = {place.absolute() for place in places}
    found = find_files(places)
    ours = [path for path in found if path not in named and is_ours(path)]
    skipped = [Skipped(path, "a film that this program made") for path in ours]
    for path in ours:
        emit(Notice("info", "is a film that this program made. It is left out.", path))
    clips: dict[str, Clip] = {}
    new: dict[str, MediaInfo] = {}
    for path, digest in _recognise([path for path in found if path not in ours], library, skipped, emit).items():
        try:
            if digest in clips or digest in new:
                skipped.append(Skipped(path, "the same content is there under another name"))
            elif clip := library.find(digest, path=path):
                clips[digest] = clip
                _warn_of_damage(clip, emit)
            else:
                new[digest] = _probe_picture(path)
        except (MediaError, OSError) as error:
            skipped.append(_skip(path, error, emit))
    if new:
        clips |= _analyze(new, library, skipped, emit)
    if needed and not clips:
        raise _nothing_left(places, found, skipped)
    return Footage(_in_order(list(clips.values())), tuple(skipped), len(new))


def _recognise(files: Sequence[Path], library: Library, skipped: list[Skipped], emit: Emit) -> dict[Path, str]:
    """The digest of every file that can be read. Where much is to be read for it, it is a stage of its own."""
    named = [path for path in files if _has_a_name(path, skipped, emit)]
    new = {path: path.stat().st_size / 1e6 for path in named if not library.knows(path)}
    started, total = time.monotonic(), sum(new.values())
    if total > _MUCH:
        emit(StageStarted(_RECOGNISING, total, "MB"))
    tally, digests = Tally(emit, _RECOGNISING), {}
    for path in named:

        def tell(done: int, path: Path = path) -> None:
            tally.set(str(path), done / 1e6, path.name)

        try:
            digests[path] = library.digest(path, tell if total > _MUCH else None)
        except OSError as error:
            skipped.append(_skip(path, error, emit))
    if total > _MUCH:
        emit(StageDone(_RECOGNISING, time.monotonic() - started, counted(len(new), "new file")))
    return digests


def _in_order(clips: list[Clip]) -> tuple[Clip, ...]:
    """By the time that they were taken, if all of them say it; else by name, which cameras count up (9 before 10)."""
    by_name = sorted(clips, key=lambda clip: _counting(str(clip.info.path)))
    taken = {id(clip): moment_of(clip.info.taken) for clip in clips if clip.info.taken}
    return tuple(sorted(by_name, key=lambda clip: taken[id(clip)]) if len(taken) == len(clips) else by_name)


def _counting(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers in names by their value."""
    return [(int(part), "") if part.isdecimal() else (-1, part) for part in re.split(r"(\d+)", name)]


def _analyze(new: dict[str, MediaInfo], library: Library, skipped: list[Skipped], emit: Emit) -> dict[str, Clip]:
    """Decode the new files, several at once, and remember each as soon as it is known."""
    started = time.monotonic()
    seconds = {digest: max(info.duration, 0.5) for digest, info in new.items()}
    emit(StageStarted(_STAGE, sum(seconds.values()), "s"))
    workers = min(cores(), len(new))
    tally = Tally(emit, _STAGE)

    def work(digest: str, sign: StopSign) -> Analysis | MediaError:
        def tell(done: float) -> None:
            sign.check()
            tally.set(digest, done, new[digest].path.name)

        try:
            return analyze_file(new[digest], digest, threads=1 if workers > 1 else cores(), on_seconds=tell)
        except MediaError as error:
            return error

    clips: dict[str, Clip] = {}
    longest_first = sorted(new, key=lambda digest: -seconds[digest])
    for digest, outcome in run_all(work, longest_first, workers=workers):
        path = new[digest].path
        if isinstance(outcome, Analysis):
            library.remember(outcome)
            clips[digest] = outcome.clip
            _warn_of_damage(outcome.clip, emit)
        else:
            skipped.append(_skip(path, outcome, emit))
        tally.set(digest, seconds[digest], path.name, whole=True)
    shots = sum(len(clip.facts.shots) for clip in clips.values())
    summary = f"{counted(len(clips), 'new clip')}, {counted(shots, 'shot')}"
    emit(StageDone(_STAGE, time.monotonic() - started, summary))
    return clips


def _warn_of_damage(clip: Clip, emit: Emit) -> None:
    if clip.facts.damage:
        emit(Notice("warning", f"{clip.facts.damage}; the good part is used", clip.info.path))


def _has_a_name(path: Path, skipped: list[Skipped], emit: Emit) -> bool:
    """Whether it can be named in a timeline, and read like a file (a pipe would be waited for)."""
    try:
        str(path).encode("utf-8")
        if not path.is_file():
            raise MediaError("is not a file.", file=path, hint="Name files and folders.")
    except UnicodeEncodeError:
        skipped.append(_skip(path, MediaError("has a name that is not valid text.", file=path), emit))
        return False
    except MediaError as error:
        skipped.append(_skip(path, error, emit))
        return False
    return True


def _probe_picture(path: Path) -> MediaInfo:
    info = probe(path)
    if info.video is None:
        raise MediaError("has sound but no picture.", file=path, hint="Give music with --music.")
    return info


def _skip(path: Path, error: MediaError | OSError, emit: Emit) -> Skipped:
    reason = error.what if isinstance(error, MediaError) else f"cannot be read ({error.strerror})."
    emit(Notice("warning", f"{reason} It is left out.", path))
    return Skipped(path, reason)


def _in_folder(folder: Path) -> Iterator[Path]:
    """Videos and photos, without hidden ones and what this program keeps for itself."""
    own = (config.data_dir(), config.cache_dir())
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() not in PHOTO_SUFFIXES | VIDEO_SUFFIXES:
            continue
        hidden = any(part.startswith(".") for part in path.relative_to(folder).parts)
        if not hidden and not any(path.is_relative_to(place) for place in own) and path.is_file():
            yield path


def _nothing_left(places: Sequence[Path], files: list[Path], skipped: list[Skipped]) -> UserError:
    where = ", ".join(str(place) for place in places)
    if not files:
        kinds = "Videos (.mp4, .mov, .mkv, ...) and photos (.jpg, .png, ...) are looked for."
        return UserError("holds no footage.", file=where, hint=kinds)
    reasons = "; ".join(f"{printable(s.path.name)} {s.reason}" for s in skipped[:3])
    return UserError(f"holds no footage that can be used: {reasons}", file=where, hint="Give other clips.")
