"""From folders and files to analysed clips: what is bad is named and skipped, what is known is not decoded again."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from montage_ai.errors import FFmpegError, MediaError, MontageError, UserError, printable
from montage_ai.events import Emit, Notice, StageDone, StageStarted, Tally, counted
from montage_ai.footage.clip import Clip
from montage_ai.footage.files import FoundFiles, Skipped, find_files
from montage_ai.footage.footage_analyzer import Analysis, analyze_readable
from montage_ai.footage.library import Library
from montage_ai.media.files import FileIdentity, is_unchanged
from montage_ai.media.origin import moment_of
from montage_ai.media.probe import MediaInfo, check_is_file
from montage_ai.media.rebuild import probe_readable
from montage_ai.parallel import StopSign, cores, run_all

_STAGE = "Looking at the footage"
_RECOGNISING = "Recognising the files"
_MUCH = 1000.0  # megabytes: below, their digests are there in a second or two
_THREADS = 8  # of one decoder, at most
_TOLD = 10  # files that are left out of which the user is told one by one


@dataclass(frozen=True)
class Footage:
    """The clips of a film in the order they were taken. ``decoded`` counts those that had to be decoded now.

    ``identities`` are those that the files had when their digests were compared.
    """

    clips: tuple[Clip, ...]
    skipped: tuple[Skipped, ...]
    decoded: int
    identities: Mapping[Path, FileIdentity] = field(default_factory=dict)

    @property
    def infos(self) -> dict[Path, MediaInfo]:
        """What the clips' headers say, by path."""
        return {clip.info.path: clip.info for clip in self.clips}

    def without(self, failed: Mapping[Path, str]) -> Footage:
        """The same without some clips, and why."""
        left = tuple(clip for clip in self.clips if clip.info.path not in failed)
        skipped = (*self.skipped, *(Skipped(path, reason) for path, reason in failed.items()))
        return replace(self, clips=left, skipped=skipped)


class _LeftOut:
    """What is left out of the footage. The user is told of the first ones, and how many there are."""

    def __init__(self, emit: Emit) -> None:
        self._emit = emit
        self.files: list[Skipped] = []
        self._told = 0

    def add(self, path: Path, reason: str, *, tell: bool = True) -> None:
        self.files.append(Skipped(path, reason.rstrip(".")))
        if tell:
            self._told += 1
            if self._told <= _TOLD:
                self._emit(Notice("warning", f"{reason.rstrip('.')}. It is left out.", path))

    def add_error(self, path: Path, error: MontageError | OSError) -> None:
        self.add(path, error.what if isinstance(error, MontageError) else f"cannot be read ({error.strerror})")

    def finish(self) -> None:
        """Tell how many there are that nobody was told of."""
        if self._told > _TOLD:
            self._emit(Notice("warning", f"{counted(self._told - _TOLD, 'more file')} could not be used."))


def read_footage(
    places: Sequence[Path],
    library: Library,
    emit: Emit,
    *,
    is_ours: Callable[[Path], bool] = lambda _: False,
    needed: bool = True,
) -> Footage:
    """Analyse all that ``places`` hold, using what the library knows. Films of ours that lie among it are left out.

    No single file ends the rest: what cannot be used is named and left out. Raises ``UserError`` where nothing usable
    is left, if it is ``needed``.
    """
    left_out, named = _LeftOut(emit), {place.absolute() for place in places}
    found = find_files(places)
    for one in found.skipped:
        left_out.add(one.path, one.reason)
    _tell_of_others(found, emit)
    ours = [path for path in found.files if path not in named and is_ours(path)]
    for path in ours:
        left_out.add(path, "a film that this program made", tell=False)
        emit(Notice("info", "is a film that this program made. It is left out.", path))
    recognised = _recognise([path for path in found.files if path not in ours], library, left_out, emit)
    clips: dict[str, Clip] = {}
    new: dict[str, MediaInfo] = {}
    for path, (digest, _) in recognised.items():
        try:
            if digest in clips or digest in new:
                left_out.add(path, "the same content is there under another name", tell=False)
            elif clip := library.find(digest, path=path):
                clips[digest] = clip
                _warn_of_damage(clip, emit)
            else:
                new[digest] = _probe_picture(path, digest)
        except (MediaError, OSError) as error:
            left_out.add_error(path, error)
    if new:
        clips |= _analyze(new, recognised, library, left_out, emit)
    left_out.finish()
    if needed and not clips:
        raise _nothing_left(places, found, left_out.files)
    identities = {path: identity for path, (_, identity) in recognised.items()}
    return Footage(_in_order(list(clips.values())), tuple(left_out.files), len(new), identities)


