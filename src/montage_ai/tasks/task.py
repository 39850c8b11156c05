"""What every heavy task looks like: a pure function of its inputs and parameters that can run on any machine.

A ``Task`` is data (a frozen model that goes into JSON). Each of its ``Variant`` s is one way to do it in three steps:

    prepare   here: make what travels as small as it can be
    compute   anywhere: the heavy part, a function of the payload and the task's parameters alone
    finish    here: make the outputs of what came back

A ``Payload`` is named files and one JSON object, and so is what a step makes. Tasks know nothing of where they run.
"""

from __future__ import annotations

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from montage_ai.errors import TaskError, printable
from montage_ai.paths import AnyPath

OnFraction = Callable[[float], None]


class InputFile(BaseModel):
    """A file that a task reads: a path on this machine, a SHA-256 on every machine."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: AnyPath
    sha256: str


@dataclass(frozen=True)
class Needs:
    """What a machine must have to compute a task: FFmpeg filters, Python packages, gigabytes of memory, a GPU.

    ``filters`` are given with their options, in an order in which each can be tried after the others.
    ``processors`` are what it keeps busy: a cluster gives a job as many, where it has them.
    """

    filters: tuple[str, ...] = ()
    packages: frozenset[str] = frozenset()
    processors: int = 1
    memory: float = 0.5
    gpu: bool = False


@dataclass(frozen=True)
class Work:
    """How large a variant of a task is: bytes up, units of computing (the task's own measure), bytes down.

    ``prepare`` and ``finish`` are the units of the steps on this machine, where another machine computes.
    """

    up: int
    units: float
    down: int
    prepare: float = 0.0
    finish: float = 0.0


@dataclass(frozen=True)
class Line:
    """Seconds for a number of units: ``fixed + per_unit * units``."""

    fixed: float
    per_unit: float

    def __call__(self, units: float) -> float:
        return self.fixed + self.per_unit * units


@dataclass(frozen=True)
class Prior:
    """What the steps of a variant take on an ordinary processor, until it has been measured."""

    compute: Line
    prepare: Line = Line(0.0, 0.0)
    finish: Line = Line(0.0, 0.0)


@dataclass(frozen=True)
class Payload:
    """Named files and one JSON object."""

    files: Mapping[str, Path] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Promise:
    """What ``compute`` gives, whatever the machine: files by name, of at most so many bytes together."""

    files: frozenset[str]
    most_bytes: int
    may_lack: frozenset[str] = frozenset()
    """Those of ``files`` that are not always there."""

    def broken_by(self, sizes: Mapping[str, int]) -> str:
        """What is wrong with files of these ``sizes`` in bytes, as a sentence; empty where nothing is."""
        if missing := self.files - self.may_lack - sizes.keys():
            return f"It lacks {', '.join(sorted(missing))}."
        if unknown := sizes.keys() - self.files:
            return f"It holds {', '.join(sorted(unknown))}, which nobody asked for."
        if (total := sum(sizes.values())) > self.most_bytes:
            return f"It has {total} bytes, and at most {self.most_bytes} are right."
        return ""


class Variant(ABC):
    """One way to do a task."""

    name: ClassVar[str]
    changes_result: ClassVar[bool] = False
    """Whether its outputs differ from those of the other variants, so that they are remembered apart."""
    here: ClassVar[bool] = True
    there: ClassVar[bool] = True
    """Whether it makes sense on this machine, and on another."""
    prior: ClassVar[Prior] = Prior(Line(1.0, 1.0))

    @property
    @abstractmethod
    def work(self) -> Work:
        """How large it is."""

    @property
    @abstractmethod
    def promise(self) -> Promise:
        """What ``compute`` gives."""

    @abstractmethod
    def check(self, computed: Payload) -> None:
        """Look closely at what another machine says that ``compute`` gave: its digests are right, its content may be
        anything. Raises ``VerificationError``."""

    @abstractmethod
    def prepare(self, folder: Path) -> Payload:
        """Make what travels; new files go to ``folder``."""

    @abstractmethod
    def compute(self, payload: Payload, folder: Path, on_fraction: OnFraction) -> Payload:
        """Do the heavy part; new files go to ``folder``. ``on_fraction`` is told the share that is done."""

    @abstractmethod
    def finish(self, payload: Payload, folder: Path) -> Payload:
        """Make the outputs of what ``compute`` gave; new files go to ``folder``."""


class Task(BaseModel, ABC):
    """One kind of heavy work with its parameters."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: ClassVar[str]
    version: ClassVar[int]
    needs: ClassVar[Needs] = Needs()

    @classmethod
    def priors(cls) -> dict[str, Prior]:
        """What is believed of each variant until it is measured."""
        return {}

    @abstractmethod
    def variants(self) -> tuple[Variant, ...]:
        """The ways to do it, the one for this machine first."""

    @abstractmethod
    def inputs(self) -> tuple[InputFile, ...]:
        """The files that it reads."""

    def variant(self, name: str) -> Variant:
        """The variant called ``name``. Raises ``TaskError`` where there is none."""
        for variant in self.variants():
            if variant.name == name:
                return variant
        raise TaskError(
            f"The task {self.name!r} has no variant {name!r}.", hint="Is the other side of another version?"
        )

    @property
    def about(self) -> str:
        """What it works on, for people: the names of its inputs."""
        return ", ".join(printable(file.path.name) for file in self.inputs())

    def travelling(self) -> dict[str, Any]:
        """Its parameters as another machine gets them: where files lie here is nobody's business there."""
        parameters: dict[str, Any] = _named_by_content(self.model_dump(mode="json"))
        return parameters

    def key(self, variant: Variant, *surroundings: str) -> str:
        """The digest that a result is remembered by: all that it depends on, and nothing of where files lie."""
        parameters = _without_paths(self.model_dump(mode="json"))
        parts = [self.name, self.version, variant.name if variant.changes_result else "", parameters, surroundings]
        return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def _named_by_content(value: Any) -> Any:
    """``value`` with the path of every ``InputFile`` in it made of its digest."""
    if isinstance(value, dict):
        if value.keys() == {"path", "sha256"}:
            return {"path": value["sha256"] + Path(value["path"]).suffix, "sha256": value["sha256"]}
        return {name: _named_by_content(inner) for name, inner in value.items()}
    return [_named_by_content(inner) for inner in value] if isinstance(value, list) else value


def _without_paths(value: Any) -> Any:
    """``value`` with every ``InputFile`` in it as its digest alone."""
    if isinstance(value, dict):
        if value.keys() == {"path", "sha256"}:
            return value["sha256"]
        return {name: _without_paths(inner) for name, inner in value.items()}
    return [_without_paths(inner) for inner in value] if isinstance(value, list) else value
