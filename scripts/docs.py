"""Write docs/commands.md from the commands' own help: ``python scripts/docs.py``."""

from __future__ import annotations

import subprocess
import sys
from importlib import import_module
from pathlib import Path

from montage_ai.cli import COMMANDS

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"


def main() -> None:
    parts = ["# Commands\n\nMade from `montage-ai COMMAND --help` by `make docs`.\n"]
    for name, (place, _) in COMMANDS.items():
        parts.append(f"\n## {name}\n\n```text\n{help_of(name)}\n```\n")
        for inner in _inside(place):
            parts.append(f"\n### {name} {inner}\n\n```text\n{help_of(name, inner)}\n```\n")
    PAGE.write_text("".join(parts), encoding="utf-8")


def _inside(place: str) -> list[str]:
    """The commands of a group; none of a command that is no group."""
    module, _, attribute = place.partition(":")
    found = getattr(import_module(f"montage_ai.cli.{module}"), attribute)
    return list(found) if isinstance(found, dict) else []


def help_of(*command: str) -> str:
    """What ``montage-ai COMMAND --help`` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "montage_ai", *command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


if __name__ == "__main__":
    main()
