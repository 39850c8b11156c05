from __future__ import annotations

import json
from pathlib import Path

import pytest

from montage_ai.cli.display import showing
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


def test_a_tally_adds_up_and_never_goes_back() -> None:
    told: list[Event] = []
    tally = Tally(told.append, "Rendering")
    tally._PAUSE = 0.0
    for part, done in (("a", 3.0), ("b", 2.0), ("a", 1.0), ("a", 5.0)):
        tally.set(part, done)
    assert [event.done for event in told if isinstance(event, StageProgress)] == [3.0, 5.0, 5.0, 7.0]
