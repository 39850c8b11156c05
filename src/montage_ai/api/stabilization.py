"""Stabilising clips: the function that replaces one call of another stabiliser, and a service for many clips."""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from montage_ai import config
from montage_ai.api.outputs import check_target
from montage_ai.errors import MediaError, MontageError, OutputExistsError, UserError
from montage_ai.events import Emit, Notice, ignore
from montage_ai.footage.library import Library
from montage_ai.media.ffmpeg import first_run_that_works
from montage_ai.media.files import publishing, sha256
from montage_ai.media.probe import MediaInfo, probe
from montage_ai.media.rebuild import probe_readable
from montage_ai.media.stretch import origin_arguments, sound_maps
from montage_ai.offload.cache import in_use, prune
from montage_ai.offload.offloader import Offloader, OnProgress
from montage_ai.offload.places import Mode
from montage_ai.render.cache import RenderCache
from montage_ai.tasks.stabilize import CLIP, Stabilize
from montage_ai.tasks.task import InputFile, Payload

_MADE = "stabilized"


@dataclass(frozen=True)
class Stabilized:
    """What became of one clip.

    ``steadied`` is False where it was left alone because it does not shake; ``missing`` are the seconds at its end that
    cannot be read.
    """

    source: Path
    output: Path
    steadied: bool
    shake: float
    missing: float


def stabilize_clip(
    path: Path | str,
    output: Path | str | None = None,
    *,
    smoothing: int = 15,
    force: bool = False,
    offload: Mode = None,
) -> Path:
    """Write a steadied copy of the clip at ``path`` and return where it is (``NAME_stabilized.mp4`` beside it).

    A clip that does not shake is copied as it is. The work is done by another machine where one is enabled and it pays,
    else here; ``offload`` says otherwise ("never", or an executor's name). Raises ``MontageError``.
    """
    source = Path(path)
    target = Path(output) if output else source.with_name(f"{source.stem}_stabilized.mp4")
    StabilizationService(smoothing=smoothing, offload=offload).stabilize([source], [target], force=force)
    return target


class StabilizationService:
    """Stabilises clips, several at once, wherever it ends soonest. ``always`` also steadies what does not shake."""

    def __init__(self, *, smoothing: int = 15, always: bool = False, offload: Mode = None) -> None:
        self.offload = offload
        self.smoothing = smoothing
        self.always = always

    def stabilize(
        self,
        sources: Sequence[Path | str],
        outputs: Sequence[Path | str],
        *,
        force: bool = False,
        emit: Emit = ignore,
        on_progress: OnProgress = lambda _: None,
    ) -> list[Stabilized]:
        """Steady each source into the output at its place; return what became of those that could be.

        Of several clips a bad one is named in a warning and left out; a single one raises ``MediaError``. So does an
        output that may not be written, before anything is done: ``UserError``.
        """
        clips, targets = list(map(Path, sources)), list(map(Path, outputs))
        if len({path.absolute() for path in targets}) < len(targets):
            raise UserError("Two clips would be written to one file.", hint="Give every clip an output of its own.")
        with in_use(config.cache_dir()), Library(config.data_dir()) as library:
            infos = _readable(clips, emit)
            good = {output: clip for output, clip in zip(targets, clips, strict=True) if clip in infos}
            for output, source in good.items():
                check_target(output, clips)
                if output.exists() and not force and not _made_by_us(source, output, library):
                    hint = "Choose another name, or use --force to replace it."
                    raise OutputExistsError("exists and was not made by this program.", file=output, hint=hint)
            done = self._all(good, infos, library, emit, on_progress)
        prune(config.cache_dir(), RenderCache(config.cache_dir()).folders, config.cache_limit())
        for one in done.values():
            if one.missing:
                text = f"the last {one.missing:.1f} s cannot be read; the good part is used"
                emit(Notice("warning", text, one.source))
        return [done[output] for output in good if output in done]

    def tasks(self, sources: Iterable[Path], library: Library) -> dict[Path, Stabilize]:
        """The task of each source."""
        return {source: self._task(probe_readable(source), library) for source in sources}

    def _task(self, info: MediaInfo, library: Library) -> Stabilize:
        return Stabilize(
            source=InputFile(path=info.path.absolute(), sha256=library.digest(info.path)),
            smoothing=self.smoothing,
            deliver="clip",
            always=self.always,
        )

    def _all(
        self,
        good: Mapping[Path, Path],
        infos: Mapping[Path, MediaInfo],
        library: Library,
        emit: Emit,
        on_progress: OnProgress,
    ) -> dict[Path, Stabilized]:
        """Each clip is written as soon as it is done."""
        tasks = {source: self._task(infos[source], library) for source in good.values()}
        outputs: dict[Stabilize, list[Path]] = {}
        for output, source in good.items():
            outputs.setdefault(tasks[source], []).append(output)
        done, failed = dict[Path, Stabilized](), list[MontageError]()
        with Offloader(self.offload, emit=emit) as offloader:
            for task, made in offloader.map_all(list(outputs), on_progress):
                for output in outputs[cast("Stabilize", task)]:
                    if isinstance(made, MontageError):
                        failed.append(made)
                        emit(Notice("warning", f"{made.what} It is left out.", good[output]))
                    else:
                        done[output] = _write(good[output], infos[good[output]], output, made, library)
        if failed and not done:
            raise failed[0]
        return done


