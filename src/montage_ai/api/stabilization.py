"""Stabilising clips: the function that replaces one call of another stabiliser, and a service for many clips."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from montage_ai import config
from montage_ai.errors import MediaError, OutputExistsError, UserError
from montage_ai.footage.library import Library
from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.files import publishing, sha256
from montage_ai.media.probe import probe
from montage_ai.offload.offloader import Offloader
from montage_ai.parallel import StopSign, cores, run_all
from montage_ai.tasks.stabilize import CLIP, Stabilize
from montage_ai.tasks.task import InputFile

_MADE = "stabilized"


@dataclass(frozen=True)
class Stabilized:
    """What became of one clip. ``steadied`` is False where it was left alone because it does not shake."""

    source: Path
    output: Path
    steadied: bool
    shake: float


def stabilize_clip(
    path: Path | str, output: Path | str | None = None, *, smoothing: int = 15, force: bool = False
) -> Path:
    """Write a steadied copy of the clip at ``path`` and return where it is (``NAME_stabilized.mp4`` beside it).

    A clip that does not shake is copied as it is. Raises ``MontageError``.
    """
    source = Path(path)
    target = Path(output) if output else source.with_name(f"{source.stem}_stabilized.mp4")
    StabilizationService(smoothing=smoothing).stabilize([source], [target], force=force)
    return target


class StabilizationService:
    """Stabilises clips, several at once. ``always`` also steadies what does not shake."""

    def __init__(self, *, smoothing: int = 15, always: bool = False) -> None:
        self.smoothing = smoothing
        self.always = always

    def stabilize(
        self,
        sources: Sequence[Path],
        outputs: Sequence[Path],
        *,
        force: bool = False,
        on_done: Callable[[Stabilized], None] = lambda _: None,
        on_fraction: Callable[[Path, float], None] = lambda _path, _fraction: None,
    ) -> list[Stabilized]:
        """Steady each source into the output at its place; ``on_done`` is told of each as it is ready."""
        pairs = dict(zip(sources, outputs, strict=True))
        with Library(config.data_dir()) as library, Offloader() as offloader:
            for source, output in pairs.items():
                _check(source, output, library, force)

            def work(source: Path, sign: StopSign) -> Stabilized:
                return self._one(source, pairs[source], library, offloader, sign, lambda f: on_fraction(source, f))

            results = {}
            for source, done in run_all(work, pairs, workers=min(cores(), len(pairs))):
                results[source] = done
                on_done(done)
        return [results[source] for source in sources]

    def _one(
        self,
        source: Path,
        output: Path,
        library: Library,
        offloader: Offloader,
        sign: StopSign,
        on_fraction: Callable[[float], None],
    ) -> Stabilized:
        task = Stabilize(
            source=InputFile(path=source, sha256=library.digest(source)),
            smoothing=self.smoothing,
            deliver="clip",
            always=self.always,
        )
        made = offloader.run(task, on_fraction=on_fraction, sign=sign)
        with publishing(output) as draft:
            if steady := CLIP in made.files:
                shutil.copyfile(made.files[CLIP], draft)
            elif source.suffix.lower() == output.suffix.lower():
                shutil.copyfile(source, draft)
            else:
                run_ffmpeg(["-loglevel", "error", "-i", f"file:{source.absolute()}", "-c", "copy", f"file:{draft}"])
            probe(draft)
            if sha256(draft) != task.source.sha256:
                library.write_note(_MADE, sha256(draft), 1, "")
        return Stabilized(source, output, steady, float(made.data["shake"]))


def _check(source: Path, output: Path, library: Library, force: bool) -> None:
    if probe(source).kind != "video":
        raise MediaError("is not a video.", file=source, hint="Only videos can be stabilised.")
    if output.exists() and output.samefile(source):
        raise UserError("is the source, which is never written.", file=output, hint="Choose another name.")
    if output.exists() and not force and not _made_by_us(source, output, library):
        hint = "Choose another name, or use --force to replace it."
        raise OutputExistsError("exists and was not made by this program.", file=output, hint=hint)


def _made_by_us(source: Path, output: Path, library: Library) -> bool:
    """Whether ``output`` is a clip that was steadied here, or a copy of ``source``: then nothing is lost with it."""
    digest = library.digest(output)
    return library.note(_MADE, digest, 1) is not None or digest == library.digest(source)
