"""Render what is decided already: a timeline from its file, or moments that were found."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from montage_ai import config
from montage_ai.api.montage import listen
from montage_ai.api.outputs import FilmFiles, check_writable
from montage_ai.api.reports import write_report
from montage_ai.api.stages import Stages
from montage_ai.edit.conform import read_otio
from montage_ai.edit.interchange import write_otio
from montage_ai.edit.rough_cut import rough_cut
from montage_ai.edit.timeline import Source, Timeline
from montage_ai.errors import MediaError, OutputExistsError, UserError
from montage_ai.events import Emit, ignore
from montage_ai.footage.library import Library
from montage_ai.footage.search import Moment
from montage_ai.media.files import FileIdentity
from montage_ai.media.probe import MediaInfo
from montage_ai.offload.places import Mode, check_mode
from montage_ai.render.film import Rendered, render_film
from montage_ai.render.sources import open_sources


def render_timeline(
    otio: Path | str, output: Path | str, *, force: bool = False, offload: Mode = None, emit: Emit = ignore
) -> Rendered:
    """Render the film of an .otio file that this program wrote. Raises ``MontageError``, also for a changed clip."""
    timeline = read_otio(Path(otio))
    files = FilmFiles(Path(output))
    check_mode(offload)
    config.cache_limit()
    files.check(force=force, sources=[source.path for source in _sources(timeline)], with_timeline=False)
    return _render(timeline, files, f"as {Path(otio).name} says", offload, emit)


def write_reel(moments: Sequence[Moment], output: Path | str, *, force: bool = False, emit: Emit = ignore) -> Path:
    """Write a rough cut of ``moments`` (see ``search``), with their own sound: a film, or an .otio file for an editor.

    Raises ``MontageError``, also where there are none.
    """
    path = Path(output)
    check_reel(path, force=force)
    if not moments:
        raise UserError("There is no moment to be shown.", hint="Ask for something else, or lower --min-score.")
    timeline = rough_cut(moments)
    if path.suffix.lower() == ".otio":
        write_otio(timeline, path)
    else:
        files = FilmFiles(path)
        files.check(force=force, sources=[source.path for source in _sources(timeline)], with_timeline=False)
        _render(timeline, files, "as long as the moments that were found", "never", emit)
    return path


def check_reel(path: Path, *, force: bool = False) -> None:
    """Make sure that a rough cut can be called ``path``; a timeline may have been edited, and is replaced only with
    ``force``. Raises ``UserError``."""
    if path.suffix.lower() not in (".otio", ".mp4", ".mov", ".m4v"):
        raise UserError("is no name for a rough cut.", file=path, hint="Name an .mp4 or an .otio file.")
    check_writable(path)
    if path.suffix.lower() == ".otio" and path.exists() and not force:
        raise OutputExistsError("exists.", file=path, hint="Choose another name, or use --force to replace it.")


def _render(timeline: Timeline, files: FilmFiles, length_reason: str, offload: Mode, emit: Emit) -> Rendered:
    started, stages = time.monotonic(), Stages(emit)
    with Library(config.data_dir()) as library:
        identities = {source.path: _checked_source(source, library) for source in _sources(timeline)}
        grid = listen(timeline.music.path, library, stages)[0] if timeline.music else None
        sources = open_sources(timeline, _known_clips(timeline, library), identities)
        rendered = render_film(timeline, files.film, stages, sources=sources, offload=offload, on_verified=files.claim)
        write_report(
            files,
            timeline,
            library,
            grid=grid,
            length_reason=length_reason,
            left_out=None,
            rendered=rendered,
            stages=stages.done,
            seconds=time.monotonic() - started,
        )
    return rendered


def _sources(timeline: Timeline) -> set[Source]:
    return {item.clip for item in timeline.items} | ({timeline.music} if timeline.music else set())


def _known_clips(timeline: Timeline, library: Library) -> dict[Path, MediaInfo]:
    """What the library knows of the timeline's clips."""
    clips = {item.clip.path: item.clip for item in timeline.items}.values()
    found = {clip.path: library.find(clip.sha256, path=clip.path) for clip in clips}
    return {path: clip.info for path, clip in found.items() if clip is not None}


def _checked_source(source: Source, library: Library) -> FileIdentity:
    """The identity that a file has, which is the one that the timeline means."""
    try:
        identity = FileIdentity.of(source.path)
        if not source.path.is_file():
            raise MediaError("is not a file.", file=source.path, hint="Link a clip in its place.")
    except OSError as error:
        hint = "Put it back, or make the film again."
        raise MediaError("is not there any more.", file=source.path, hint=hint) from error
    if library.digest(source.path) != source.sha256:
        raise MediaError("has changed since the film was planned.", file=source.path, hint="Make the film again.")
    return identity
