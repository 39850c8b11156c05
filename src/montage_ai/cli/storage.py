"""``storage`` and ``clean``."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from montage_ai.cli.display import print_json
from montage_ai.cli.options import JsonOption
from montage_ai.cli.tables import print_table
from montage_ai.errors import UserError


def storage(json: JsonOption = False) -> None:
    """Show what is kept on this machine: where, how large it is, and what can be made again.

    Films, and the timelines and reports beside them, lie where you put them and are not listed.
    """
    from montage_ai.api.storage import storage as all_kept

    kept = all_kept()
    if json:
        for one in kept:
            print_json(
                "kept", path=one.path, size=one.size, meaning=one.meaning, can_be_made_again=one.can_be_made_again
            )
        return
    rows = [
        (str(one.path), f"{one.size / 1e6:.1f} MB", one.meaning, "yes" if one.can_be_made_again else "") for one in kept
    ]
    print_table(("path", "size", "what", "can be made again"), rows)
    total, again = sum(one.size for one in kept), sum(one.size for one in kept if one.can_be_made_again)
    typer.echo(f"{total / 1e6:.1f} MB in all. `montage-ai clean` removes {again / 1e6:.1f} MB that can be made again.")


def clean(
    library: Annotated[bool, typer.Option("--library", help="Also forget what is known of footage and music.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    json: JsonOption = False,
) -> None:
    """Remove what can be made again: rendered segments and results. Films and settings stay.

    The next film takes longer for it. What a program that runs now uses stays too.
    """
    from montage_ai.api.storage import clean as remove

    if library and not yes:
        if not sys.stdin.isatty():
            raise UserError("The library was not removed, and nobody can be asked.", hint="Use --yes if it is to go.")
        if not typer.confirm("All footage will have to be looked at again. Forget what is known of it?"):
            raise UserError("Nothing was removed.")
    freed = remove(library=library)
    if json:
        print_json("cleaned", freed=freed)
    else:
        typer.echo(f"{freed / 1e6:.1f} MB removed.")
