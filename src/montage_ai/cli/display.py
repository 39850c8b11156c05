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

from montage_ai.errors import printable
from montage_ai.events import Emit, Event, Notice, StageDone, StageProgress, StageStarted

if TYPE_CHECKING:
    from rich.progress import Progress, TaskID

_QUIET_SECONDS = 5.0  # between plain lines of one stage


@contextlib.contextmanager
def showing(*, as_json: bool) -> Iterator[Emit]:
    """The ``Emit`` that fits where the output goes; it may be called from any thread."""
    if as_json:
        yield _locked(show_json)
    elif sys.stderr.isatty():
        with _Live() as live:
            yield _locked(live)
    else:
        yield _locked(_Plain())


def print_json(kind: str, **content: Any) -> None:
    """One event as one line on stdout."""
    sys.stdout.write(json.dumps({"event": kind, **content}, default=str) + "\n")
    sys.stdout.flush()


def show_json(event: Event) -> None:
    kinds = {StageStarted: "stage", StageProgress: "progress", StageDone: "stage_done", Notice: "notice"}
    print_json(kinds[type(event)], **dataclasses.asdict(event))


def told(notice: Notice) -> str:
    """A notice as one line."""
    about = f"{printable(str(notice.file))}: " if isinstance(notice.file, Path) else ""
    return f"{'Warning: ' if notice.level == 'warning' else ''}{about}{notice.text}"


class _Plain:
    """Lines on stderr: the start and end of a stage, and how far it is every few seconds."""

    def __init__(self) -> None:
        self._totals: dict[str, StageStarted] = {}
        self._last = 0.0

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._totals[event.stage], self._last = event, time.monotonic()
            self._say(f"{event.stage} ...")
        elif isinstance(event, StageProgress) and time.monotonic() - self._last >= _QUIET_SECONDS:
            self._last = time.monotonic()
            start = self._totals.get(event.stage)
            share = f"{100 * event.done / start.total:.0f} %" if start and start.total else f"{event.done:.0f}"
            self._say(f"{event.stage}: {share}")
        elif isinstance(event, StageDone):
            self._say(f"{event.stage}: done in {event.seconds:.1f} s. {event.summary}")
        elif isinstance(event, Notice):
            self._say(told(event))

    @staticmethod
    def _say(line: str) -> None:
        sys.stderr.write(line + "\n")
        sys.stderr.flush()


class _Live:
    """One progress display, a line a stage, with its rate and the time left."""

    def __init__(self) -> None:
        from rich.console import Console
        from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, TextColumn

        class Left(ProgressColumn):
            """Rate and time left, from the work done since the stage began."""

            def render(self, task: Any) -> Any:
                from rich.text import Text

                if task.finished or not task.completed or not task.elapsed:
                    return Text("")
                rate = task.completed / task.elapsed
                left = (task.total - task.completed) / rate if task.total else 0
                return Text(f"{rate:.1f} {task.fields['unit']}/s, {_minutes(left)} left", style="dim")

        columns = (
            SpinnerColumn(finished_text="[green]✓[/]"),
            TextColumn("{task.description}", markup=False),
            BarColumn(bar_width=28),
            TextColumn("{task.fields[note]}", style="dim", markup=False),
            Left(),
        )
        self._progress: Progress = Progress(*columns, console=Console(stderr=True))
        self._tasks: dict[str, TaskID] = {}

    def __enter__(self) -> _Live:
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()

    def __call__(self, event: Event) -> None:
        if isinstance(event, StageStarted):
            self._tasks[event.stage] = self._progress.add_task(event.stage, total=event.total, unit=event.unit, note="")
        elif isinstance(event, StageProgress) and event.stage in self._tasks:
            self._progress.update(self._tasks[event.stage], completed=event.done)
        elif isinstance(event, StageDone) and event.stage in self._tasks:
            note = f"{event.seconds:.1f} s  {event.summary}"
            self._progress.update(self._tasks[event.stage], total=1, completed=1, note=note)
        elif isinstance(event, Notice):
            self._progress.console.print(told(event), style="yellow" if event.level == "warning" else "", markup=False)


def _locked(emit: Emit) -> Emit:
    lock = threading.Lock()

    def locked(event: Event) -> None:
        with lock:
            emit(event)

    return locked


def _minutes(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 90 else f"{seconds / 60:.0f} min"
