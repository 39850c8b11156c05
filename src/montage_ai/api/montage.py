"""Make a film, render a timeline again, look at footage and music."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from montage_ai import config
from montage_ai.api.outputs import check_output, mark, report_of, timeline_of
from montage_ai.api.stages import Stages
from montage_ai.edit.brief import Brief
from montage_ai.edit.film import Plan, plan_film
from montage_ai.edit.interchange import read_otio, write_otio
from montage_ai.edit.styles import load_style
from montage_ai.edit.timeline import Source, Timeline
from montage_ai.errors import MediaError, UserError
from montage_ai.events import Emit, Notice, StageDone, StageStarted, counted, ignore
from montage_ai.footage.library import Library
from montage_ai.footage.scan import Footage, find_files, read_footage
from montage_ai.media.audio import read_mono
from montage_ai.media.files import write_atomically
from montage_ai.music.beat_grid import BeatGrid
from montage_ai.render.colour import read_cube
from montage_ai.render.film import Rendered, render_film
from montage_ai.render.report import Report, report_html, waveform

_GRID_VERSION = 1
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
    emit: Emit = ignore,
) -> Film:
    """Cut the clips in ``footage`` (folders and files) to ``music`` and write the film to ``output``.

    Beside it stand the timeline (.otio) and the report (.report.html). ``brief`` says what is wanted (default: the
    style "dynamic"); with ``plan_only`` everything is decided and nothing rendered. Raises ``MontageError``.
    """
    started = time.monotonic()
    stages = Stages(emit)
    brief = brief or Brief(style=load_style("dynamic"))
    track, target = Path(music), Path(output)
    places = [Path(place) for place in footage]
    if brief.lut is not None:
        read_cube(brief.lut)
    if not plan_only:
        check_output(target, force=force, sources=[track, *find_files(places)])
    with Library(config.data_dir()) as library:
        grid, source = listen(track, library, stages)
        found = read_footage(places, library, stages)
        plan = _plan(found, grid, source, brief, stages)
        film = Film(plan, found, grid, None, target)
        if plan_only:
            return film
        rendered = render_film(plan.timeline, target, stages)
        film = Film(plan, found, grid, rendered, target)
        write_otio(plan.timeline, timeline_of(target))
        _write_report(film, library, stages, time.monotonic() - started)
    return film


def render_timeline(otio: Path | str, output: Path | str, *, force: bool = False, emit: Emit = ignore) -> Rendered:
    """Render the film of an .otio file that this program wrote. Raises ``MontageError``, also for a changed clip."""
    timeline = read_otio(Path(otio))
    target = Path(output)
    check_output(target, force=force, sources=[item.clip.path for item in timeline.items])
    with Library(config.data_dir()) as library:
        for source in {item.clip for item in timeline.items} | ({timeline.music} if timeline.music else set()):
            _check_source(source, library)
    rendered = render_film(timeline, target, emit)
    write_atomically(report_of(target), f"<!doctype html><title>{target.name}</title>{mark(target)}")
    return rendered


def analyze(footage: Sequence[Path | str], *, emit: Emit = ignore) -> Footage:
    """What is in the clips of ``footage``; what is known already is not decoded again."""
    with Library(config.data_dir()) as library:
        return read_footage([Path(place) for place in footage], library, emit)


def beats(music: Path | str, *, emit: Emit = ignore) -> BeatGrid:
    """The beat grid of a piece of music."""
    with Library(config.data_dir()) as library:
        return listen(Path(music), library, emit)[0]


def listen(track: Path, library: Library, emit: Emit) -> tuple[BeatGrid, Source]:
    """The beat grid of ``track``, from the library where it is known."""
    if not track.is_file():
        raise UserError("is not a file.", file=track, hint="Name a piece of music with --music.")
    digest = library.digest(track)
    source = Source(path=track.absolute(), sha256=digest)
    if note := library.note("beat_grid", digest, _GRID_VERSION):
        return BeatGrid.model_validate_json(note), source
    started = time.monotonic()
    emit(StageStarted(_LISTENING))
    from montage_ai.music.analyze import analyze_music  # costs half a second: only for music that is new

    grid = analyze_music(track)
    library.write_note("beat_grid", digest, _GRID_VERSION, grid.model_dump_json())
    if grid.duration < 0.5:
        raise MediaError(f"is only {grid.duration:.2f} s long.", file=track, hint="Give a longer piece of music.")
    emit(StageDone(_LISTENING, time.monotonic() - started, grid.reason))
    if grid.source != "beats":
        emit(Notice("warning", grid.reason, track))
    return grid, source


def _plan(found: Footage, grid: BeatGrid, source: Source, brief: Brief, emit: Emit) -> Plan:
    started = time.monotonic()
    emit(StageStarted(_PLANNING))
    plan = plan_film(found.clips, grid, source, brief)
    timeline = plan.timeline
    seconds = float(timeline.duration)
    summary = f"{counted(len(timeline.items), 'shot')}, {seconds:.2f} s: {plan.length_reason}"
    emit(StageDone(_PLANNING, time.monotonic() - started, summary))
    return plan


def _check_source(source: Source, library: Library) -> None:
    if not source.path.is_file():
        raise MediaError("is not there any more.", file=source.path, hint="Put it back, or make the film again.")
    if library.digest(source.path) != source.sha256:
        raise MediaError("has changed since the film was planned.", file=source.path, hint="Make the film again.")


def _write_report(film: Film, library: Library, stages: Stages, seconds: float) -> None:
    peaks = _peaks(film.timeline, library)
    pictures = [
        library.thumbnail(item.clip.sha256, float(item.start + item.end(film.timeline.fps)) / 2)
        for item in film.timeline.items
    ]
    report = Report(
        title=film.output.name,
        plan=film.plan,
        grid=film.grid,
        peaks=peaks,
        pictures=pictures,
        skipped=film.footage.skipped,
        stages=stages.done,
        seconds=seconds,
        mark=mark(film.output),
    )
    write_atomically(report_of(film.output), report_html(report))


def _peaks(timeline: Timeline, library: Library) -> list[float]:
    """The waveform of the music; remembered, so that a second run decodes nothing."""
    if timeline.music is None:
        return []
    if note := library.note("waveform", timeline.music.sha256, 1):
        return [float(value) for value in note.split()]
    peaks = waveform(read_mono(timeline.music.path, 8000), 8000)
    library.write_note("waveform", timeline.music.sha256, 1, " ".join(f"{peak:.3f}" for peak in peaks))
    return peaks
