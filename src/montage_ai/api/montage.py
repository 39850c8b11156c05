"""Make a film, look at footage and music."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from montage_ai import config
from montage_ai.api.insight import look_into
from montage_ai.api.outputs import FilmFiles
from montage_ai.api.reports import left_out_rows, write_report
from montage_ai.api.stages import Stages
from montage_ai.edit.brief import Brief
from montage_ai.edit.film import Plan, plan_film
from montage_ai.edit.interchange import write_otio
from montage_ai.edit.styles import load_style
from montage_ai.edit.timeline import Source, Timeline
from montage_ai.errors import ClipsFailedError, MediaError, UserError
from montage_ai.events import Emit, Notice, StageDone, StageStarted, counted, ignore
from montage_ai.footage.files import find_files
from montage_ai.footage.library import Library
from montage_ai.footage.scan import Footage, read_footage
from montage_ai.footage.search import Insight
from montage_ai.music.beat_grid import BeatGrid
from montage_ai.offload.cache import in_use, prune
from montage_ai.offload.places import Mode, check_mode
from montage_ai.render.cache import RenderCache
from montage_ai.render.colour import read_cube
from montage_ai.render.film import Rendered, render_film
from montage_ai.render.sources import open_sources

_GRID_VERSION = 2
_SHORTEST_MUSIC = 0.5
_LISTENING, _PLANNING = "Listening to the music", "Choosing the shots"


@dataclass(frozen=True)
class Film:
    """A film that was made, or only planned (``rendered`` is None)."""

    plan: Plan
    footage: Footage
    grid: BeatGrid
    rendered: Rendered | None
    output: Path

    @property
    def timeline(self) -> Timeline:
        return self.plan.timeline


def make_montage(
    footage: Sequence[Path | str],
    music: Path | str,
    output: Path | str = "film.mp4",
    *,
    brief: Brief | None = None,
    plan_only: bool = False,
    force: bool = False,
    offload: Mode = None,
    emit: Emit = ignore,
) -> Film:
    """Cut the clips in ``footage`` (folders and files) to ``music`` and write the film to ``output``.

    Beside it stand the timeline (.otio) and the report (.report.html). ``brief`` says what is wanted (default: the
    style "dynamic"); with ``plan_only`` everything is decided and nothing rendered. ``offload`` says where heavy steps
    may run: "never" but here, "auto" (the default once an executor is enabled), or an executor's name. Raises
    ``MontageError``.
    """
    started = time.monotonic()
    stages = Stages(emit)
    brief = brief or Brief(style=load_style("dynamic"))
    track, files = Path(music), FilmFiles(Path(output))
    places = [Path(place) for place in footage]
    if brief.lut is not None:
        read_cube(brief.lut)
    check_mode(offload)
    if not plan_only:
        files.check(force=force, sources=[track, *_sources(places)])
    with in_use(config.cache_dir()), Library(config.data_dir()) as library:
        grid, source = listen(track, library, stages)
        found = read_footage(places, library, stages, is_ours=_is_ours)
        while True:
            insight = look_into(found.clips, brief, library, stages)
            plan = _plan(found, grid, source, brief, insight, stages)
            if plan_only:
                return Film(plan, found, grid, None, files.film)
            try:
                sources = open_sources(plan.timeline, found.infos, found.identities)
                rendered = render_film(
                    plan.timeline, files.film, stages, sources=sources, offload=offload, on_verified=files.claim
                )
                break
            except ClipsFailedError as error:
                found = _without_failed(found, error, stages)
        write_otio(plan.timeline, files.timeline, files.claim)
        write_report(
            files,
            plan.timeline,
            library,
            grid=grid,
            length_reason=plan.length_reason,
            left_out=left_out_rows(found, plan, library),
            rendered=rendered,
            stages=stages.done,
            seconds=time.monotonic() - started,
            wanted=plan.wanted,
        )
    prune(config.cache_dir(), RenderCache(config.cache_dir()).folders, config.cache_limit())
    return Film(plan, found, grid, rendered, files.film)


def analyze(footage: Sequence[Path | str], *, emit: Emit = ignore) -> Footage:
    """What is in the clips of ``footage``; what is known already is not decoded again."""
    with in_use(config.cache_dir()), Library(config.data_dir()) as library:
        return read_footage([Path(place) for place in footage], library, emit, is_ours=_is_ours)


def beats(music: Path | str, *, emit: Emit = ignore) -> BeatGrid:
    """The beat grid of a piece of music."""
    with Library(config.data_dir()) as library:
        return listen(Path(music), library, emit)[0]


def listen(track: Path, library: Library, emit: Emit) -> tuple[BeatGrid, Source]:
    """The beat grid of ``track``, from the library where it is known."""
    if not track.is_file():
        raise UserError("is not a file.", file=track, hint="Name a piece of music with --music.")
    digest = library.digest(track)
    grid = _known_grid(library.note("beat_grid", digest, _GRID_VERSION)) or _heard(track, digest, library, emit)
    if grid.duration < _SHORTEST_MUSIC:
        raise MediaError(f"is only {grid.duration:.2f} s long.", file=track, hint="Give a longer piece of music.")
    if grid.source != "beats":
        emit(Notice("warning", grid.reason, track))
    return grid, Source(path=track.absolute(), sha256=digest)


def _known_grid(note: str | None) -> BeatGrid | None:
    """The grid in a note; None where there is none that can be read."""
    try:
        return BeatGrid.model_validate_json(note) if note else None
    except ValidationError:
        return None


def _heard(track: Path, digest: str, library: Library, emit: Emit) -> BeatGrid:
    started = time.monotonic()
    emit(StageStarted(_LISTENING))
    from montage_ai.music.analyze import analyze_music  # costs half a second: only for music that is new

    grid = analyze_music(track)
    library.write_note("beat_grid", digest, _GRID_VERSION, grid.model_dump_json())
    emit(StageDone(_LISTENING, time.monotonic() - started, grid.reason))
    return grid


def _plan(found: Footage, grid: BeatGrid, source: Source, brief: Brief, insight: Insight, emit: Emit) -> Plan:
    started = time.monotonic()
    emit(StageStarted(_PLANNING))
    plan = plan_film(found.clips, grid, source, brief, insight)
    timeline = plan.timeline
    seconds = float(timeline.duration)
    summary = f"{counted(len(timeline.items), 'shot')}, {seconds:.2f} s: {plan.length_reason}"
    emit(StageDone(_PLANNING, time.monotonic() - started, summary))
    for note in plan.notes:
        emit(Notice("info", note))
    return plan


def _without_failed(found: Footage, error: ClipsFailedError, emit: Emit) -> Footage:
    """The footage without clips that turned out to be of no use. Raises ``error`` where nothing is left."""
    left = found.without(error.clips)
    if not left.clips or len(left.clips) == len(found.clips):
        raise error
    for path, reason in error.clips.items():
        emit(Notice("warning", f"{reason}. It is left out, and the film is planned again.", path))
    return left


def _is_ours(path: Path) -> bool:
    return FilmFiles(path).film_is_ours()


def _sources(places: Sequence[Path]) -> list[Path]:
    """The files that may never be written: all footage but our own earlier films among it."""
    named = {place.absolute() for place in places}
    return [path for path in find_files(places).files if path in named or not _is_ours(path)]
