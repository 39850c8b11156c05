"""The table of all figures: on the terminal, as JSON, and as a page of the documentation."""

from __future__ import annotations

import platform
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

from benchmarks.row import Row
from montage_ai.media.ffmpeg import ffmpeg_version
from montage_ai.parallel import cores

COLUMNS = ("what", "value", "reference", "target", "reached", "note")

_INTRODUCTION = """# Benchmarks

Measured by `python -m benchmarks`: {reached} of {targets} targets reached{skipped}.

"""

_HOW = """## How to run them

    pip install -e '.[bench]'
    python -m benchmarks                                 # everything
    python -m benchmarks --only cuts startup             # some parts
    python -m benchmarks --quick                         # small sizes: whether it runs, not how fast it is
    python -m benchmarks --write docs/benchmarks.md      # and write what was measured into this page

Costs are CPU seconds of whole process trees. What is compared runs alternately, and ratios are medians of pairs, so
that a busy machine disturbs both sides alike; run them on an idle one all the same. Every part runs in a process and
a home of its own. Rows that need real clips, which are not part of this repository, are left out where these are
missing.
"""


@dataclass(frozen=True)
class Machine:
    """Where the figures were measured."""

    processor: str
    cores: int
    python: str
    ffmpeg: str

    def __str__(self) -> str:
        return f"{self.processor}, {self.cores} cores, Python {self.python}, FFmpeg {self.ffmpeg}"


def this_machine() -> Machine:
    """The machine that this runs on."""
    return Machine(_processor(), cores(), platform.python_version(), ffmpeg_version())


def print_table(parts: Mapping[str, Sequence[Row]], machine: Machine) -> None:
    """One table of all parts."""
    table = Table(title=str(machine), show_lines=False)
    for column in COLUMNS:
        table.add_column(column, overflow="fold")
    for rows in parts.values():
        for row in rows:
            table.add_row(*_cells(row), style="red" if row.reached is False else "")
        table.add_section()
    Console().print(table)


def page(parts: Mapping[str, Sequence[Row]], titles: Mapping[str, str], before: str = "") -> str:
    """The page of the documentation, in Markdown. Parts that were not measured stay as they are in the page ``before``.

    Args:
        parts: The rows of each part that was measured.
        titles: The title of every part there is, in their order.
        before: The page as it was.
    """
    known = _sections(before)
    sections = {name: _section(titles[name], rows) for name, rows in parts.items()}
    kept = [sections.get(name) or known.get(_heading(title), "") for name, title in titles.items()]
    verdicts = [cells[COLUMNS.index("reached")] for cells in map(_cells_of, "".join(kept).splitlines()) if cells]
    reached, missed, skipped = (verdicts.count(word) for word in ("yes", "no", "skipped"))
    left_out = f", {skipped} rows skipped" if skipped else ""
    return _INTRODUCTION.format(reached=reached, targets=reached + missed, skipped=left_out) + "".join(kept) + _HOW


def _sections(text: str) -> dict[str, str]:
    """The sections of a page by their headings."""
    parts = re.split(r"^(?=## )", text, flags=re.MULTILINE)
    return {part.partition("\n")[0]: part for part in parts if part.startswith("## ")}


def _cells_of(line: str) -> list[str]:
    """Of a row of a table its cells; of any other line nothing."""
    cells = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    return cells if len(cells) == len(COLUMNS) else []


def _heading(title: str) -> str:
    return f"## {title[:1].upper()}{title[1:]}"


def _section(title: str, rows: Sequence[Row]) -> str:
    head = f"| {' | '.join(COLUMNS)} |\n|{'---|' * len(COLUMNS)}\n"
    lines = "".join(f"| {' | '.join(map(_escaped, _cells(row)))} |\n" for row in rows)
    how = f"`{rows[0].command}` ({rows[0].on})\n\n" if rows and rows[0].command else ""
    return f"{_heading(title)}\n\n{how}{head}{lines}\n"


def _cells(row: Row) -> tuple[str, ...]:
    return row.name, row.shown, row.reference, row.target, row.verdict, row.note


def _escaped(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()
