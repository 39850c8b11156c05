"""A task that only takes what it is told to take: to measure machines and links, and to see jobs through."""

from __future__ import annotations

import hashlib
import time
from pathlib import Path
from typing import ClassVar

from pydantic import Field

from montage_ai.errors import TaskError, VerificationError
from montage_ai.tasks.task import InputFile, Line, OnFraction, Payload, Prior, Promise, Task, Variant, Work

OUTPUT = "output.bin"

_STEPS = 50
_BLOCK = 1 << 16


class Trial(Task):
    """Read ``source``, take ``seconds``, and write ``size`` bytes that follow from it (``number`` makes it another)."""

    name: ClassVar = "trial"
    version: ClassVar = 1

    source: InputFile
    seconds: float = Field(0.0, ge=0, le=3600)
    size: int = Field(0, ge=0)
    number: int = 0

    @classmethod
    def priors(cls) -> dict[str, Prior]:
        return {Only.name: Only.prior}

    def variants(self) -> tuple[Variant, ...]:
        return (Only(self),)

    def inputs(self) -> tuple[InputFile, ...]:
        return (self.source,)


class Only(Variant):
    """The one way."""

    name = "only"
    prior = Prior(Line(0.1, 1.0))

    def __init__(self, task: Trial) -> None:
        self.task = task

    @property
    def work(self) -> Work:
        return Work(up=self.task.source.path.stat().st_size, units=max(self.task.seconds, 0.01), down=self.task.size)

    @property
    def promise(self) -> Promise:
        return Promise(frozenset({OUTPUT}), self.task.size)

    def check(self, computed: Payload) -> None:
        """The first block is the one that follows from the source; so will be the rest."""
        output, source = computed.files[OUTPUT], self.task.source.sha256
        with output.open("rb") as file:
            begins = file.read(_BLOCK)
        if output.stat().st_size != self.task.size or begins != _block(self.task, source, 0):
            raise VerificationError("The output does not follow from the input.", file=output)

    def prepare(self, folder: Path) -> Payload:
        return Payload(files={"source": self.task.source.path})

    def compute(self, payload: Payload, folder: Path, on_fraction: OnFraction) -> Payload:
        with payload.files["source"].open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        for step in range(_STEPS if self.task.seconds else 0):
            on_fraction(step / _STEPS)
            time.sleep(self.task.seconds / _STEPS)
        output = folder / OUTPUT
        with output.open("wb") as file:
            for start in range(0, self.task.size, _BLOCK):
                file.write(_block(self.task, digest, start))
        if output.stat().st_size != self.task.size:
            raise TaskError("was not written whole.", file=output)
        return Payload(files={OUTPUT: output}, data={"source": digest})

    def finish(self, payload: Payload, folder: Path) -> Payload:
        return payload


def _block(task: Trial, digest: str, start: int) -> bytes:
    """The output's bytes from ``start`` on, for a source with this ``digest``."""
    return hashlib.shake_128(f"{digest} {task.number} {start}".encode()).digest(_BLOCK)[: task.size - start]
