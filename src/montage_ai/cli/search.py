"""``search`` and ``tags``: find moments in the footage by describing them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from montage_ai.cli.display import print_json, showing
from montage_ai.cli.make import JsonOption
from montage_ai.errors import UserError, printable
from montage_ai.events import counted

if TYPE_CHECKING:
    from rich.table import Table

    from montage_ai.footage.search import Found, Moment, Tagged

_Folders = Annotated[list[Path] | None, typer.Option("--in", help="Folders and files. Default: all that is known.")]


def search(
    query: Annotated[str, typer.Argument(help='What is to be seen, like "happy people -night".')] = "",
    folders: _Folders = None,
    without: Annotated[list[str] | None, typer.Option(help="What is not to be seen.")] = None,
    like: Annotated[
        str | None, typer.Option(help="A picture, or a video and a second (clip.mp4@12.5): what looks like that.")
    ] = None,
    min_score: Annotated[float, typer.Option(min=0, max=1, help="How well it must fit.")] = 0.3,
    count: Annotated[int, typer.Option("-n", min=1, help="How many moments.")] = 20,
    sheet: Annotated[Path | None, typer.Option(help="A page of pictures that play: .html.")] = None,
    json: JsonOption = False,
) -> None:
    """Find moments by what is to be seen: of indexed footage anything that a model knows, else people, smiles, motion,
    light, colour, and words of names and dates."""
    from montage_ai.api import search as api
    from montage_ai.api.outputs import check_writable

    if sheet is not None:
        if sheet.suffix != ".html":
            raise UserError("is not .html.", file=sheet, hint="Give the page such a name.")
        check_writable(sheet)
    with showing(as_json=json) as emit:
        found = api.search(query, folders or [], without=without or [], like=like, emit=emit)
    moments = [moment for moment in found.moments if moment.score >= min_score][:count]
    if sheet is not None:
        title = ", ".join(filter(None, [query, like and f"like {like}", *(f"without {one}" for one in without or [])]))
        api.write_sheet(title, moments, sheet)
    if json:
        for moment in moments:
            print_json("moment", **_as_data(moment))
        print_json("found", count=len(moments), best=_best(found), unknown=found.unknown, unseen=found.unseen)
        return
    if found.unknown:
        typer.echo(f"Not known, and in no name: {', '.join(map(printable, found.unknown))}.")
    if found.unseen:
        typer.echo(_unseen(found))
    if not moments:
        typer.echo(f"Nothing fits. The best has a score of {_best(found):.2f} (--min-score {min_score:g}).")
        return
    table = _table("score", "clip", "from", "to", "why")
    for moment in moments:
        why = ", ".join(f"{name} {100 * share:.0f} %" for name, share in moment.why.items())
        _add(table, f"{moment.score:.2f}", moment.clip.name, f"{moment.start:.1f}", f"{moment.end:.1f}", why)
    _print(table)
    if sheet is not None:
        typer.echo(f"{printable(str(sheet))}: {counted(len(moments), 'moment')}.")


def tags(
    footage: Annotated[list[Path] | None, typer.Argument(help="Folders and files. Default: all that is known.")] = None,
    json: JsonOption = False,
) -> None:
    """Show what each shot of FOOTAGE shows."""
    from montage_ai.api import search as api

    with showing(as_json=json) as emit:
        found = api.tags(footage or [], emit=emit)
    if json:
        for one in found:
            print_json("shot", **_tagged(one))
        return
    table = _table("clip", "from", "to", "tags")
    for one in found:
        _add(table, one.clip.name, f"{one.start:.1f}", f"{one.end:.1f}", ", ".join(one.tags))
    _print(table)


def _unseen(found: Found) -> str:
    """What is searched of clips that no model has seen, and how to find all that one knows."""
    from montage_ai.models.library import EXTRA, is_installed

    all_of_them = found.unseen >= found.clips
    who = "No model has seen these clips" if all_of_them else f"{counted(found.unseen, 'clip')} no model has seen"
    how = "montage-ai index FOOTAGE" if is_installed() else f"{EXTRA} && montage-ai index FOOTAGE"
    return f"{who}: people, motion, light, colour and names are searched there. For all that is to be seen: {how}"


def _best(found: Found) -> float:
    return max((moment.score for moment in found.moments), default=0.0)


def _as_data(moment: Moment) -> dict[str, Any]:
    return {
        "file": str(moment.clip.info.path),
        "start": moment.start,
        "end": moment.end,
        "best": moment.best,
        "score": moment.score,
        "why": moment.why,
    }


def _tagged(one: Tagged) -> dict[str, Any]:
    return {"file": str(one.clip.info.path), "start": one.start, "end": one.end, "tags": one.tags}


def _table(*columns: str) -> Table:
    from rich.table import Table

    table = Table()
    for column in columns:
        table.add_column(column, justify="right" if column in ("score", "from", "to") else "left", overflow="fold")
    return table


def _add(table: Table, *cells: str) -> None:
    from rich.markup import escape

    table.add_row(*(escape(printable(cell)) for cell in cells))


def _print(table: Table) -> None:
    from rich.console import Console

    Console(width=None if sys.stdout.isatty() else 120).print(table)
