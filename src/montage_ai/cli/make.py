"""``make`` and ``render``."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from montage_ai.cli.display import print_json, showing
from montage_ai.cli.options import ForceOption, JsonOption, OffloadOption, QuietOption, seconds, tell_new_folder
from montage_ai.edit.choices import Aspect, Density, Quality, Sound, Stabilization
from montage_ai.errors import UserError, printable
from montage_ai.events import counted

if TYPE_CHECKING:
    from montage_ai.api.montage import Film
    from montage_ai.edit.brief import Brief


def make(
    footage: Annotated[list[Path], typer.Argument(help="Folders and files: any mix of videos and photos.")],
    music: Annotated[Path, typer.Option("--music", "-m", help="The piece of music to cut to.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The film.")] = Path("film.mp4"),
    style: Annotated[str, typer.Option(help="A style's name (see `montage-ai styles`) or a .toml file.")] = "dynamic",
    duration: Annotated[
        float | None,
        typer.Option(
            parser=seconds,
            metavar="<time>",
            help="Seconds, or minutes and seconds like 1:30. Default: the music's length, or what the footage fills.",
        ),
    ] = None,
    aspect: Annotated[Aspect, typer.Option(help="Shape of the film.")] = "16:9",
    quality: Annotated[Quality, typer.Option(help="Size and care of the encode.")] = "standard",
    fps: Annotated[
        str | None, typer.Option(help="Frames a second, like 25 or 30000/1001. Default: the footage's.")
    ] = None,
    density: Annotated[
        Density, typer.Option(help="Cut on every bar, beat or half beat; auto: as the style and the music say.")
    ] = "auto",
    beat_offset: Annotated[
        float, typer.Option(min=-2000, max=2000, help="Milliseconds by which cuts come after their beat.")
    ] = 0.0,
    stabilize: Annotated[Stabilization, typer.Option(help="Steady shots; auto: those that shake.")] = "auto",
    sound: Annotated[
        Sound, typer.Option(help="Music alone; clips' own sound mixed under it; or music ducked under speech.")
    ] = "music",
    pin: Annotated[list[str] | None, typer.Option(help="CLIP[@SECONDS] that must be in the film.")] = None,
    exclude: Annotated[list[str] | None, typer.Option(help="CLIP[@FROM-TO] that must not be.")] = None,
    want: Annotated[
        list[str] | None, typer.Option(help='What it is to show, as `search` takes it: "people laughing, a dog".')
    ] = None,
    avoid: Annotated[list[str] | None, typer.Option(help='What it is not to show: "blurry, empty street".')] = None,
    lut: Annotated[Path | None, typer.Option(help="A .cube file applied after the style's look.")] = None,
    seed: Annotated[int, typer.Option(min=0, help="Another number, another film of the same kind.")] = 0,
    offload: OffloadOption = None,
    plan: Annotated[bool, typer.Option("--plan", help="Decide and print, render nothing.")] = False,
    quiet: QuietOption = False,
    json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Cut FOOTAGE to a piece of music."""
    from montage_ai.api.montage import make_montage

    brief = brief_of(
        {
            "style": style,
            "duration": duration,
            "aspect": aspect,
            "quality": quality,
            "fps": fps,
            "density": density,
            "beat_offset": beat_offset,
            "stabilize": stabilize,
            "sound": sound,
            "pin": pin,
            "exclude": exclude,
            "want": want,
            "avoid": avoid,
            "lut": lut,
            "seed": seed,
        }
    )
    with showing(as_json=json, quiet=quiet) as emit:
        if not plan:
            tell_new_folder(output, emit)
        film = make_montage(
            footage, music, output, brief=brief, plan_only=plan, force=force, offload=offload, emit=emit
        )
    if json:
        print_json("film", **_summary(film))
    elif plan:
        _print_plan(film)
    else:
        typer.echo(_told(film))


def render(
    timeline: Annotated[Path, typer.Argument(help="An .otio file that montage-ai wrote.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The film.")],
    offload: OffloadOption = None,
    quiet: QuietOption = False,
    json: JsonOption = False,
    force: ForceOption = False,
) -> None:
    """Render a timeline again."""
    from montage_ai.api.rendering import render_timeline

    with showing(as_json=json, quiet=quiet) as emit:
        tell_new_folder(output, emit)
        rendered = render_timeline(timeline, output, force=force, offload=offload, emit=emit)
    if json:
        print_json("film", output=rendered.path, encoded=rendered.encoded, reused=rendered.reused)
    else:
        encoded = counted(rendered.encoded, "segment")
        typer.echo(f"{printable(str(rendered.path))}: {encoded} encoded, {rendered.reused} reused.")


