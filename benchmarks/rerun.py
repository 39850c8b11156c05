"""What is done again: nothing when nothing changed, one segment when one shot is replaced."""

from __future__ import annotations

import json
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

from benchmarks.measuring import Usage, job, montage_ai, run
from benchmarks.memory import make_clips
from benchmarks.row import Row, none_of, told
from benchmarks.synth_sound import drums, write_wav
from montage_ai.edit.conform import read_otio
from montage_ai.edit.timeline import Timeline

CLIPS, SECONDS = 8, 30


def rows(quick: bool = False) -> list[Row]:
    """Counts of clips decoded and segments encoded by a second run and after one shot was replaced."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        home, film = folder / "home", folder / "film.mp4"
        footage = make_clips(folder / "footage", 4 if quick else CLIPS, distinct=4, size=(640, 360), seconds=6)
        music = write_wav(folder / "music.wav", drums(12 if quick else SECONDS))
        command = montage_ai("make", footage, "--music", music, "--output", film, "--json")
        first, second = run(command, home=home), run(command, home=home)
        timeline = read_otio(film.with_suffix(".otio"))
        changed = _render(_replaced(timeline), folder, home)
    return [*_again(_told(first), _told(second)), *_times(first, second), *_one_shot(timeline, changed)]


def _again(first: dict[str, Any], second: dict[str, Any]) -> list[Row]:
    decoded, encoded = (f"{first[what]} at first" for what in ("decoded", "encoded"))
    return [
        none_of("second run: clips decoded", second["decoded"], reference=decoded),
        none_of("second run: segments encoded", second["encoded"], reference=encoded),
    ]


def _times(first: Usage, second: Usage) -> list[Row]:
    return [
        told("second run: wall", second.wall, reference=f"{first.wall:.2f} s at first", unit="s"),
        told("second run: CPU", second.cpu, reference=f"{first.cpu:.2f} s at first", unit="s"),
    ]


def _one_shot(timeline: Timeline, told_by: dict[str, Any]) -> list[Row]:
    encoded = told_by["encoded"]
    reference = f"of {len(timeline.items)} shots, hard cuts"
    return [Row("one shot replaced: segments encoded", encoded, "1", reference, encoded == 1)]


def _replaced(timeline: Timeline) -> Timeline:
    """The film with another moment of the same clip as its middle shot."""
    if any(timeline.transitions):
        raise RuntimeError("The film has transitions: a shot is not a segment then.")
    items = list(timeline.items)
    middle = len(items) // 2
    start = items[middle].start
    items[middle] = items[middle].model_copy(update={"start": start + Fraction(1, 5) if start < 2 else start - 1})
    return timeline.model_copy(update={"items": tuple(items)})


def _render(timeline: Timeline, folder: Path, home: Path) -> dict[str, Any]:
    path = folder / "changed.json"
    path.write_text(timeline.model_dump_json(), encoding="utf-8")
    outcome: dict[str, Any] = json.loads(run(job("render", path, folder / "changed.mp4"), home=home).output)
    return outcome


def _told(usage: Usage) -> dict[str, Any]:
    """What the command line said of the film: its last line."""
    summary: dict[str, Any] = json.loads(usage.output.strip().splitlines()[-1])
    return summary
