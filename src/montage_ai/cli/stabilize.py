"""``stabilize``."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from montage_ai.cli.display import print_json, showing
from montage_ai.cli.options import ForceOption, JsonOption, OffloadOption, QuietOption
from montage_ai.errors import UserError, printable
from montage_ai.events import StageDone, StageStarted, Tally

if TYPE_CHECKING:
    from montage_ai.offload.job import Job

_STAGE = "Stabilising"


def stabilize(
    clips: Annotated[list[Path], typer.Argument(help="Videos, and folders of them.")],
    output: Annotated[
        Path | None,
        typer.Option(
            "--output",
            "-o",
            help="A file for one clip, a folder for several. Default: NAME_stabilized.mp4 beside it.",
        ),
    ] = None,
    smoothing: Annotated[
        int, typer.Option(min=1, max=100, help="Swings of 4 times as many frames are halved, faster ones go.")
    ] = 15,
    always: Annotated[bool, typer.Option("--always", help="Also steady what does not shake.")] = False,
    offload: OffloadOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Steady shaky CLIPS; those that do not shake are copied as they are. A bad one is named, and the rest is done."""
    from montage_ai.api.stabilization import StabilizationService

    clips = videos(clips)
    outputs = _outputs(clips, output)
    started = time.monotonic()
    with showing(as_json=json, quiet=quiet) as emit:
        emit(StageStarted(_STAGE, float(len(clips)), "clips"))
        tally = Tally(emit, _STAGE)
        service = StabilizationService(smoothing=smoothing, always=always, offload=offload)
        results = service.stabilize(clips, outputs, force=force, emit=emit, on_progress=lambda job: _tell(job, tally))
        steadied = sum(result.steadied for result in results)
        emit(
            StageDone(_STAGE, time.monotonic() - started, f"{steadied} steadied, {len(results) - steadied} left alone")
        )
    for result in results:
        if json:
            print_json("clip", source=result.source, output=result.output, steadied=result.steadied, shake=result.shake)
        else:
            what = "steadied" if result.steadied else "does not shake, copied as it is"
            typer.echo(f"{printable(str(result.output))}: {what} (shake {100 * result.shake:.2f} % of the picture).")
    if len(results) < len(clips):
        raise typer.Exit(2)


def _tell(job: Job, tally: Tally) -> None:
    """A clip counts as far as its job runs; what travels is told in words."""
    from montage_ai.offload.states import ENDS, State
    from montage_ai.offload.telling import told

    ended = job.status in ENDS
    fraction = 1.0 if ended else job.progress.fraction if job.status is State.RUNNING else 0.0
    tally.set(job.task.model_dump_json(), fraction, told(job), whole=ended)


def videos(places: list[Path]) -> list[Path]:
    """The files that were named, and the videos in the folders that were."""
    from montage_ai.footage.files import find_files
    from montage_ai.media.probe import VIDEO_SUFFIXES

    named = [path for path in places if not path.is_dir()]
    inside = find_files([path for path in places if path.is_dir()]).files
    found = [*named, *(path for path in inside if path.suffix.lower() in VIDEO_SUFFIXES)]
    if not found:
        raise UserError("holds no video.", file=", ".join(map(str, places)), hint="Name clips, or a folder of them.")
    return found


def stabilized_name(clip: Path, folder: Path) -> Path:
    """Where the steadied ``clip`` goes in ``folder``."""
    return folder / f"{clip.stem}_stabilized.mp4"


def _outputs(clips: list[Path], output: Path | None) -> list[Path]:
    """Where each clip goes. Raises ``UserError`` where two would go to one place."""
    if output is None:
        return [stabilized_name(clip, clip.parent) for clip in clips]
    if len(clips) == 1 and not output.is_dir() and output.suffix:
        return [output]
    if output.exists() and not output.is_dir():
        raise UserError("is a file, and there are several clips.", file=output, hint="Name a folder.")
    outputs = [stabilized_name(clip, output) for clip in clips]
    if len(set(outputs)) < len(outputs):
        raise UserError("Two of the clips have the same name.", hint="Stabilise them into different folders.")
    return outputs
