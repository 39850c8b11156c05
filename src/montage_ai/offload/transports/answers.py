"""What a script answered: whole only if its last line is the one that it ends with."""

from __future__ import annotations

from montage_ai.errors import UnreachableError, UnsuitedError
from montage_ai.offload.transports.transport import Completed

_FULL = ("No space left", "Disk quota exceeded")


def answered_lines(done: Completed, ending: str) -> list[str]:
    """The lines before ``ending``.

    Raises ``UnsuitedError`` where the disk there is full, ``UnreachableError`` for anything else that is not an answer.
    """
    lines = done.out.rstrip("\n").split("\n")
    if lines[-1] == ending:
        return lines[:-1]
    said = (done.err or done.out).strip()[-300:]
    if any(sign in said for sign in _FULL):
        raise UnsuitedError("The disk of the other machine is full.", hint="Free some space there.")
    raise UnreachableError(f"A script on the other machine ended with code {done.code}: {said or 'no answer'}")
