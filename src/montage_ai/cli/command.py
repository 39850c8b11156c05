"""One command: its options read, its work called, its errors turned into a message and an exit code."""

from __future__ import annotations

import contextlib
import functools
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from importlib import import_module
from types import FrameType
from typing import Any, ParamSpec

import typer

from montage_ai.cli.examples import epilog
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
    with ending_when_told():
        _run(name, place, arguments)


def _run(name: str, place: str, arguments: list[str]) -> None:
    app = application(name, place)
    try:
        sys.exit(app(args=arguments, prog_name=f"montage-ai {name}", standalone_mode=False))
    except _UsageError as error:
        if "--json" in arguments:
            hint = f"See `montage-ai {name} --help`."
            _tell(MontageError(error.format_message(), hint=hint), exit_code=error.exit_code, as_json=True)
        else:
            error.show()
        sys.exit(error.exit_code)


def application(name: str, place: str) -> typer.Typer:
    """The command, or group of commands, at ``place``, with its options and help."""
    module, _, function = place.partition(":")
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
        epilog=epilog(name),
    )
    found = getattr(import_module(f"montage_ai.cli.{module}"), function)
    if isinstance(found, dict):  # a group of commands
        app.callback()(_group(found))
        for inner, command in found.items():
            app.command(inner, context_settings=_SETTINGS.get(inner))(guarded(command))
    else:
        app.command(epilog=epilog(name))(guarded(found))
    return app


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


@contextlib.contextmanager
def ending_when_told() -> Iterator[None]:
    """For the length of the block SIGTERM and SIGHUP end the program as Ctrl-C does: children ended, drafts removed.

    None of them is lost: Python drops what is raised in destructors and callbacks of its libraries, so that a signal
    that nobody handles after a second is sent again. That it was dropped is not reported.
    """
    timers, before = list[threading.Timer](), dict[signal.Signals, Any]()

    def end(number: int, frame: FrameType | None) -> None:
        timer = threading.Timer(_LOST, _send_again, [number])
        timer.daemon = True
        timer.start()
        timers.append(timer)
        raise KeyboardInterrupt if number == signal.SIGINT else Ended(number)

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):
        found = getattr(signal, name, None)  # Windows knows but two of them
        if found is not None and signal.getsignal(found) in (signal.SIG_DFL, signal.default_int_handler):
            before[found] = signal.signal(found, end)
    report = sys.unraisablehook
    sys.unraisablehook = lambda one: None if isinstance(one.exc_value, KeyboardInterrupt) else report(one)
    try:
        yield
    finally:
        sys.unraisablehook = report
        for timer in timers:
            timer.cancel()
        for found, handler in before.items():
            signal.signal(found, handler)


def _send_again(number: int) -> None:
    """Send a signal to the main thread, unless that is cleaning up after an interrupt."""
    main = threading.main_thread().ident
    if main is not None and hasattr(signal, "pthread_kill") and not _is_ending(sys._current_exceptions().get(main)):
        signal.pthread_kill(main, number)


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
