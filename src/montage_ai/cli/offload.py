"""Other machines: allow them, ask how they are, plan what would go there, measure, and see what it brought."""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from montage_ai.cli.display import print_json, showing
from montage_ai.cli.options import JsonOption
from montage_ai.errors import UserError, printable
from montage_ai.events import counted

if TYPE_CHECKING:
    from rich.console import Console

    from montage_ai.api.offloading import Health
    from montage_ai.offload.analysis import Analysis
    from montage_ai.offload.decision import Decision

_Name = Annotated[str, typer.Argument(help="An executor of the configuration.")]


def add(
    name: Annotated[str, typer.Argument(help="What to call it.")],
    settings: Annotated[list[str] | None, typer.Argument(help="What is to be known of it, like host=studio.")] = None,
    via: Annotated[str, typer.Option(help="How it is reached: ssh, jupyter, cgpu, ray, or local.")] = "ssh",
    json: JsonOption = False,
) -> None:
    """Describe an executor in the configuration. `colab --via ssh` is Colab through Google's own client."""
    from montage_ai.api import offloading
    from montage_ai.offload.settings import settings_file

    given = dict(_setting(text) for text in settings or [])
    lines = offloading.add(name, via, given)
    if json:
        print_json("added", name=name, file=str(settings_file()))
    else:
        typer.echo(f"Written to {printable(str(settings_file()))}:\n\n{lines}")
        typer.echo(f"Allow it with `montage-ai offload enable {name}`.")


def _setting(text: str) -> tuple[str, str]:
    key, separator, value = text.partition("=")
    if not separator or not key:
        raise UserError(f"{text!r} is not a setting.", hint="Write it like host=studio.")
    return key, value


def enable(
    name: _Name, yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False, json: JsonOption = False
) -> None:
    """Allow work to go to an executor: parts of your footage leave this machine."""
    from montage_ai.api import offloading
    from montage_ai.offload.settings import load_settings

    one = load_settings().executor(name)
    if not yes:
        if not sys.stdin.isatty():
            hint = "Use --yes if the owner of the footage agrees."
            raise UserError(
                f"{name!r} was not enabled: footage would leave this machine, and nobody can be asked.", hint=hint
            )
        typer.echo(
            f"{name} is {one.identity}.\n"
            "Where it is faster, what a heavy step needs of your clips (packets of the stretches that a film shows,\n"
            "small copies of their pictures, whole clips for `stabilize`, small JPEGs for `index`) is then sent\n"
            f"there, into {one.keeps_in}, and removed when the step is done; so are the files of a model that lies\n"
            "in a folder of yours. Nothing else is sent, and nothing is sent to others."
        )
        if not typer.confirm("Allow it?"):
            raise UserError(f"{name!r} was not enabled.")
    offloading.enable(name)
    if json:
        print_json("enabled", name=name, identity=one.identity)
    else:
        typer.echo(f"{name} is enabled. Take it back with `montage-ai offload disable {name}`.")


def disable(name: _Name, json: JsonOption = False) -> None:
    """Let no more work go to an executor."""
    from montage_ai.api import offloading

    problem = offloading.disable(name)
    if json:
        print_json("disabled", name=name, left=problem)
        return
    typer.echo(f"{name} is disabled: nothing goes there any more. (A program that runs now ends its jobs as it began.)")
    if problem:
        typer.echo(f"What jobs may have left there could not be removed: {problem}")


def uninstall(name: _Name, json: JsonOption = False) -> None:
    """Remove all that was installed on an executor's machine, and disable it."""
    from montage_ai.api import offloading

    offloading.uninstall(name)
    if json:
        print_json("uninstalled", name=name)
    else:
        typer.echo(f"Nothing of montage-ai is left on {name}, which is disabled.")