def _tell_of_others(found: FoundFiles, emit: Emit) -> None:
    if found.proxies:
        text = f"{counted(found.proxies, 'proxy file')} of cameras and editors left out: their originals are there."
        emit(Notice("info", text))
    if found.other_kinds:
        kinds = ", ".join(f"{number} {suffix}" for suffix, number in found.other_kinds.most_common(5))
        emit(Notice("info", f"Files of other kinds left out: {kinds}{', ...' if len(found.other_kinds) > 5 else ''}."))


_Recognised = dict[Path, tuple[str, FileIdentity]]


def _recognise(files: Sequence[Path], library: Library, left_out: _LeftOut, emit: Emit) -> _Recognised:
    """The digest of every file that can be read, and its identity. Where much is to be read, it is a stage."""
    named = {path: identity for path in files if (identity := _identified(path, left_out)) is not None}
    new = {path: identity.size / 1e6 for path, identity in named.items() if not library.knows(path)}
    started, total = time.monotonic(), sum(new.values())
    if total > _MUCH:
        emit(StageStarted(_RECOGNISING, total, "MB"))
    tally, digests = Tally(emit, _RECOGNISING), _Recognised()
    for path, identity in named.items():

        def tell(done: int, path: Path = path) -> None:
            tally.set(str(path), done / 1e6, path.name)

        try:
            digests[path] = (library.digest(path, tell if total > _MUCH else None), identity)
        except OSError as error:
            left_out.add_error(path, error)
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


def _analyze(
    new: dict[str, MediaInfo],
    recognised: _Recognised,
    library: Library,
    left_out: _LeftOut,
    emit: Emit,
) -> dict[str, Clip]:
    """Decode the new files, several at once, and remember each as soon as it is known."""
    started = time.monotonic()
    paths = {digest: path for path, (digest, _) in reversed(recognised.items())}  # the first of the same content
    seconds = {digest: max(info.duration, 0.5) for digest, info in new.items()}
    emit(StageStarted(_STAGE, sum(seconds.values()), "s"))
    workers = min(cores(), len(new))
    tally = Tally(emit, _STAGE)

    def work(digest: str, sign: StopSign) -> Analysis | MontageError | OSError:
        path = paths[digest]

        def tell(done: float) -> None:
            sign.check()
            tally.set(digest, done, path.name)

        try:
            threads = 1 if workers > 1 else min(cores(), _THREADS)
            analysis = analyze_readable(new[digest], path, digest, threads=threads, on_seconds=tell)
            if not is_unchanged(path, recognised[path][1], digest):
                return MediaError("changed while it was looked at.", file=path)
            return analysis
        except (MediaError, FFmpegError, OSError) as error:
            return error

    clips: dict[str, Clip] = {}
    longest_first = sorted(new, key=lambda digest: -seconds[digest])
    for digest, outcome in run_all(work, longest_first, workers=workers):
        path = paths[digest]
        if isinstance(outcome, Analysis):
            library.remember(outcome)
            clips[digest] = outcome.clip
            _warn_of_damage(outcome.clip, emit)
        else:
            left_out.add_error(path, outcome)
        tally.set(digest, seconds[digest], path.name, whole=True)
    shots = sum(len(clip.facts.shots) for clip in clips.values())
    summary = f"{counted(len(clips), 'new clip')}, {counted(shots, 'shot')}"
    emit(StageDone(_STAGE, time.monotonic() - started, summary))
    return clips


def _warn_of_damage(clip: Clip, emit: Emit) -> None:
    if clip.facts.damage:
        emit(Notice("warning", f"{clip.facts.damage}; the good part is used", clip.info.path))
    for note in clip.info.notes:
        emit(Notice("warning", note, clip.info.path))


def _identified(path: Path, left_out: _LeftOut) -> FileIdentity | None:
    """The identity of what can be named in a timeline, and read like a file (a pipe would be waited for)."""
    try:
        str(path).encode("utf-8")
        check_is_file(path)
        return FileIdentity.of(path)
    except UnicodeEncodeError:
        left_out.add(path, "has a name that is not valid text")
    except (MediaError, OSError) as error:
        left_out.add_error(path, error)
    return None


def _probe_picture(path: Path, digest: str) -> MediaInfo:
    info = probe_readable(path, digest)
    if info.video is None:
        raise MediaError("has sound but no picture.", file=path, hint="Give music with --music.")
    return info


def _nothing_left(places: Sequence[Path], found: FoundFiles, skipped: Sequence[Skipped]) -> UserError:
    where = ", ".join(str(place) for place in places)
    if not found.files and not found.skipped:
        kinds = "Videos (.mp4, .mov, .mkv, ...) and photos (.jpg, .png, ...) are looked for."
        return UserError("holds no footage.", file=where, hint=kinds)
    reasons = "; ".join(f"{printable(s.path.name)} {s.reason}" for s in skipped[:3])
    return UserError(f"holds no footage that can be used: {reasons}.", file=where, hint="Give other clips.")
