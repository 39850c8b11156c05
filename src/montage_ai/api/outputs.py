"""Files that the user names: what may be replaced, and what may not."""

from __future__ import annotations

import json
import re
from pathlib import Path

from montage_ai.errors import OutputExistsError, UserError
from montage_ai.media.files import sha256, telling_disk_errors

_MARK = re.compile(r'<script type="application/json" id="montage-ai">(.*?)</script>', re.DOTALL)


def report_of(output: Path) -> Path:
    """The report that stands beside a film."""
    return output.with_suffix(".report.html")


def timeline_of(output: Path) -> Path:
    """The timeline that stands beside a film."""
    return output.with_suffix(".otio")


def check_output(output: Path, *, force: bool, sources: list[Path]) -> None:
    """Make sure that ``output`` may be written: not a source, its folder there and writable, not someone else's file.

    Raises ``UserError`` or ``OutputExistsError``.
    """
    if output.is_dir():
        raise UserError("is a folder.", file=output, hint="Name a file, like film.mp4.")
    if output.suffix.lower() not in (".mp4", ".mov", ".m4v"):
        raise UserError("is not the name of a film.", file=output, hint="Name an .mp4 file.")
    if any(output.exists() and source.exists() and output.samefile(source) for source in sources):
        raise UserError("is one of the sources, which are never written.", file=output, hint="Choose another name.")
    with telling_disk_errors(output):
        output.parent.mkdir(parents=True, exist_ok=True)
        trial = output.parent / f".{output.stem[:40]}.writable"
        trial.touch()
        trial.unlink()
    if output.exists() and not force and not made_by_us(output):
        hint = "Choose another name, or use --force to replace it."
        raise OutputExistsError("exists and was not made by this program.", file=output, hint=hint)


def made_by_us(output: Path) -> bool:
    """Whether the report beside ``output`` says that we made exactly this file."""
    try:
        match = _MARK.search(report_of(output).read_text(encoding="utf-8"))
        said = json.loads(match[1]) if match else {}
    except (OSError, UnicodeDecodeError, json.JSONDecodeError):
        return False
    return bool(said.get("bytes") == output.stat().st_size and said.get("sha256") == sha256(output))


def mark(output: Path) -> str:
    """What a report holds so that ``made_by_us`` knows its film again."""
    content = json.dumps({"sha256": sha256(output), "bytes": output.stat().st_size})
    return f'<script type="application/json" id="montage-ai">{content}</script>'
