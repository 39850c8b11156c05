"""The report: one page that shows the film over its music, what was left out and why, and what every stage took."""

from __future__ import annotations

import base64
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from html import escape
from importlib import resources
from string import Template

import numpy as np
from numpy.typing import NDArray

from montage_ai.edit.timeline import Item, Timeline
from montage_ai.errors import printable
from montage_ai.events import StageDone, counted
from montage_ai.music.beat_grid import BeatGrid

PEAKS_PER_SECOND = 20
_HEIGHT = 90  # of the waveform, in pixels
_STRIP = 64  # of the pictures above it
_NARROWEST = 34  # of a picture, on average


@dataclass(frozen=True)
class LeftOutRow:
    """A clip, or a stretch of it, that is not in the film, and why; ``picture`` is a JPEG of it, if there is one."""

    name: str
    where: str
    reason: str
    picture: bytes | None = None


@dataclass(frozen=True)
class Report:
    """What the page shows.

    ``pictures[k]`` is a JPEG of item k; ``steadied`` are the numbers of the items that were. ``length_reason`` says
    what the film's length comes from; ``left_out`` is None where nothing was chosen from; ``mark`` is put into the page
    as it is; ``wanted[k]`` is how well item k shows what is wanted, 0 to 1, if something is.
    """

    title: str
    timeline: Timeline
    length_reason: str
    grid: BeatGrid | None
    peaks: Sequence[float]
    pictures: Sequence[bytes | None]
    steadied: Collection[int]
    left_out: Sequence[LeftOutRow] | None
    stages: Sequence[StageDone]
    seconds: float
    mark: str
    wanted: Sequence[float] = ()


def waveform(samples: NDArray[np.float32], sample_rate: int) -> list[float]:
    """The largest magnitude in every twentieth of a second, 0 to 1 of the track's own largest."""
    step = sample_rate // PEAKS_PER_SECOND
    padded = np.pad(np.abs(samples), (0, -len(samples) % step))
    peaks = padded.reshape(-1, step).max(axis=1)
    return [round(float(peak), 3) for peak in peaks / max(float(peaks.max(initial=0.0)), 1e-6)]


def report_html(report: Report) -> str:
    """The page, with everything in it."""
    timeline = report.timeline
    facts = [
        f"{float(timeline.duration):.2f} s ({escape(report.length_reason)})",
        f"{counted(len(timeline.items), 'shot')} from {counted(len({i.clip.sha256 for i in timeline.items}), 'clip')}",
        f"{timeline.width}&times;{timeline.height}, {float(timeline.fps):.5g} frames a second",
        f"style {escape(timeline.style)}",
        escape(report.grid.reason.rstrip(".")) if report.grid else "no music",
    ]
    page = Template(resources.files("montage_ai.render").joinpath("report.html").read_text(encoding="utf-8"))
    return page.substitute(
        title=escape(printable(report.title)),
        facts=" &middot; ".join(facts),
        film=_film(report),
        shots="".join(_shot(report, k) for k in range(len(timeline.items))),
        left_out=_left_out(report),
        stages="".join(_stage(stage) for stage in report.stages) + _row("Everything", f"{report.seconds:.1f} s", ""),
        aspect=f"{timeline.width} / {timeline.height}",
        beats=_beats_legend(report.grid),
        mark=report.mark,
    )


def _beats_legend(grid: BeatGrid | None) -> str:
    return "beat (tall: first of a bar)" if grid and grid.downbeats else "beat"


def _film(report: Report) -> str:
    """The pictures over the waveform, on one time axis, as SVG."""
    timeline, seconds = report.timeline, float(report.timeline.duration)
    shortest = max(24.0, _NARROWEST * len(timeline.items) / seconds)
    scale = min(max(1100 / seconds, shortest), 60_000 / seconds)  # pixels a second: a long film scrolls
    width = seconds * scale
    grid = _grid(report.grid, seconds, scale) if report.grid else ""
    cells = []
    for k, (start, item) in enumerate(zip(timeline.starts, timeline.items, strict=True)):
        left, length = float(start / timeline.fps) * scale, float(item.frames / timeline.fps) * scale
        cells.append(_cell(k, item, left, length, report.pictures[k]))
    height = _STRIP + 8 + _HEIGHT + 18
    return (
        f'<svg width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}" role="img" '
        f'aria-label="The film over its music">{grid}{_wave(report.peaks, seconds, scale)}'
        f"{''.join(cells)}{_axis(seconds, scale, height)}</svg>"
    )


