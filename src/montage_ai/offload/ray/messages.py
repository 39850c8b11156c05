"""What is said between this program and the process that drives the cluster: a request, replies until its answer."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

from montage_ai.paths import AnyPath
from montage_ai.worker.jobdir import Failure, JobSpec, Result
from montage_ai.worker.machine import Machine

MADE_HERE = "local"
"""The address of a cluster that is made on this machine, and ends with the driver."""


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Connect(_Message):
    """Reach the cluster at ``address``; answered by a ``Nodes``. ``requirements`` are the packages of a worker."""

    kind: Literal["connect"] = "connect"
    address: str
    requirements: list[str]


class SetUp(_Message):
    """Have the nodes install what they lack; answered by a ``Nodes``."""

    kind: Literal["set-up"] = "set-up"


class Source(_Message):
    """A file on this machine."""

    path: AnyPath
    sha256: str


class Upload(_Message):
    """Bring files to the cluster; answered by a ``Moved``."""

    kind: Literal["upload"] = "upload"
    job: str
    files: list[Source]


class Compute(_Message):
    """Run a job, or wait for it where it runs; answered by a ``Computed``."""

    kind: Literal["compute"] = "compute"
    job: str
    spec: JobSpec
    processors: int
    memory: float
    """Gigabytes."""
    gpu: bool


class Download(_Message):
    """Write a job's outputs into ``folder``; answered by a ``Moved``."""

    kind: Literal["download"] = "download"
    job: str
    folder: AnyPath


class Discard(_Message):
    """End a job, and let go of what was brought for it; answered by a ``Moved``."""

    kind: Literal["discard"] = "discard"
    job: str


AnyRequest = Annotated[Connect | SetUp | Upload | Compute | Download | Discard, Field(discriminator="kind")]


class Request(_Message):
    """One line of what is asked."""

    request: AnyRequest


class Done(_Message):
    """The share of a request that is done; its answer is still to come."""

    kind: Literal["done"] = "done"
    share: float


class Nodes(_Message):
    """What the cluster is: ``lacking`` are the packages that a worker needs and not every node has."""

    kind: Literal["nodes"] = "nodes"
    processors: int
    lacking: list[str]
    machine: Machine | None


class Moved(_Message):
    """The bytes that were moved."""

    kind: Literal["moved"] = "moved"
    size: int


class Computed(_Message):
    """A job's result."""

    kind: Literal["computed"] = "computed"
    result: Result


class Failed(_Message):
    """The request could not be carried out."""

    kind: Literal["failed"] = "failed"
    failure: Failure


class Reply(_Message):
    """One line of what is answered."""

    reply: Annotated[Done | Nodes | Moved | Computed | Failed, Field(discriminator="kind")]
