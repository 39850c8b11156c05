"""Write docs/commands.md from the commands' own help: ``python scripts/docs.py``."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from montage_ai.cli import COMMANDS

PAGE = Path(__file__).parents[1] / "docs" / "commands.md"


def main() -> None:
    parts = ["# Commands\n\nMade from `montage-ai COMMAND --help` by `make docs`.\n"]
    for name in COMMANDS:
        parts.append(f"\n## {name}\n\n```text\n{help_of(name)}\n```\n")
    PAGE.write_text("".join(parts), encoding="utf-8")


def help_of(command: str) -> str:
    """What ``montage-ai COMMAND --help`` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "montage_ai", command, "--help"],
        capture_output=True,
        text=True,
        check=True,
    )
    return "\n".join(line.rstrip() for line in done.stdout.strip().splitlines())


if __name__ == "__main__":
    main()
