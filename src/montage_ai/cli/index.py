"""``index``: look at footage once, so that it can be searched."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from montage_ai.cli.display import print_json, showing
from montage_ai.cli.options import JsonOption, OffloadOption, QuietOption
from montage_ai.errors import printable
from montage_ai.events import counted

ModelOption = Annotated[
    str | None,
    typer.Option("--model", help="A folder, or a model of the Hugging Face hub. Default: that used last."),
]


def index(
    footage: Annotated[list[Path], typer.Argument(help="Folders and files.")],
    model: ModelOption = None,
    captions: Annotated[bool, typer.Option("--captions", help="Have a model describe every shot, too.")] = False,
    caption_model: Annotated[
        str | None, typer.Option(help="The model that does: a folder or one of the hub, of the family BLIP.")
    ] = None,
    offload: OffloadOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Look at FOOTAGE once, so that it can be searched: what is new or has changed, and what a model sees in it."""
    from montage_ai.api.indexing import index as look

    with showing(as_json=json, quiet=quiet) as emit:
        done = look(footage, model=model, captions=caption_model or captions, offload=offload, emit=emit)
    if json:
        print_json(
            "index",
            files=done.files,
            unchanged=done.unchanged,
            decoded=done.decoded,
            pictures=done.pictures,
            captions=done.captions,
            model=done.model,
            skipped=[{"file": str(one.path), "reason": one.reason} for one in done.skipped],
        )
        return
    seen = f", {counted(done.pictures, 'picture')} seen by {printable(done.model)}" if done.model else ""
    said = f", {counted(done.captions, 'shot')} described" if done.captions else ""
    left_out = f", {len(done.skipped)} left out" if done.skipped else ""
    typer.echo(
        f"{counted(done.files, 'file')}: {done.unchanged} unchanged, {done.decoded} measured now{left_out}{seen}{said}."
    )
