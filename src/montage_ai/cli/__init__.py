"""The command line: ``montage-ai COMMAND ...``. A command's module is imported when it is called: help is quick.

Exit codes: 0 the result exists and was verified; 1 the work failed; 2 the request cannot be carried out as it stands;
130 Ctrl-C.
"""

from __future__ import annotations

import os
import sys

COMMANDS = {
    "make": ("make:make", "Cut footage to a piece of music."),
    "render": ("make:render", "Render a timeline again."),
    "stabilize": ("stabilize:stabilize", "Steady shaky clips."),
    "offload": ("offload:COMMANDS", "Other machines: allow them, ask how they are, plan, measure."),
    "jobs": ("jobs:COMMANDS", "The heavy steps: list, watch, retry, cancel."),
    "analyze": ("inspect:analyze", "Look at footage: its shots, and how good they are."),
    "index": ("index:index", "Look at footage once, so that it can be searched."),
    "search": ("search:search", "Find moments by describing them."),
    "tags": ("tags:tags", "What each shot shows, and how it feels."),
    "beats": ("inspect:beats", "Find the beats of a piece of music."),
    "styles": ("inspect:styles", "List the styles."),
    "doctor": ("doctor:doctor", "Check this machine."),
    "storage": ("storage:storage", "Show what is kept, where, and how large it is."),
    "clean": ("storage:clean", "Remove what can be made again."),
    "completion": ("completion:completion", "Print what lets your shell complete commands and options."),
}


def main() -> None:
    """Run the command line and exit with its code."""
    sys.stdout = sys.stdout or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")  # closed by whoever started us
    sys.stderr = sys.stderr or os.fdopen(os.open(os.devnull, os.O_WRONLY), "w")
    try:
        _run()
    except KeyboardInterrupt:  # while it starts
        sys.exit(130)


def _run() -> None:
    name, *rest = sys.argv[1:] or ["--help"]
    if name == "help" and rest:
        name, rest = rest[0], [*rest[1:], "--help"]
    if name in ("-h", "--help", "help"):
        sys.stdout.write(_overview())
    elif name in ("-V", "--version"):
        from montage_ai import __version__

        sys.stdout.write(f"{__version__}\n")
    elif name not in COMMANDS:
        sys.stderr.write(f"Error: There is no command {name!r}.{_meant(name)} `montage-ai help` lists them.\n")
        sys.exit(2)
    else:
        from montage_ai.cli.command import run_command

        run_command(name, COMMANDS[name][0], rest)


def _meant(name: str) -> str:
    """The command that may have been meant, as a sentence; empty where none is like it."""
    import difflib

    near = difflib.get_close_matches(name, COMMANDS, n=1)
    return f" Did you mean `{near[0]}`?" if near else ""


def _overview() -> str:
    commands = "".join(f"  {name:<11} {summary}\n" for name, (_, summary) in COMMANDS.items())
    return (
        "Usage: montage-ai COMMAND ...\n\n"
        "  A folder of raw footage and a piece of music in; a film cut on the beat out.\n\n"
        f"Commands:\n{commands}\n"
        "`montage-ai help COMMAND` shows a command's options; `montage-ai --version` the version.\n"
    )
