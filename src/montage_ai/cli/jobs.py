"""The heavy steps that are jobs: list, show, watch, retry, cancel, pause, resume, clean."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from montage_ai.cli.display import json_line, print_json, showing
from montage_ai.cli.options import JsonOption, OffloadOption
from montage_ai.errors import MontageError, UserError, printable
from montage_ai.events import Notice, StageDone, StageStarted, Tally, counted

if TYPE_CHECKING:
    from collections.abc import Iterator

    from rich.table import Table

    from montage_ai.offload.job import Job
    from montage_ai.offload.store import JobRow, Store

_FEW = 30
_MANY = 200  # from here on plain lines: drawing a table takes its time
_WIDTHS = (8, 10, 30, 26, 16, 16, 0)
_LOOK = 0.5
_DAY = 86_400.0

_Ids = Annotated[
    list[str] | None, typer.Argument(help="Jobs, by the beginning of their identity. Default: all that fit.")
]


def list_(
    everything: Annotated[bool, typer.Option("--all", help=f"All, not only the last {_FEW}.")] = False,
    json: JsonOption = False,
) -> None:
    """List jobs, the newest first."""
    store = _store()
    rows = store.jobs(-1 if everything else _FEW)
    store.close()
    if json:
        sys.stdout.write("".join(json_line("job", **_as_data(row)) for row in rows))
    elif len(rows) > _MANY:
        typer.echo(
            "\n".join(
                "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, _WIDTHS, strict=True)).rstrip()
                for cells in _cells(rows)
            )
        )
    elif rows:
        _print(_table(rows))
    else:
        typer.echo("No job was ever made.")


def show(job: Annotated[str, typer.Argument(help="The beginning of its identity.")], json: JsonOption = False) -> None:
    """Show one job and every attempt at it."""
    store = _store()
    row = _one(store, job)
    attempts = store.attempts(row.id)
    store.close()
    if json:
        print_json("job", **_as_data(row), attempts=[asdict(attempt) for attempt in attempts])
        return
    typer.echo(f"{row.id}: {row.task} of {printable(row.about)}: {_state(row)}")
    if row.cause:
        typer.echo(f"    {printable(row.cause)}")
    for attempt in attempts:
        took = f"{attempt.took:.1f} s" if attempt.took else "under way or left"
        cause = f": {printable(attempt.cause)}" if attempt.cause else ""
        said = f"predicted {attempt.predicted:.1f} s, {took}, {attempt.outcome}{cause}"
        typer.echo(f"    {attempt.executor}, {attempt.variant}: {said}")


def watch(json: JsonOption = False) -> None:
    """Show the jobs of all programs while any is under way."""
    from rich.console import Console
    from rich.live import Live

    store = _store()
    try:
        if json or not sys.stdout.isatty():
            _watch_lines(store, json=json)
            return
        with Live(console=Console(), auto_refresh=False) as live:
            while rows := _under_way(store):
                live.update(_table(rows), refresh=True)
                time.sleep(_LOOK)
        typer.echo("No job is under way.")
    finally:
        store.close()


def retry(ids: _Ids = None, offload: OffloadOption = None, json: JsonOption = False) -> None:
    """Do jobs again that failed, were cancelled, or were left by a program that ended. Their results are remembered."""
    from pydantic import ValidationError

    from montage_ai.offload.offloader import MEASURED, Offloader
    from montage_ai.offload.states import State
    from montage_ai.offload.telling import told
    from montage_ai.tasks import task_class

    store = _store()
    fit = {State.FAILED, State.CANCELLED}
    rows = [row for row in _chosen(store, ids) if row.state in fit or not (row.has_ended or row.is_looked_after)]
    if not ids:
        rows = [row for row in rows if not row.key.startswith(MEASURED)]
    store.close()
    if not rows:
        typer.echo("There is no such job to be done again.")
        return
    failed, failed_jobs, started = 0, 0, time.monotonic()
    stage = "Doing jobs again"
    with showing(as_json=json) as emit, Offloader(offload, emit=emit) as offloader:
        emit(StageStarted(stage, float(len(rows)), "jobs"))
        tally = Tally(emit, stage)

        def tell(job: Job) -> None:
            tally.set(job.task.model_dump_json(), 1.0 if job.has_ended else job.progress.fraction, told(job))

        under_way: list[Job] = []
        for row in rows:
            try:
                task = task_class(row.task).model_validate_json(row.parameters)
                if (claimed := offloader.store.claim_job(row.id)) is None:
                    emit(Notice("info", f"{row.id[:8]} is looked after by another program by now."))
                else:
                    under_way.append(offloader.resume(claimed, task, tell))
            except (ValidationError, MontageError, OSError) as error:
                emit(Notice("warning", f"{row.id[:8]} cannot be done again: {error}"))
                failed += 1
        for job in under_way:
            if (raised := job.exception()) is not None:
                emit(Notice("warning", f"{job.id[:8]}: {raised}"))
                failed_jobs += 1
        failed += failed_jobs
        emit(StageDone(stage, time.monotonic() - started, f"{len(under_way) - failed_jobs} done, {failed} failed"))
    if failed:
        raise typer.Exit(1)


def cancel(
    ids: _Ids = None,
    everything: Annotated[bool, typer.Option("--all", help="All jobs that have not ended.")] = False,
    json: JsonOption = False,
) -> None:
    """Give jobs up: what runs is ended, and what lies elsewhere is removed."""
    if not ids and not everything:
        raise UserError("No job was named.", hint="Name some (see `montage-ai jobs list`), or use --all.")
    _wish("cancel", ids, "given up", as_json=json)


def pause(ids: _Ids = None, json: JsonOption = False) -> None:
    """Have jobs that wait go on waiting."""
    _wish("pause", ids, "paused", as_json=json)


def resume(ids: _Ids = None, json: JsonOption = False) -> None:
    """Let paused jobs go on."""
    _wish("", ids, "resumed", as_json=json)


def clean(
    days: Annotated[float, typer.Option(min=0, help="Forget jobs that ended longer ago than this.")] = 7.0,
    json: JsonOption = False,
) -> None:
    """Forget old jobs, and remove what they left here. (What was left on
    other machines goes when they are next reached, after a week at the latest.)"""
    from montage_ai.api.storage import forget_jobs

    forgotten, freed = forget_jobs(before=time.time() - days * _DAY)
    if json:
        print_json("cleaned", jobs=forgotten, bytes=freed)
    else:
        typer.echo(f"{counted(forgotten, 'job')} forgotten, {freed / 1e6:.1f} MB freed.")


COMMANDS = {
    "list": list_,
    "show": show,
    "watch": watch,
    "retry": retry,
    "cancel": cancel,
    "pause": pause,
    "resume": resume,
    "clean": clean,
}


def _store() -> Store:
    from montage_ai import config
    from montage_ai.offload.store import Store

    return Store(config.data_dir())


def _one(store: Store, start: str) -> JobRow:
    found = store.find(start)
    if len(found) != 1:
        what = f"{len(found)} jobs begin" if found else "No job begins"
        raise UserError(f"{what} with {start!r}.", hint="See `montage-ai jobs list --all`.")
    return found[0]


def _chosen(store: Store, ids: list[str] | None) -> list[JobRow]:
    return [_one(store, start) for start in ids] if ids else store.jobs()


def _wish(wish: str, ids: list[str] | None, done: str, *, as_json: bool) -> None:
    """Ask the programs that look after the jobs; jobs that nobody looks after are given up at once."""
    from montage_ai.offload.states import State

    store = _store()
    rows = [row for row in _chosen(store, ids) if not row.has_ended]
    store.wish([row.id for row in rows], wish)
    for row in rows:
        if wish == "cancel" and not row.is_looked_after:
            store.move(row.id, State.CANCELLED, "cancelled")
    store.close()
    if as_json:
        print_json("jobs", done=done, ids=[row.id for row in rows])
    else:
        typer.echo(f"{counted(len(rows), 'job')} {done}.")


def _under_way(store: Store) -> list[JobRow]:
    return [row for row in store.jobs() if not row.has_ended and row.is_looked_after]


def _watch_lines(store: Store, *, json: bool) -> None:
    last: dict[str, tuple[str, float]] = {}
    while rows := _under_way(store):
        for row in rows:
            if last.get(row.id) != (row.state, row.fraction):
                last[row.id] = (row.state, row.fraction)
                if json:
                    print_json("job", **_as_data(row))
                else:
                    typer.echo(f"{row.id[:8]} {row.task} of {printable(row.about)}: {_state(row)}")
        time.sleep(_LOOK)


def _table(rows: list[JobRow]) -> Table:
    from rich.markup import escape
    from rich.table import Table

    table = Table()
    for column in ("job", "task", "of", "state", "where", "when", "why"):
        table.add_column(column, overflow="fold")
    for cells in _cells(rows):
        table.add_row(*(escape(cell) for cell in cells))
    return table


def _cells(rows: list[JobRow]) -> Iterator[list[str]]:
    for row in rows:
        when = time.strftime("%d %b %H:%M:%S", time.localtime(row.changed))
        where = f"{row.executor}, {row.variant}" if row.executor else ""
        yield [row.id[:8], row.task, printable(row.about), _state(row), where, when, printable(row.cause or "")]


def _state(row: JobRow) -> str:
    if row.has_ended:
        return str(row.state)
    if not row.is_looked_after:
        return "left (`jobs retry` goes on)"
    share = f" {100 * row.fraction:.0f} %" if row.fraction else ""
    return f"{row.state}{share}{' (paused)' if row.wish == 'pause' else ''}"


def _as_data(row: JobRow) -> dict[str, Any]:
    return asdict(row) | {"looked_after": not row.has_ended and row.is_looked_after}


def _print(table: Table) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 160).print(table)