def _write(source: Path, info: MediaInfo, output: Path, made: Payload, library: Library) -> Stabilized:
    with publishing(output) as draft:
        if steady := CLIP in made.files:
            shutil.copyfile(made.files[CLIP], draft)
        else:
            _copy(info, draft)
        probe(draft)
        if (digest := sha256(draft)) != library.digest(source):
            library.write_note(_MADE, digest, 1, "")
    return Stabilized(source, output, steady, float(made.data["shake"]), float(made.data["missing"]))


def _readable(sources: Sequence[Path], emit: Emit) -> dict[Path, MediaInfo]:
    """What can be read of ``sources``; others are told, and the first of them is raised where there is nothing else."""
    good: dict[Path, MediaInfo] = {}
    bad: list[MediaError] = []
    for source in sources:
        try:
            info = probe_readable(source)
            if info.kind != "video":
                raise MediaError("is not a video.", file=source, hint="Only videos can be stabilised.")
            good[source] = info
        except MediaError as error:
            bad.append(error)
    if bad and not good:
        raise bad[0]
    for one in bad:
        emit(Notice("warning", f"{one.what} It is left out.", Path(one.file or "")))
    return good


def _made_by_us(source: Path, output: Path, library: Library) -> bool:
    """Whether ``output`` is a clip that was steadied here, or a copy of ``source``: then nothing is lost with it."""
    digest = library.digest(output)
    return library.note(_MADE, digest, 1) is not None or digest == library.digest(source)


def _copy(info: MediaInfo, target: Path) -> None:
    """The clip as it is: its bytes, else its streams, else (MP4 does not take all of them) its pictures and sound."""
    if info.path.suffix.lower() == target.suffix.lower():
        shutil.copyfile(info.path, target)
        return
    read = ["-loglevel", "error", "-i", f"file:{info.path.absolute()}", "-map", f"0:{info.picture.index}"]
    even = "crop=trunc(iw/2)*2:trunc(ih/2)*2,format=yuv420p"
    picture = ["-vf", even, "-c:v", "libx264", "-preset", "veryfast", "-crf", "16", "-c:a", "aac", "-b:a", "192k"]
    encoded = ["-fps_mode", "passthrough", *picture]
    *with_sound, silent = sound_maps(info)
    ways = [[*sound, *how] for how in (["-c", "copy"], encoded) for sound in with_sound or [silent]]
    tail = [*origin_arguments(info), f"file:{target}"]
    first_run_that_works([[*read, *way, *tail] for way in [*ways, [*silent, *encoded]]], about=info.path)
