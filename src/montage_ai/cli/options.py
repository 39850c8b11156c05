"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from montage_ai.events import Emit, Notice

JsonOption = Annotated[bool, typer.Option("--json", help="Print events, one JSON object a line.")]
QuietOption = Annotated[
    bool, typer.Option("--quiet", "-q", help="Show no progress: only warnings, errors and the result.")
]
OffloadOption = Annotated[
    str | None,
    typer.Option(
        help="Where heavy steps run: never (this machine only), auto, or an executor's name. Default: auto once an "
        "executor is enabled."
    ),
]
ForceOption = Annotated[bool, typer.Option("--force", help="Replace an output that this program did not make.")]


def tell_new_folder(output: Path, emit: Emit) -> None:
    """Say that the folder of ``output`` does not exist yet: a name may have been mistyped."""
    if not output.absolute().parent.is_dir():
        emit(Notice("info", "is a new folder: it is made.", output.absolute().parent))


def seconds(text: str) -> float:
    """``90``, ``1:30`` or ``0:01:30.5`` as seconds. Raises ``typer.BadParameter``."""
    parts = text.split(":")
    try:
        numbers = [float(part) for part in parts]
    except ValueError:
        numbers = []
    if not 1 <= len(numbers) <= 3 or any(number < 0 for number in numbers[1:]):
        raise typer.BadParameter(f"{text!r} is no length of time. Write seconds, or minutes and seconds like 1:30.")
    total = 0.0
    for number in numbers:
        total = 60 * total + number
    return total
