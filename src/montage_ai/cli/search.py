"""``search``: find moments in the footage by describing them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from montage_ai.cli.display import print_json, showing
from montage_ai.cli.options import ForceOption, JsonOption, QuietOption
from montage_ai.cli.tables import print_table
from montage_ai.errors import printable
from montage_ai.events import counted

if TYPE_CHECKING:
    from montage_ai.footage.search import Found, Moment

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
    reel: Annotated[
        Path | None, typer.Option(help="A rough cut of what was found: .mp4, or .otio for an editor.")
    ] = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Find moments by what is to be seen: of indexed footage anything that a model knows, else people, smiles, motion,
    light, colour and sound; and words of captions, names, places and dates."""
    from montage_ai.api import rendering
    from montage_ai.api import search as api

    if sheet is not None:
        api.check_sheet(sheet, force=force)
    if reel is not None:
        rendering.check_reel(reel, force=force)
    with showing(as_json=json, quiet=quiet) as emit:
        found = api.search(query, folders or [], without=without or [], like=like, emit=emit)
        moments = [moment for moment in found.moments if moment.score >= min_score][:count]
        if reel is not None and moments:
            rendering.write_reel(moments, reel, force=force, emit=emit)
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
    print_table(("score", "clip", "from", "to", "why"), map(_row, moments))
    if sheet is not None:
        typer.echo(f"{printable(str(sheet))}: {counted(len(moments), 'moment')}.")
    if reel is not None:
        typer.echo(f"{printable(str(reel))}: a rough cut of {counted(len(moments), 'moment')}.")


def _row(moment: Moment) -> tuple[str, ...]:
    why = [f"{name} {100 * share:.0f} %" for name, share in moment.why.items()]
    said = [f'"{moment.said}"'] if moment.said else []
    return (
        f"{moment.score:.2f}",
        moment.clip.name,
        f"{moment.start:.1f}",
        f"{moment.end:.1f}",
        ", ".join([*why, *said]),
    )


def _unseen(found: Found) -> str:
    """What is searched of clips that no model has seen, and how to find all that one knows."""
    from montage_ai.api.indexing import how_to_index

    all_of_them = found.unseen >= found.clips
    who = "No model has seen these clips" if all_of_them else f"{counted(found.unseen, 'clip')} no model has seen"
    there = "people, motion, light, colour, sound, names and places are searched there"
    return f"{who}: {there}. For all that is to be seen: {how_to_index()}"


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
        "said": moment.said,
    }
