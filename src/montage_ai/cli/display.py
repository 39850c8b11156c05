"""How events are shown: as a live display, as plain lines, or as JSON."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

from montage_ai.errors import printable, shown
from montage_ai.events import Emit, Event, Notice, StageDone, StageProgress, StageStarted

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress, TaskID

_QUIET_SECONDS = 5.0  # between plain lines of one stage


@contextlib.contextmanager
def showing(*, as_json: bool, quiet: bool = False) -> Iterator[Emit]:
    """The ``Emit`` that fits where the output goes; it may be called from any thread. ``quiet``: warnings alone."""
    if as_json:
        yield _locked(show_json)
    elif quiet:
        yield _locked(_warn)
    elif sys.stderr.isatty():
        with Live() as live:
            yield _locked(live)
    else:
        yield _locked(_Plain())


def print_json(kind: str, **content: Any) -> None:
    """One event as one line on stdout."""
    sys.stdout.write(json_line(kind, **content))
    sys.stdout.flush()


def json_line(kind: str, **content: Any) -> str:
    """One event as one line."""
    return json.dumps({"event": kind, **content}, default=str) + "\n"


def show_json(event: Event) -> None:
    kinds = {StageStarted: "stage", StageProgress: "progress", StageDone: "stage_done", Notice: "notice"}
    print_json(kinds[type(event)], **dataclasses.asdict(event))


def told(notice: Notice) -> str:
    """A notice as one line."""
    about = f"{printable(str(notice.file))}: " if isinstance(notice.file, Path) else ""
    return f"{'Warning: ' if notice.level == 'warning' else ''}{about}{shown(notice.text)}"


def _warn(event: Event) -> None:
    if isinstance(event, Notice) and event.level == "warning":
        _say(told(event))


def _say(line: str) -> None:
    sys.stderr.write(line + "\n")
    sys.stderr.flush()


class _Plain:
    """Lines on stderr: the start and end of a stage, and how far it is every few seconds."""

    def __init__(self) -> None:
        self._totals: dict[str, StageStarted] = {}
        self._began: dict[str, float] = {}
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._totals[event.stage], self._last = event, time.monotonic()
            self._began[event.stage] = self._last
            _say(f"{event.stage} ...")
        elif isinstance(event, StageProgress) and time.monotonic() - self._last >= _QUIET_SECONDS:
            self._last = time.monotonic()
            start = self._totals.get(event.stage)
            _say(f"{event.stage}: {self._so_far(event, start)}")
        elif isinstance(event, StageDone):
            _say(f"{event.stage}: done in {event.seconds:.1f} s. {event.summary}")
        elif isinstance(event, Notice):
            _say(told(event))

    def _so_far(self, event: StageProgress, start: StageStarted | None) -> str:
        if start is None or not start.total:
            return f"{event.done:.0f}"
        share = event.done / start.total
        elapsed = time.monotonic() - self._began.get(event.stage, time.monotonic())
        left = f", {_minutes(elapsed / share - elapsed)} left" if share > 0.02 and elapsed > 0 else ""
        return f"{100 * share:.0f} %{left}"


class Live:
    """One progress display, a line a stage: how far it is, its rate and the time left, and then what came of it."""

    def __init__(self, console: Console | None = None) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, TextColumn
        from rich.spinner import Spinner
        from rich.table import Column
        from rich.text import Text

        spinner = Spinner("dots")

        class Mark(ProgressColumn):
            def render(self, task: Any) -> Any:
                if task.fields["stopped"]:
                    return Text("✗", style="red")
                return Text("✓", style="green") if task.finished else spinner.render(task.get_time())

        class Told(ProgressColumn):
            def render(self, task: Any) -> Any:
                return Text(_told_of(task), style="dim")

        one_line = {"no_wrap": True, "overflow": "ellipsis"}
        columns = (
            Mark(),
            TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            BarColumn(bar_width=None, table_column=Column(min_width=8, max_width=28, ratio=1)),
            Told(table_column=Column(ratio=3, **one_line)),  # type: ignore[arg-type]
        )
        self._progress: Progress = Progress(*columns, console=console or Console(stderr=True), expand=True)
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> Live:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        for task in self._progress.tasks:
            if not task.finished:
                self._progress.update(task.id, stopped=True)
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._tasks[event.stage] = self._progress.add_task(
                event.stage, total=event.total, unit=event.unit, detail="", summary="", stopped=False
            )
        elif isinstance(event, StageProgress) and event.stage in self._tasks:
            self._progress.update(self._tasks[event.stage], completed=event.done, detail=printable(event.detail))
        elif isinstance(event, StageDone) and event.stage in self._tasks:
            summary = f"{event.seconds:.1f} s  {event.summary}"
            self._progress.update(self._tasks[event.stage], total=1, completed=1, summary=summary)
        elif isinstance(event, Notice):
            self._progress.console.print(told(event), style="yellow" if event.level == "warning" else "", markup=False)


def _told_of(task: Any) -> str:
    """The rate and the time left, from the work done since the stage began; what came of it when it is done."""
    if task.finished:
        return str(task.fields["summary"])
    if task.fields["stopped"]:
        return "stopped"
    if not task.completed or not task.elapsed:
        return ""
    rate, unit = task.completed / task.elapsed, task.fields["unit"]
    said = f"{rate:.1f}x real time" if unit == "s" else f"{rate:.1f} {unit}/s"
    left = f", {_minutes((task.total - task.completed) / rate)} left" if task.total else ""
    return f"{said}{left}  {task.fields['detail']}".rstrip()


def _locked(emit: Emit) -> Emit:
    lock = threading.Lock()

    def locked(event: Event) -> None:
        with lock:
            emit(event)

    return locked


def _minutes(seconds: float) -> str:
    seconds = max(seconds, 0.0)  # more may be done than was known of
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