def status(json: JsonOption = False) -> None:
    """Ask every executor that is enabled how it is."""
    from montage_ai.api import offloading
    from montage_ai.offload.settings import settings_file

    found = offloading.status()
    if json:
        for one in found:
            print_json("executor", **_as_data(one))
        return
    if not found:
        typer.echo(f"No executor is configured. Describe one with `montage-ai offload add`, or in {settings_file()}.")
    for one in found:
        _print_health(one)


def plan(
    command: Annotated[list[str], typer.Argument(help="A command: make ..., or stabilize ...")],
    json: JsonOption = False,
) -> None:
    """Show what a command's heavy steps would be done by, and why, before anything runs."""
    decision, asked = _decision(command)
    if json or asked:
        print_json("plan", **asdict(decision))
    else:
        _print_decision(decision)


def report(
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="A page: .html, or .md. Default: the terminal.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """The offloading analysis: rates here and there, the uplink from which on it pays, and how right we were."""
    from montage_ai.api import offloading
    from montage_ai.media.files import write_atomically
    from montage_ai.render.offload_report import as_html, as_markdown

    analysis = offloading.report()
    if json:
        print_json(
            "report",
            comparisons=[asdict(one) for one in analysis.comparisons],
            accuracy=[asdict(one) for one in analysis.accuracy],
        )
    elif output is None:
        _print_analysis(analysis)
    elif output.suffix not in (".html", ".md"):
        raise UserError("is neither .html nor .md.", file=output, hint="Give the report one of these names.")
    else:
        write_atomically(output, as_html(analysis) if output.suffix == ".html" else as_markdown(analysis))
        typer.echo(f"{printable(str(output))}: {counted(len(analysis.comparisons), 'comparison')}.")


def calibrate(
    names: Annotated[list[str] | None, typer.Argument(help="Executors. Default: all that are enabled.")] = None,
    json: JsonOption = False,
) -> None:
    """Measure links and rates on media made for it: a minute or two for each executor."""
    from montage_ai.api import offloading

    with showing(as_json=json) as emit:
        offloading.calibrate(names or [], emit)


COMMANDS = {
    "add": add,
    "enable": enable,
    "disable": disable,
    "uninstall": uninstall,
    "status": status,
    "plan": plan,
    "report": report,
    "calibrate": calibrate,
}


def _decision(command: list[str]) -> tuple[Decision, bool]:
    """The plan of a command's heavy steps, and whether the command asks for JSON."""
    from montage_ai.api import offloading
    from montage_ai.api.montage import make_montage
    from montage_ai.api.stabilization import StabilizationService
    from montage_ai.cli import make as making
    from montage_ai.cli import stabilize as stabilizing
    from montage_ai.cli.command import captured

    name, *arguments = command
    if name == "make":
        given = captured(making.make, "make", arguments)
        brief = making.brief_of(given)
        with showing(as_json=given["json"]) as emit:
            film = make_montage(given["footage"], given["music"], brief=brief, plan_only=True, emit=emit)
        return offloading.plan_film(film.timeline, given["offload"]), given["json"]
    if name == "stabilize":
        given = captured(stabilizing.stabilize, "stabilize", arguments)
        service = StabilizationService(smoothing=given["smoothing"], always=given["always"], offload=given["offload"])
        return offloading.plan_stabilizing(stabilizing.videos(given["clips"]), service), given["json"]
    raise UserError(f"{name!r} has no heavy steps to plan.", hint="Try: montage-ai offload plan make ...")


def _print_health(one: Health) -> None:
    from montage_ai.media import vidstab
    from montage_ai.worker.machine import Machine

    if not one.enabled:
        typer.echo(f"{one.name}: not enabled ({one.identity}). Allow it with `montage-ai offload enable {one.name}`.")
        return
    if not one.reachable:
        typer.echo(f"{one.name}: {one.problem}")
        return
    machine = one.machine or Machine()
    links = ", ".join(
        f"{rate:.0f} Mbit/s {way}" for way, rate in (("up", one.up), ("down", one.down)) if rate is not None
    )
    health = f"did not answer {counted(one.silences, 'time')} before" if one.silences else "well"
    facts = [
        f"answers in {one.seconds:.1f} s ({one.identity}), {health}",
        f"link: {links or 'not measured yet'}",
    ]
    if one.machine is None:
        facts.append("not set up yet: the first job does that, or `montage-ai offload calibrate`")
    else:
        gpu = f"{machine.gpu}, {machine.gpu_memory:.0f} GB" if machine.gpu else "no GPU"
        has = "with" if set(vidstab.FILTERS) <= machine.filters else "without"
        facts += [
            f"{machine.processors} x {machine.processor}, {machine.memory:.0f} GB; {gpu}",
            f"{machine.disk:.0f} GB of disk free",
            f"{machine.system}, Python {machine.python}, FFmpeg {machine.ffmpeg or 'missing'} {has} libvidstab",
            f"runtime {machine.boot[:8] or 'unknown'}",
        ]
    typer.echo(f"{one.name}: " + "\n    ".join(map(printable, facts)))


def _print_decision(decision: Decision) -> None:
    from rich.markup import escape
    from rich.table import Table

    table = Table(title=_headline(decision))
    for column in ("task", "of", "where", "how", "send", "compute", "bring", "here", "in all", ""):
        table.add_column(
            column, justify="right" if column in ("send", "compute", "bring", "here", "in all") else "left"
        )
    for row in decision.rows:
        for option in row.options:
            mark = f"<- ends after {row.end:.1f} s" if option is row.chosen else ""
            guess = "" if option.measured else "?"
            times = [option.up, option.compute, option.down, option.prepare + option.finish, option.seconds]
            shown = [f"{seconds:.1f}" if seconds else "" for seconds in times]
            shown[1] += guess
            table.add_row(row.task, escape(printable(row.about)), option.executor, option.variant, *shown, mark)
        for name, reason in row.reasons.items():
            table.add_row(row.task, escape(printable(row.about)), name, "", "", "", "", "", "", escape(reason))
    for one in decision.kept:
        table.add_row(
            one.task, one.about, "local", "", "", f"{one.seconds:.1f}", "", "", f"{one.seconds:.1f}", escape(one.reason)
        )
    _console().print(table)
    for name, seconds in decision.set_ups.items():
        typer.echo(f"{name} is not set up yet: that takes about {seconds:.0f} s, once, and is part of the plan.")
    if any(not option.measured for row in decision.rows for option in row.options):
        typer.echo("? was never measured: `montage-ai offload calibrate` does.")


def _headline(decision: Decision) -> str:
    if not decision.rows:
        return "Nothing to be done: all results are known"
    if decision.seconds < 0.98 * decision.here:
        return f"{decision.seconds:.1f} s, instead of {decision.here:.1f} s on this machine alone"
    places = dict.fromkeys(row.chosen.executor for row in decision.rows if row.chosen is not None)
    named = " and ".join("this machine" if name == "local" else name for name in places)
    return f"{decision.seconds:.1f} s on {named or 'this machine'}"


def _print_analysis(analysis: Analysis) -> None:
    from rich.table import Table

    from montage_ai.render.offload_report import COLUMNS, NOTHING, row

    table = Table(*COLUMNS, title="Typical jobs, here and elsewhere")
    for one in analysis.comparisons:
        table.add_row(*row(one))
    if analysis.comparisons:
        _console().print(table)
    else:
        typer.echo(NOTHING)
    for accuracy in analysis.accuracy:
        often = counted(accuracy.count, "time")
        error = 100 * accuracy.error
        typer.echo(f"{accuracy.what} ({accuracy.where}): predicted {often}, off by {error:.0f} %")


def _as_data(one: Health) -> dict[str, Any]:
    data = asdict(one)
    data["machine"] = one.machine.model_dump(mode="json") if one.machine else None
    return data


def _console() -> Console:
    from rich.console import Console

    return Console(width=None if sys.stdout.isatty() else 140)
