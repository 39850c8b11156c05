"""Scripts as one line that is typed into a shell, and their output out of all that comes back.

``cgpu`` types a command into a terminal. What comes back may hold the typed text, lines of others, and no empty lines,
carriage returns or colours; and its exit code says little. So a script travels as base64, finds nothing to read, and
writes into files. These come back as lines of base64 that begin with a mark, closed by a line with the code and the
SHA-256 of it all. In the typed text the mark never stands in one piece.
"""

from __future__ import annotations

import base64
import binascii
import gzip
import hashlib
import re
import secrets
import shlex
from collections.abc import Iterator
from dataclasses import dataclass

from montage_ai.errors import UnreachableError
from montage_ai.offload.transports.transport import Completed

LONGEST = 3900
"""Characters of a typed line: a terminal may take no more than 4096 before the shell is ready."""

NO_FOLDER = 249
"""The code of a script whose folder could not be made."""

MISSING = 248
"""The code that a file to be read is not there."""

SLICE = 4 * 1024 * 1024
"""Bytes that are verified at once on their way here."""

_KILL = 5  # seconds after which a script that ignores its end is killed


@dataclass(frozen=True)
class Mark:
    """What our lines begin with, in two halves."""

    left: str
    right: str

    @classmethod
    def new(cls) -> Mark:
        return cls(secrets.token_hex(4), secrets.token_hex(3))

    def __str__(self) -> str:
        return self.left + self.right

    @property
    def typed(self) -> str:
        """How the shell learns it, as ``$P``."""
        return f"A={self.left};P=${{A}}{self.right}"

    def lines(self, text: bytes) -> Iterator[tuple[str, str]]:
        """Our lines: each one's letter, and what it says."""
        for found in re.finditer(rf"{self}([a-z])([A-Za-z0-9+/=:-]*)", text.decode("utf-8", "replace")):
            yield found[1], found[2]


def script_line(mark: Mark, script: str, folder: str, seconds: float) -> str:
    """The line that runs a script in ``folder``, for at most ``seconds``."""
    packed = base64.b64encode(gzip.compress(script.encode(), mtime=0)).decode()
    return _running(mark, f"echo {packed}|base64 -d|gunzip>$D/s", folder, seconds)


def file_line(mark: Mark, path: str, folder: str, seconds: float) -> str:
    """The line that runs the script that lies in ``path``, and removes it."""
    return _running(mark, f"mv {shlex.quote(path)} $D/s", folder, seconds)


def _running(mark: Mark, fetch: str, folder: str, seconds: float) -> str:
    place = shlex.quote(folder)
    inside = f"unset CDPATH;mkdir -p {place}&&cd {place}||exit {NO_FOLDER};exec timeout -k {_KILL} {seconds:g} sh $D/s"
    return (
        f"{mark.typed};D=$(mktemp -d);{fetch};({inside})</dev/null >$D/o 2>$D/e;C=$?;"
        'for f in o e;do base64 -w3000 $D/$f|sed "s/^/$P$f/";done;'
        'echo "${P}x$C:$(cat $D/o $D/e|sha256sum|cut -c1-64)";rm -rf $D'
    )


def completed(mark: Mark, text: bytes) -> Completed:
    """A script's end, from all that came back. Raises ``UnreachableError`` where it is not there whole."""
    parts: dict[str, list[str]] = {"o": [], "e": [], "x": []}
    for letter, said in mark.lines(text):
        parts.setdefault(letter, []).append(said)
    try:
        out, err = (b"".join(base64.b64decode(line, validate=True) for line in parts[letter]) for letter in "oe")
        code, _, digest = parts["x"][-1].partition(":")
        if hashlib.sha256(out + err).hexdigest() != digest:
            raise ValueError("wrong bytes")
        return Completed(int(code), out.decode("utf-8", "replace"), err.decode("utf-8", "replace"))
    except (IndexError, ValueError, binascii.Error):
        raise UnreachableError("A script's answer did not come back whole through cgpu.") from None


def reading_line(mark: Mark, path: str, offset: int, size: int) -> str:
    """The line that sends ``size`` bytes of a file from ``offset`` on, in slices each with its SHA-256."""
    source = f"tail -c +$((o+1)) {shlex.quote(path)}|head -c $m"
    return (
        f"{mark.typed};{{ o={offset};n={size};s=$(wc -c <{shlex.quote(path)})||echo ${{P}}x{MISSING}:;"
        "[ $((s-o)) -lt $n ]&&n=$((s-o));"
        f"while [ $n -gt 0 ];do m=$((n<{SLICE}?n:{SLICE}));"
        f'{source}|base64 -w4000|sed "s/^/${{P}}d/";echo "${{P}}h$({source}|sha256sum|cut -c1-64)";'
        'o=$((o+m));n=$((n-m));done;echo "${P}x0:";} 2>/dev/null'  # complaints would stand between our lines
    )


class Slices:
    """Puts together what a ``reading_line`` sends."""

    def __init__(self, mark: Mark) -> None:
        self._mark = mark
        self._held = b""
        self._data: list[str] = []
        self.code: int | None = None

    def take(self, block: bytes) -> Iterator[bytes]:
        """The slices that ``block`` completes. Raises ``UnreachableError`` for one that is wrong."""
        self._held += block
        whole, newline, self._held = self._held.rpartition(b"\n")
        for letter, said in self._mark.lines(whole + newline):
            if letter == "d":
                self._data.append(said)
            elif letter == "h":
                yield self._verified(said)
            elif letter == "x" and self.code is None:
                self.code = int(said.partition(":")[0] or -1)

    def _verified(self, digest: str) -> bytes:
        try:
            found = b"".join(base64.b64decode(line, validate=True) for line in self._data)
        except binascii.Error:
            found = b""
        self._data = []
        if hashlib.sha256(found).hexdigest() != digest:
            raise UnreachableError("Bytes arrived wrong through cgpu.")
        return found
