"""What analysing a clip costs, beside only decoding it with FFmpeg: CPU seconds, without starting Python."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from pathlib import Path

from benchmarks.measuring import FOOTAGE, alternately, at_home, ffmpeg, job, median_ratio, run
from benchmarks.render_cost import CLIPS
from benchmarks.row import Row, at_most, skipped, told

LIMITS = {"without faces": 1.6, "with faces": 2.5}


def rows(quick: bool = False) -> list[Row]:
    """The median over three 720p clips, and each of them."""
    paths = [FOOTAGE / "video" / name for name in CLIPS]
    there = [path for path in paths if path.is_file()]
    if not there:
        return [skipped(f"analysing {how}: CPU, times decoding", "the real clips are not here") for how in LIMITS]
    return [row for how in LIMITS for row in _rows(how, there[:2] if quick else there, 2 if quick else 5)]


def _rows(how: str, paths: Sequence[Path], rounds: int) -> list[Row]:
    each = [_compare(path, how, rounds) for path in paths]
    name = f"analysing {how}: CPU, times decoding"
    middle = statistics.median(row.value or 0.0 for row in each)
    return [at_most(name, middle, LIMITS[how], reference=f"median of {len(paths)} clips, {rounds} pairs each"), *each]


def _compare(path: Path, how: str, rounds: int) -> Row:
    """One clip's ratio; its reference says both in milliseconds a frame."""
    analysis = job("analyze", path, "1" if how == "with faces" else "0")
    decoding = ffmpeg("-i", path, "-map", "0:v:0", "-f", "null", "-")
    run(decoding)
    pairs = alternately(lambda: at_home(analysis), lambda: run(decoding), rounds)
    told_by = [json.loads(mine.output) for mine, _ in pairs]
    costs = [(work["cpu"], theirs.cpu) for work, (_, theirs) in zip(told_by, pairs, strict=True)]
    mine, theirs = (1000 * statistics.median(side) / told_by[0]["frames"] for side in zip(*costs, strict=True))
    return told(f"  {how}: {path.name}", median_ratio(costs), reference=f"{mine:.2f} ms a frame for {theirs:.2f} ms")
