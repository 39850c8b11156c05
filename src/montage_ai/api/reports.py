"""The report beside a film: what its page shows, gathered from the plan, the library and the film itself."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence

from montage_ai.api.outputs import FilmFiles
from montage_ai.edit.film import Plan
from montage_ai.edit.timeline import Timeline
from montage_ai.events import StageDone
from montage_ai.footage.library import Library
from montage_ai.footage.scan import Footage
from montage_ai.media.audio import read_mono
from montage_ai.media.files import write_atomically
from montage_ai.music.beat_grid import BeatGrid
from montage_ai.render.film import Rendered
from montage_ai.render.report import LeftOutRow, Report, report_html, waveform

_PEAKS_RATE = 8000
_LONGEST = 1800.0  # seconds


def write_report(
    files: FilmFiles,
    timeline: Timeline,
    library: Library,
    *,
    grid: BeatGrid | None,
    length_reason: str,
    left_out: Sequence[LeftOutRow] | None,
    rendered: Rendered,
    stages: Sequence[StageDone],
    seconds: float,
    wanted: Sequence[float] = (),
) -> None:
    """Write the report of the finished film. ``left_out`` is None for one that was rendered from its timeline."""
    report = Report(
        title=files.film.name,
        timeline=timeline,
        length_reason=length_reason,
        grid=grid,
        peaks=_peaks(timeline, library),
        pictures=rendered.pictures,
        steadied=rendered.steadied,
        left_out=left_out,
        stages=stages,
        seconds=seconds,
        mark=files.mark(with_timeline=left_out is not None),
        wanted=wanted,
    )
    write_atomically(files.report, report_html(report))


def left_out_rows(found: Footage, plan: Plan, library: Library) -> list[LeftOutRow]:
    """What is not in the film: files that could not be used, stretches that are no good, clips that were not chosen."""
    used = {item.clip.path for item in plan.timeline.items}
    rows = [LeftOutRow(one.path.name, "not used", one.reason) for one in found.skipped]
    for piece in plan.left_out:
        span = "" if piece.clip.is_photo else f"{piece.low:.1f}–{piece.high:.1f} s"
        picture = library.thumbnail(piece.clip.facts.sha256, piece.low, piece.high)
        rows.append(LeftOutRow(piece.clip.name, span, piece.reason, picture))
    for clip in found.clips:
        if clip.info.path not in used:
            picture = library.thumbnail(clip.facts.sha256, 0.0, max(clip.facts.duration, 1.0))
            rows.append(LeftOutRow(clip.name, "not chosen", "other moments fitted better", picture))
    return rows


def _peaks(timeline: Timeline, library: Library) -> list[float]:
    """The waveform of the music; remembered, so that a second run decodes nothing."""
    if timeline.music is None:
        return []
    note = library.note("waveform", timeline.music.sha256, 1) or ""
    with contextlib.suppress(ValueError):  # one that is damaged is made again
        if known := [float(value) for value in note.split()]:
            return known
    peaks = waveform(read_mono(timeline.music.path, _PEAKS_RATE, seconds=_LONGEST), _PEAKS_RATE)
    library.write_note("waveform", timeline.music.sha256, 1, " ".join(f"{peak:.3f}" for peak in peaks))
    return peaks
