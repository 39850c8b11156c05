"""One command: its options read, its work called, its errors turned into a message and an exit code."""

from __future__ import annotations

import functools
import sys
from collections.abc import Callable
from importlib import import_module
from typing import ParamSpec

import typer

from montage_ai.errors import MontageError

P = ParamSpec("P")

INTERRUPTED = 130


def run_command(name: str, place: str, arguments: list[str]) -> None:
    """Call the function at ``place`` (``module:function`` of this package) with ``arguments``, and exit."""
    module, _, function = place.partition(":")
    app = typer.Typer(
        add_completion=False,
        rich_markup_mode=None,
        pretty_exceptions_enable=False,
        context_settings={"help_option_names": ["-h", "--help"]},
    )
    app.command()(guarded(getattr(import_module(f"montage_ai.cli.{module}"), function)))
    app(args=arguments, prog_name=f"montage-ai {name}")


def guarded(command: Callable[P, None]) -> Callable[P, None]:
    """``command``, ending the process with the right code when it raises one of our errors or is interrupted."""

    @functools.wraps(command)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        try:
            command(*args, **kwargs)
        except MontageError as error:
            _tell(error, as_json=bool(kwargs.get("json")))
            sys.exit(error.exit_code)
        except KeyboardInterrupt:
            sys.stderr.write("\nStopped. Run the same command again: it carries on where it was.\n")
            sys.exit(INTERRUPTED)

    return run


def _tell(error: MontageError, *, as_json: bool) -> None:
    if as_json:
        from montage_ai.cli.display import print_json

        print_json("error", message=error.what, file=error.file, hint=error.hint, exit_code=error.exit_code)
    else:
        sys.stderr.write(f"Error: {error}\n")
