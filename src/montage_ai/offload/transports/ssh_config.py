"""The user's ~/.ssh/config as OpenSSH understands it, for asyncssh, which is stricter."""

from __future__ import annotations

import contextlib
import locale
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

_WORDS = re.compile(r"""(?:"[^"]*"|'[^']*'|[^"'#\s]\S*|["']|\s+(?!\#))*""")
"""What stands before a comment: one begins with a # that begins a word, outside quotes."""

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
    return "".join(f"{_without_comment(line)}\n" for line in config.splitlines())


def _without_comment(line: str) -> str:
    setting = line.strip()
    if re.split(r"[\s=]", setting.lower(), maxsplit=1)[0] in _TAKES_THE_LINE:
        return line
    found = _WORDS.match(line)
    return found.group().rstrip() if found else line


def _decoded(content: bytes) -> str:
    try:
        return content.decode("utf-8")
    except UnicodeDecodeError:
        return content.decode("latin-1")
