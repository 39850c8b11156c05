"""What scripts on other machines answer: lines of a word and what belongs to it. It is data, and may be wrong."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping
from typing import TypeVar

from pydantic import BaseModel, ValidationError

from montage_ai.errors import UnreachableError
from montage_ai.offload.transports.answers import answered_lines
from montage_ai.offload.transports.transport import Transport

Lines = Mapping[str, list[str]]

M = TypeVar("M", bound=BaseModel)

_TRIES = 3


async def ask(transport: Transport, script: str, ending: str, *, timeout: float = 60.0) -> Lines:
    """Run a script and read its answer, by the lines' first words. One that is garbled is asked for again."""
    for left in reversed(range(_TRIES)):
        done = await transport.run(script, timeout=timeout)
        try:
            return _by_first_word(answered_lines(done, ending))
        except UnreachableError:
            if not left:
                raise
    raise AssertionError("unreachable")


def _by_first_word(lines: list[str]) -> Lines:
    found: dict[str, list[str]] = {}
    for line in lines:
        word, _, rest = line.partition(" ")
        found.setdefault(word, []).append(rest)
    return found


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
