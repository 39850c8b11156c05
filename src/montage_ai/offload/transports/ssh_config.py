"""The user's ~/.ssh/config as OpenSSH understands it, for asyncssh, which is stricter."""

from __future__ import annotations

import contextlib
import locale
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

_TAKES_THE_LINE = ("proxycommand", "remotecommand", "localcommand", "knownhostscommand")


@contextlib.contextmanager
def readable_config(path: Path | None = None) -> Iterator[list[str]]:
    """The configuration files to read, for the length of the block.

    A copy of ``path`` (default: ~/.ssh/config) without what asyncssh refuses and OpenSSH does not: comments behind a
    setting, and bytes that are no UTF-8.
    """
    try:
        content = (path or Path.home() / ".ssh" / "config").read_bytes()
    except (OSError, RuntimeError):  # there is none, or no home
        yield []
        return
    with tempfile.TemporaryDirectory(prefix="montage-ai-ssh-") as folder:
        copy = Path(folder) / "config"
        copy.write_text(without_comments(_decoded(content)), locale.getpreferredencoding(False), "replace")
        yield [str(copy)]


def without_comments(config: str) -> str:
    """The lines of ``config``, as many as before, without comments."""
    return "\n".join(map(_without_comment, config.replace("\r\n", "\n").split("\n")))


def _without_comment(line: str) -> str:
    """A comment begins with a # that begins a word, outside quotes."""
    if re.split(r"[\s=]", line.strip().lower(), maxsplit=1)[0] in _TAKES_THE_LINE:
        return line
    quote, before = "", " "
    for position, letter in enumerate(line):
        if quote:
            quote = "" if letter == quote else quote
        elif letter in "\"'":
            quote = letter
        elif letter == "#" and before.isspace():
            return line[:position].rstrip()
        before = letter
    return line


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")
