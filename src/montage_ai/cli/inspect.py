"""``analyze``, ``beats`` and ``styles``: look before making anything."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from montage_ai.cli.display import print_json, showing
from montage_ai.cli.options import JsonOption, QuietOption
from montage_ai.errors import UserError, printable

if TYPE_CHECKING:
    from montage_ai.footage.clip import Clip


def analyze(
    footage: Annotated[list[Path], typer.Argument(help="Folders and files.")],
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Look at FOOTAGE: its shots, and how good they are."""
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from montage_ai.api.montage import analyze as look

    with showing(as_json=json, quiet=quiet) as emit:
        found = look(footage, emit=emit)
    facts = [_clip_facts(clip) for clip in found.clips]
    if json:
        for fact in facts:
            print_json("clip", **fact)
        return
    table = Table()
    table.add_column("clip", overflow="fold", min_width=24)
    for column in ("size", "fps", "length", "shots", "quality", "motion", "shake", "faces"):
        table.add_column(column)
    for fact in facts:
        numbers = (
            f"{fact['quality']:.2f}",
            f"{fact['motion']:.2f}",
            f"{100 * fact['shake']:.2f} %",
            str(fact["faces"]),
        )
        length = f"{fact['seconds']:.1f} s" if fact["seconds"] else "photo"
        shape = f"{fact['size'][0]}x{fact['size'][1]}"
        table.add_row(
            escape(printable(fact["name"])), shape, f"{fact['fps']:.4g}", length, str(fact["shots"]), *numbers
        )
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def beats(
    track: Annotated[Path, typer.Argument(help="A piece of music.")],
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Find the beats of TRACK."""
    from montage_ai.api.montage import beats as listen

    with showing(as_json=json, quiet=quiet) as emit:
        grid = listen(track, emit=emit)
    if json:
        print_json("beat_grid", **grid.model_dump(mode="json"))
        return
    typer.echo(f"{grid.reason} {grid.duration:.2f} s, {len(grid.beats)} beats, {len(grid.downbeats)} bars.")
    for section in grid.sections:
        bar = "#" * round(20 * section.energy)
        typer.echo(f"  {section.start:7.2f}-{section.end:7.2f} s  {section.label:<6} {bar}")


def styles(json: JsonOption = False) -> None:
    """List the styles."""
    from montage_ai.edit.styles import load_style, style_names

    for name in style_names():
        try:
            style = load_style(name)
        except UserError as error:  # one of the user's own
            sys.stderr.write(f"Warning: {error}\n")
            continue
        if json:
            print_json("style", **style.model_dump(mode="json"))
        else:
            typer.echo(f"{name:<14} {style.summary}")


def _clip_facts(clip: Clip) -> dict[str, Any]:
    from montage_ai.footage.quality import judge

    moments, picture = judge(clip), clip.info.picture
    return {
        "name": clip.name,
        "file": str(clip.info.path),
        "sha256": clip.facts.sha256,
        "size": [picture.width, picture.height],
        "fps": float(picture.fps),
        "seconds": clip.facts.duration,
        "damage": clip.facts.damage,
        "shots": len(clip.facts.shots),
        "boundaries": [b.model_dump() for b in clip.facts.boundaries],
        "quality": float(moments.quality.mean()),
        "motion": float(moments.motion.mean()),
        "shake": float(moments.shake.mean()),
        "faces": len(clip.facts.faces),
    }
