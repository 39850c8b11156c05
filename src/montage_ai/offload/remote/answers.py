"""What scripts on other machines answer: lines of a word and what belongs to it. It is data, and may be wrong."""

from __future__ import annotations

import base64
import binascii
import contextlib
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from montage_ai.errors import UnreachableError, UnsuitedError
from montage_ai.offload.transports.transport import Completed, Transport

Lines = Mapping[str, list[str]]

M = TypeVar("M", bound=BaseModel)

_TRIES = 3
_FULL = ("No space left", "Disk quota exceeded")


def answer(done: Completed, ending: str) -> Lines:
    """The lines by their first word, if the answer is whole: then the last is ``ending``.

    Raises ``UnsuitedError`` where the disk there is full, ``UnreachableError`` for anything else that is not an answer.
    """
    lines = done.out.rstrip("\n").split("\n")
    if lines[-1] != ending:
        said = (done.err or done.out).strip()[-300:]
        if any(sign in said for sign in _FULL):
            raise UnsuitedError("The disk of the other machine is full.", hint="Free some space there.")
        raise UnreachableError(f"A script on the other machine ended with code {done.code}: {said or 'no answer'}")
    found: dict[str, list[str]] = {}
    for line in lines[:-1]:
        word, _, rest = line.partition(" ")
        found.setdefault(word, []).append(rest)
    return found


async def ask(transport: Transport, script: str, ending: str, *, timeout: float = 60.0) -> Lines:
    """Run a script and read its answer. One that is garbled is asked for again: scripts may be run twice."""
    for _ in range(_TRIES - 1):
        done = await transport.run(script, timeout=timeout)
        with contextlib.suppress(UnreachableError):
            return answer(done, ending)
    return answer(await transport.run(script, timeout=timeout), ending)


def first(lines: Lines, word: str) -> str:
    """What belongs to the first line of ``word``; empty where there is none."""
    return lines.get(word, [""])[0]


def decoded(text: str) -> str:
    """Text that was sent as base64; empty where it is not that."""
    try:
        return base64.b64decode(text, validate=True).decode("utf-8", "replace")
    except (binascii.Error, ValueError):
        return ""


def parse(kind: type[M], text: str) -> M:
    """``text`` as what it should be. Raises ``UnreachableError`` for something else."""
    try:
        return kind.model_validate_json(text)
    except ValidationError as error:
        raise UnreachableError(f"The other machine said what cannot be read as a {kind.__name__}.") from error
