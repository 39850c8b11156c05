"""The report beside a film: what its page shows, gathered from the plan, the library and the film itself."""

from __future__ import annotations

from collections.abc import Sequence

from montage_ai.api.outputs import FilmFiles
from montage_ai.edit.film import Plan
from montage_ai.edit.timeline import Item, Timeline
from montage_ai.events import StageDone
from montage_ai.footage.library import Library
from montage_ai.footage.scan import Skipped
from montage_ai.media.audio import read_mono
from montage_ai.media.files import write_atomically
from montage_ai.media.stills import Stills
from montage_ai.music.beat_grid import BeatGrid
from montage_ai.render.report import LeftOutRow, Report, report_html, waveform

_PEAKS_RATE = 8000


def write_report(
    files: FilmFiles,
    timeline: Timeline,
    library: Library,
    *,
    grid: BeatGrid | None,
    length_reason: str,
    left_out: Sequence[LeftOutRow] | None,
    stages: Sequence[StageDone],
    seconds: float,
) -> None:
    """Write the report of the finished film. ``left_out`` is None for one that was rendered from its timeline."""
    report = Report(
        title=files.film.name,
        timeline=timeline,
        length_reason=length_reason,
        grid=grid,
        peaks=_peaks(timeline, library),
        pictures=_pictures(files, timeline, library),
        left_out=left_out,
        stages=stages,
        seconds=seconds,
        mark=files.mark(with_timeline=left_out is not None),
    )
    write_atomically(files.report, report_html(report))


def left_out_rows(plan: Plan, skipped: Sequence[Skipped]) -> list[LeftOutRow]:
    """What is not in the film: files that could not be used, stretches that are no good, clips that were not chosen."""
    used = {item.clip.path for item in plan.timeline.items}
    rows = [LeftOutRow(one.path.name, "not used", one.reason) for one in skipped]
    for piece in plan.left_out:
        span = "" if piece.clip.is_photo else f"{piece.low:.1f}–{piece.high:.1f} s"
        rows.append(LeftOutRow(piece.clip.name, span, piece.reason))
    others = dict.fromkeys(path for path in plan.offered if path not in used)
    return rows + [LeftOutRow(path.name, "not chosen", "other moments fitted better") for path in others]


def _pictures(files: FilmFiles, timeline: Timeline, library: Library) -> list[bytes | None]:
    """A picture of every item: from the clip's thumbnails where one lies in what is shown, else from the film."""
    with Stills(files.film) as film:
        return [
            _thumbnail(item, timeline, library) or film.at((start + item.frames // 2) / timeline.fps)
            for start, item in zip(timeline.starts, timeline.items, strict=True)
        ]


def _thumbnail(item: Item, timeline: Timeline, library: Library) -> bytes | None:
    return library.thumbnail(item.clip.sha256, float(item.start), float(item.end(timeline.fps)))


def _peaks(timeline: Timeline, library: Library) -> list[float]:
    """The waveform of the music; remembered, so that a second run decodes nothing."""
    if timeline.music is None:
        return []
    if note := library.note("waveform", timeline.music.sha256, 1):
        return [float(value) for value in note.split()]
    peaks = waveform(read_mono(timeline.music.path, _PEAKS_RATE), _PEAKS_RATE)
    library.write_note("waveform", timeline.music.sha256, 1, " ".join(f"{peak:.3f}" for peak in peaks))
    return peaks