_SETTINGS = ("duration", "aspect", "quality", "fps", "density", "stabilize", "sound", "lut", "seed")


def brief_of(given: Mapping[str, Any]) -> Brief:
    """The brief that ``make``'s options say."""
    from pydantic import ValidationError

    from montage_ai.edit.brief import Brief, Exclusion, Pin
    from montage_ai.edit.formats import parse_rate
    from montage_ai.edit.styles import load_style

    settings = {name: given[name] for name in _SETTINGS} | {"beat_offset": given["beat_offset"] / 1000}
    if settings["fps"] is not None:
        try:
            settings["fps"] = parse_rate(settings["fps"])
        except (ValueError, ZeroDivisionError):
            raise UserError(f"--fps is {settings['fps']!r}.", hint="Write 25, 29.97 or 30000/1001.") from None
    parts = {
        "pins": tuple(map(Pin.parse, given["pin"] or [])),
        "exclusions": tuple(map(Exclusion.parse, given["exclude"] or [])),
        "wants": _wishes(given["want"]),
        "avoids": _wishes(given["avoid"]),
    }
    try:
        return Brief(style=load_style(given["style"]), **parts, **settings)
    except ValidationError as error:
        fault = error.errors()[0]
        option = "--" + str(fault["loc"][0]).replace("_", "-")
        wanted = fault["msg"].lower().removeprefix("input ")
        raise UserError(f"{option} {wanted}, not {fault['input']}.") from None


def _wishes(given: list[str] | None) -> tuple[str, ...]:
    """Each may be several, with commas between them."""
    parts = (part.strip() for one in given or [] for part in one.split(","))
    return tuple(dict.fromkeys(part for part in parts if part))


def _told(film: Film) -> str:
    timeline, rendered = film.timeline, film.rendered
    assert rendered is not None
    length = f"{float(timeline.duration):.2f} s, {counted(len(timeline.items), 'shot')} ({film.plan.length_reason})"
    steadied = counted(len(rendered.steadied), "shot")
    work = f"{counted(rendered.encoded, 'segment')} encoded, {rendered.reused} reused, {steadied} steadied"
    path = printable(str(film.output))
    report = printable(str(film.output.with_suffix(".report.html")))
    return f"{path}: {length}. {work}.\nLook at {report} for what is in it and why."


def _print_plan(film: Film) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    timeline = film.timeline
    table = Table(title=f"{len(timeline.items)} shots, {float(timeline.duration):.2f} s: {film.plan.length_reason}")
    for column in ("#", "film", "shot", "from", "part", "join", "notes"):
        table.add_column(column, overflow="fold")
    for k, (item, slot) in enumerate(zip(timeline.items, film.plan.slots, strict=True)):
        when = f"{float(slot.start / timeline.fps):.2f}-{float(slot.end / timeline.fps):.2f}"
        transition = timeline.transitions[k - 1] if k else None
        join = transition.kind if transition else "cut" if k else ""
        shown = film.plan.wanted[k] if film.plan.wanted else 0.0
        wanted = [f"wanted {100 * shown:.0f} %"] if shown >= 0.05 else []
        notes = ", ".join([*wanted, *([] if item.stabilize == "never" else ["shaky"])])
        source = "" if item.clip.kind == "photo" else f"{float(item.start):.2f} s"
        table.add_row(str(k + 1), when, escape(printable(item.clip.path.name)), source, item.section, join, notes)
    Console(width=None if sys.stdout.isatty() else 120).print(table)


def _summary(film: Film) -> dict[str, Any]:
    timeline = film.timeline
    shots = [
        {
            "clip": str(item.clip.path),
            "start": float(item.start),
            "first_frame": start,
            "frames": item.frames,
            "beat": slot.beat,
            "part": item.section,
            "stabilize": item.stabilize,
            **({"wanted": film.plan.wanted[k]} if film.plan.wanted else {}),
        }
        for k, (start, item, slot) in enumerate(zip(timeline.starts, timeline.items, film.plan.slots, strict=True))
    ]
    return {
        "output": str(film.output) if film.rendered else None,
        "seconds": float(timeline.duration),
        "frames": timeline.frames,
        "fps": str(timeline.fps),
        "size": [timeline.width, timeline.height],
        "length_reason": film.plan.length_reason,
        "tempo": film.grid.tempo,
        "decoded": film.footage.decoded,
        "encoded": film.rendered.encoded if film.rendered else 0,
        "reused": film.rendered.reused if film.rendered else 0,
        "skipped": [{"file": str(s.path), "reason": s.reason} for s in film.footage.skipped],
        "shots": shots,
    }
