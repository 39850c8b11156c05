from __future__ import annotations

import contextlib
import io
import json
import re
import time
from pathlib import Path

import pytest
from rich.console import Console

from montage_ai.cli.display import Live, showing
from montage_ai.events import Event, Notice, StageDone, StageProgress, StageStarted, Tally

EVENTS: list[Event] = [
    StageStarted("Rendering", 10, "frames"),
    StageProgress("Rendering", 4),
    Notice("warning", "is damaged.", Path("a\nb.mp4")),
    StageDone("Rendering", 1.25, "10 frames"),
]


def test_json_is_one_object_a_line_with_every_field(capsys: pytest.CaptureFixture[str]) -> None:
    with showing(as_json=True) as emit:
        for event in EVENTS:
            emit(event)
    out, err = capsys.readouterr()
    told = [json.loads(line) for line in out.splitlines()]
    assert [event["event"] for event in told] == ["stage", "progress", "notice", "stage_done"]
    assert told[0] == {"event": "stage", "stage": "Rendering", "total": 10, "unit": "frames"}
    assert told[2]["file"] == "a\nb.mp4"
    assert err == ""


def test_without_a_terminal_lines_go_to_stderr_and_names_stay_on_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with showing(as_json=False) as emit:
        for event in EVENTS:
            emit(event)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines() == [
        "Rendering ...",
        r"Warning: a\nb.mp4: is damaged.",
        "Rendering: done in 1.2 s. 10 frames",
    ]


@pytest.mark.parametrize("width", [80, 100, 140])
def test_on_a_terminal_every_stage_has_one_line_with_its_bar_rate_and_time_left(width: int) -> None:
    screen = Console(file=io.StringIO(), width=width, force_terminal=True, color_system=None)
    with Live(screen) as live:
        live(StageStarted("Looking at the footage", 100.0, "s"))
        live(StageProgress("Looking at the footage", 99.0, "a clip.mp4"))
        live(StageDone("Looking at the footage", 67.9, "19 new clips, 43 shots, and more that is said than fits"))
        live(StageStarted("Rendering", 1000, "frames"))
        time.sleep(0.01)
        live(StageProgress("Rendering", 4, "some clip with a very long name indeed, longer than any screen.mp4"))
        shown = drawn(live, width)
    assert len(shown) == 2
    assert all(len(line) <= width for line in shown)
    looked, rendering = shown
    assert looked.startswith("✓ Looking at the footage")
    assert "67.9 s  19 new clips" in looked
    assert re.search(r"Rendering +[━╸╺ ]{8,} [\d.]+ frames/s, \d+ (s|min) left", rendering)


def test_a_stage_that_was_stopped_says_so_and_not_how_long_it_takes() -> None:
    screen = Console(file=io.StringIO(), width=80, force_terminal=True, color_system=None)
    live = Live(screen)
    with contextlib.suppress(KeyboardInterrupt), live:
        live(StageStarted("Rendering", 1000, "frames"))
        live(StageProgress("Rendering", 4))
        raise KeyboardInterrupt
    (line,) = drawn(live, 80)
    assert line.startswith("✗ Rendering")
    assert line.rstrip().endswith("stopped")


def drawn(live: Live, width: int) -> list[str]:
    paper = Console(file=io.StringIO(), width=width, color_system=None)
    paper.print(live._progress.get_renderable())
    return [line for line in paper.file.getvalue().splitlines() if line.strip()]  # type: ignore[attr-defined]


def test_a_tally_adds_up_and_never_goes_back() -> None:
    told: list[Event] = []
    tally = Tally(told.append, "Rendering")
    tally._PAUSE = 0.0
    for part, done in (("a", 3.0), ("b", 2.0), ("a", 1.0), ("a", 5.0)):
        tally.set(part, done)
    assert [event.done for event in told if isinstance(event, StageProgress)] == [3.0, 5.0, 5.0, 7.0]