def _grid(grid: BeatGrid, seconds: float, scale: float) -> str:
    """The sections as grounds of the waveform, and the beats as marks."""
    downbeats = set(grid.downbeats)
    sections = [
        f'<rect class="section {s.label}" x="{s.start * scale:.1f}" y="{_STRIP + 8}" '
        f'width="{(min(s.end, seconds) - s.start) * scale:.1f}" height="{_HEIGHT}"><title>{s.label}</title></rect>'
        for s in grid.sections
        if s.start < seconds
    ]
    return "".join(sections) + "".join(_beat(b, b in downbeats, scale) for b in grid.beats if b < seconds)


def _cell(index: int, item: Item, left: float, length: float, picture: bytes | None) -> str:
    width = max(length - 1, 1)
    image = (
        f'<image href="{_data_url(picture)}" x="{left:.1f}" y="0" width="{width:.1f}" height="{_STRIP}" '
        f'preserveAspectRatio="xMidYMid {"meet" if width > 4 * _STRIP else "slice"}"/>'
        if picture
        else ""
    )
    name = escape(printable(item.clip.path.name))
    cut = f'<line class="cut" x1="{left:.1f}" x2="{left:.1f}" y1="0" y2="{_STRIP + 8 + _HEIGHT}"/>' if index else ""
    return f'<a href="#shot{index + 1}"><g><title>{index + 1}: {name}</title>{image}</g></a>{cut}'


def _wave(peaks: Sequence[float], seconds: float, scale: float) -> str:
    shown = list(peaks[: int(seconds * PEAKS_PER_SECOND) + 1])
    step, middle = scale / PEAKS_PER_SECOND, _STRIP + 8 + _HEIGHT / 2
    top = [f"{i * step:.1f},{middle - peak * _HEIGHT / 2.1:.1f}" for i, peak in enumerate(shown)]
    bottom = [f"{i * step:.1f},{middle + peak * _HEIGHT / 2.1:.1f}" for i, peak in enumerate(shown)]
    return f'<polygon class="wave" points="{" ".join(top + bottom[::-1])}"/>'


def _beat(time: float, down: bool, scale: float) -> str:
    bottom = _STRIP + 8 + _HEIGHT
    size, kind = (_HEIGHT, "downbeat") if down else (14, "beat")
    return f'<line class="{kind}" x1="{time * scale:.1f}" x2="{time * scale:.1f}" y1="{bottom - size}" y2="{bottom}"/>'


def _axis(seconds: float, scale: float, height: float) -> str:
    step = next(s for s in (1, 2, 5, 10, 30, 60, 300, 3600) if s * scale >= 50 or s == 3600)
    labels = [
        f'<text x="{t * scale:.1f}" y="{height - 3}">{t // 60}:{t % 60:02d}</text>'
        for t in range(0, int(seconds), step)
    ]
    return "".join(labels)


def _shot(report: Report, index: int) -> str:
    timeline = report.timeline
    item, first = timeline.items[index], timeline.starts[index]
    picture = report.pictures[index]
    image = f'<img src="{_data_url(picture)}" alt="" loading="lazy">' if picture else '<div class="blank"></div>'
    start, end = (float(frame / timeline.fps) for frame in (first, first + item.frames))
    source = (
        "photo" if item.clip.kind == "photo" else f"{float(item.start):.2f}&ndash;{float(item.end(timeline.fps)):.2f} s"
    )
    join = timeline.transitions[index - 1] if index else None
    wanted = f"wanted {100 * report.wanted[index]:.0f} %" if report.wanted and report.wanted[index] >= 0.05 else ""
    steadied = "steadied" if index in report.steadied else ""
    notes = [item.section, wanted, steadied, join.kind.replace("_", " ") if join else ""]
    return (
        f'<figure id="shot{index + 1}">{image}<figcaption><b>{index + 1}</b> {start:.2f}&ndash;{end:.2f} s<br>'
        f"{escape(printable(item.clip.path.name))}, {source}<br>"
        f"<i>{escape(', '.join(filter(None, notes)))}</i></figcaption></figure>"
    )


def _left_out(report: Report) -> str:
    if report.left_out is None:
        return _row("Nothing", "", "the timeline was rendered as it stands")
    rows = [_left_out_row(row) for row in report.left_out]
    return "".join(rows) or _row("Nothing", "", "every clip is in the film")


def _left_out_row(row: LeftOutRow) -> str:
    image = f'<img src="{_data_url(row.picture)}" alt="" loading="lazy">' if row.picture else ""
    cells = "".join(f"<td>{escape(cell)}</td>" for cell in (printable(row.name), row.where, row.reason))
    return f'<tr><td class="still">{image}</td>{cells}</tr>'


def _stage(stage: StageDone) -> str:
    return _row(stage.stage, f"{stage.seconds:.1f} s", stage.summary)


def _row(*cells: str) -> str:
    return f"<tr>{''.join(f'<td>{escape(cell)}</td>' for cell in cells)}</tr>"


def _data_url(jpeg: bytes) -> str:
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg).decode('ascii')}"
