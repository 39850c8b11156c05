"""``tags``: what each shot shows."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from montage_ai.cli.display import print_json, showing
from montage_ai.cli.options import JsonOption, QuietOption
from montage_ai.cli.tables import print_table

if TYPE_CHECKING:
    from montage_ai.footage.search import Tagged, TaggedClip


def tags(
    footage: Annotated[list[Path] | None, typer.Argument(help="Folders and files. Default: all that is known.")] = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
) -> None:
    """Show what each shot of FOOTAGE shows, and how it feels: of indexed footage what a model says, else what is
    measured."""
    from montage_ai.api import search as api

    with showing(as_json=json, quiet=quiet) as emit:
        found = api.tags(footage or [], emit=emit)
    if not json:
        moody = any(one.moods for clip in found for one in (clip.whole, *clip.shots))
        columns = ["clip", "from", "to", "tags", *(["moods"] if moody else [])]
        print_table(columns, (row[: len(columns)] for clip in found for row in _rows(clip)))
        return
    for clip in found:
        print_json("clip", **_as_data(clip, clip.whole))
        for shot in clip.shots:
            print_json("shot", **_as_data(clip, shot))


def _rows(clip: TaggedClip) -> Iterator[list[str]]:
    """All of a clip, and its shots where there are several."""
    for one in (clip.whole, *(clip.shots if len(clip.shots) > 1 else ())):
        name = clip.clip.name if one is clip.whole else ""
        yield [name, f"{one.start:.1f}", f"{one.end:.1f}", _told(one.tags), _told(one.moods)]


def _told(tags: dict[str, float]) -> str:
    return ", ".join(f"{name} {100 * sure:.0f} %" for name, sure in tags.items())


def _as_data(clip: TaggedClip, one: Tagged) -> dict[str, Any]:
    return {
        "file": str(clip.clip.info.path),
        "start": one.start,
        "end": one.end,
        "tags": one.tags,
        "moods": one.moods,
    }
