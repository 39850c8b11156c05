"""What other machines say: whether an answer is whole, and whether a complaint is about a full disk."""

from __future__ import annotations

from montage_ai.errors import UnreachableError, UnsuitedError
from montage_ai.offload.transports.transport import Completed

_FULL = ("no space left", "disk quota exceeded", "errno 28", "not enough space")


def answered_lines(done: Completed, ending: str) -> list[str]:
    """The lines before ``ending``.

    Raises ``UnsuitedError`` where the disk there is full, ``UnreachableError`` for anything else that is not an answer.
    """
    lines = done.out.rstrip("\n").split("\n")
    if lines[-1] == ending:
        return lines[:-1]
    said = (done.err or done.out).strip()[-300:]
    raise_if_full(said, "the other machine")
    raise UnreachableError(f"A script on the other machine ended with code {done.code}: {said or 'no answer'}")


def raise_if_full(said: str, machine: str) -> None:
    """Raise ``UnsuitedError`` where ``said`` complains of a full disk on ``machine``."""
    if any(sign in said.lower() for sign in _FULL):
        raise disk_full(machine)


def disk_full(machine: str) -> UnsuitedError:
    """The error for a full disk on ``machine``."""
    return UnsuitedError(f"The disk of {machine} is full.", hint="Free some space there.")
