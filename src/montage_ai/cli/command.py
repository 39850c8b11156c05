"""One command: its options read, its work called, its errors turned into a message and an exit code."""

from __future__ import annotations

import functools
import signal
import sys
import threading
from collections.abc import Callable
from importlib import import_module
from types import FrameType
from typing import Any, ParamSpec

import typer

from montage_ai.errors import MontageError

P = ParamSpec("P")

INTERRUPTED = 130

_LOST = 1.0  # seconds after which an interrupt that nobody handles was lost

# Typer brings a click of its own, or uses the one that is installed: this is that one's.
_UsageError: Any = typer.BadParameter.__mro__[1]


_SETTINGS: dict[str, dict[str, Any]] = {"plan": {"ignore_unknown_options": True, "allow_interspersed_args": False}}
"""Of commands inside a group: the arguments of ``offload plan`` are another command's."""


class Ended(KeyboardInterrupt):
    """The program was told to end, as by Ctrl-C: by closing its terminal, or by ``kill``."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.exit_code = 128 + number


def run_command(name: str, place: str, arguments: list[str]) -> None:
    """Call the function at ``place`` (``module:function`` of this package) with ``arguments``, and exit."""
    _end_cleanly_when_told()
    module, _, function = place.partition(":")
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    found = getattr(import_module(f"montage_ai.cli.{module}"), function)
    if isinstance(found, dict):  # a group of commands
        app.callback()(_group(found))
        for inner, command in found.items():
            app.command(inner, context_settings=_SETTINGS.get(inner))(guarded(command))
    else:
        app.command()(guarded(found))
    try:
        sys.exit(app(args=arguments, prog_name=f"montage-ai {name}", standalone_mode=False))
    except _UsageError as error:
        if "--json" in arguments:
            hint = f"See `montage-ai {name} --help`."
            _tell(MontageError(error.format_message(), hint=hint), exit_code=error.exit_code, as_json=True)
        else:
            error.show()
        sys.exit(error.exit_code)


def captured(function: Callable[..., None], name: str, arguments: list[str]) -> dict[str, Any]:
    """What ``function`` would be called with for these arguments, its defaults among them."""
    kept: dict[str, Any] = {}

    @functools.wraps(function)
    def keep(**given: Any) -> None:
        kept.update(given)

    app = typer.Typer(add_completion=False, rich_markup_mode=None, pretty_exceptions_enable=False)
    app.command()(keep)
    app(args=arguments, prog_name=f"montage-ai {name}", standalone_mode=False)
    if not kept:  # it was asked for help
        raise typer.Exit
    return kept


def _group(commands: dict[str, Callable[..., None]]) -> Callable[[], None]:
    def group() -> None:
        pass

    group.__doc__ = (sys.modules[next(iter(commands.values())).__module__].__doc__ or "").partition("\n")[0]
    return group


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """``command``, ending the process with the right code when it raises one of our errors or is interrupted."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except MontageError as error:
            _tell(error, exit_code=error.exit_code, as_json=bool(kwargs.get("json")))
            sys.exit(error.exit_code)
        except KeyboardInterrupt as interrupt:
            sys.stderr.write("\nStopped. Run the same command again: it carries on where it was.\n")
            sys.exit(interrupt.exit_code if isinstance(interrupt, Ended) else INTERRUPTED)

    return run


def _end_cleanly_when_told() -> None:
    """End on SIGTERM and SIGHUP as on Ctrl-C: children ended, drafts removed."""

    def end(number: int, frame: FrameType | None) -> None:
        _insist(number)
        raise Ended(number)

    def interrupt(number: int, frame: FrameType | None) -> None:
        _insist(number)
        raise KeyboardInterrupt

    if signal.getsignal(signal.SIGINT) is signal.default_int_handler:
        signal.signal(signal.SIGINT, interrupt)

    for name in ("SIGTERM", "SIGHUP"):
        number = getattr(signal, name, None)  # Windows knows but one of them
        if number is not None and signal.getsignal(number) == signal.SIG_DFL:
            signal.signal(number, end)


def _insist(number: int) -> None:
    """Send a signal again that was lost: Python drops what is raised in destructors and callbacks of its libraries.

    What is cleaning up after an interrupt is left alone.
    """
    main = threading.main_thread().ident

    def look() -> None:
        if main is not None and not _is_ending(sys._current_exceptions().get(main)):
            signal.pthread_kill(main, number)

    if hasattr(signal, "pthread_kill"):
        timer = threading.Timer(_LOST, look)
        timer.daemon = True
        timer.start()


def _is_ending(handled: Any) -> bool:
    """Whether what a thread handles just now (as ``sys._current_exceptions`` says) came of an interrupt."""
    error = handled[1] if isinstance(handled, tuple) else handled  # Python 3.11 says more than the ones after it
    while error is not None:
        if isinstance(error, KeyboardInterrupt | SystemExit):
            return True
        error = error.__context__
    return False


def _tell(error: MontageError, *, exit_code: int, as_json: bool) -> None:
    if as_json:
        from montage_ai.cli.display import print_json

        print_json("error", message=error.what, file=error.file, hint=error.hint, exit_code=exit_code)
    else:
        sys.stderr.write(f"Error: {error}\n")
