"""A job's directory, the whole of what a worker knows.

job.json      what to do: task, variant, parameters, inputs by name with their SHA-256
inputs/       the payload's files (or, on the machine they are on, named by path in job.json)
status.json   phase, fraction, heartbeat
log.txt       what was written to stderr
outputs/      the result's files
result.json   written last, atomically: the outputs with their SHA-256, or the error
"""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from montage_ai.errors import MontageError, TaskError, error_from
from montage_ai.media.files import digest_of, sha256, write_atomically
from montage_ai.paths import AnyPath
from montage_ai.tasks.task import Payload

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]*")


def _plain(name: str) -> str:
    """A name that cannot lead out of its folder: it may come from another machine."""
    if not _PLAIN_NAME.fullmatch(name):
        raise ValueError(f"{name!r} is not a plain file name")
    return name


Phase = Literal["verifying", "computing", "publishing"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Size = Annotated[int, Field(ge=0)]
PlainName = Annotated[str, AfterValidator(_plain)]


class _Record(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


R = TypeVar("R", bound=_Record)


class StagedFile(_Record):
    """A file of a payload. ``path`` is set where it is used where it lies; then its size and time say that it is the
    same, else its digest does."""

    sha256: Digest
    size: Size
    path: AnyPath | None = None
    mtime_ns: int = 0
    ctime_ns: int = 0

    def elsewhere(self) -> StagedFile:
        """The same as a worker on another machine finds it: among its inputs, by content."""
        return StagedFile(sha256=self.sha256, size=self.size)


class JobSpec(_Record):
    """What a worker is to do."""

    id: str
    task: str
    version: int
    variant: str
    parameters: dict[str, Any]
    files: dict[PlainName, StagedFile]
    data: dict[str, Any] = {}


class Status(_Record):
    """How far a worker is. ``heartbeat`` is Unix time."""

    phase: Phase
    fraction: float = Field(ge=0, le=1, allow_inf_nan=False)
    heartbeat: float


class OutputFile(_Record):
    """A file in ``outputs/``."""

    sha256: Digest
    size: Size


class Failure(_Record):
    """An error of this program as data."""

    kind: str
    what: str
    file: str | None = None
    hint: str | None = None


class Result(_Record):
    """What came of a job: outputs, or an error."""

    outputs: dict[PlainName, OutputFile] = {}
    data: dict[str, Any] = {}
    error: Failure | None = None
    seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    processor_seconds: float = Field(0.0, ge=0, allow_inf_nan=False)
    """Of all processors together, in which the worker or its children computed; 0: not known."""

    @classmethod
    def failed(cls, error: MontageError) -> Result:
        """The result of work that raised ``error``."""
        return cls(error=Failure(kind=type(error).__name__, what=error.what, file=error.file, hint=error.hint))

    def raise_error(self) -> None:
        """Raise the error that the work raised, as it was there."""
        if self.error is not None:
            raise error_from(self.error.kind, self.error.what, file=self.error.file, hint=self.error.hint)


class JobDir:
    """Reads and writes one job's directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.inputs = path / "inputs"
        self.outputs = path / "outputs"
        self.log = path / "log.txt"

    def create(self, spec: JobSpec) -> None:
        """Lay the directory out, with ``job.json`` last."""
        self.inputs.mkdir(parents=True, exist_ok=True)
        write_atomically(self.path / "job.json", spec.model_dump_json(indent=1))

    def spec(self) -> JobSpec:
        """What is to be done. Raises ``TaskError`` where that cannot be read."""
        spec = _read(self.path / "job.json", JobSpec)
        if spec is None:
            raise TaskError("is missing or cannot be read.", file=self.path / "job.json", hint="Make the job again.")
        return spec

    def write_status(self, phase: Phase, fraction: float) -> None:
        status = Status(phase=phase, fraction=fraction, heartbeat=time.time())
        write_atomically(self.path / "status.json", status.model_dump_json(), durable=False)

    def status(self) -> Status | None:
        """The last status, or None before the first."""
        return _read(self.path / "status.json", Status)

    def write_result(self, result: Result) -> None:
        write_atomically(self.path / "result.json", result.model_dump_json(indent=1))

    def expect(self, result: Result) -> None:
        """Note the result of a worker elsewhere, whose outputs are still to be brought here."""
        write_atomically(self.path / "expected.json", result.model_dump_json(indent=1))

    def expected(self) -> Result | None:
        """The result that a worker elsewhere came to."""
        return _read(self.path / "expected.json", Result)

    def result(self) -> Result | None:
        """The result if it is there and its outputs are what it says; None where the job is still to be done."""
        result = _read(self.path / "result.json", Result)
        if result is None:
            return None
        return result if all(self.has(name, output) for name, output in result.outputs.items()) else None

    def reported(self) -> Result | None:
        """The result as a worker, here or elsewhere, has told it: its outputs may be missing."""
        return self.expected() or _read(self.path / "result.json", Result)

    def has(self, name: str, output: OutputFile) -> bool:
        """Whether an output is there, and is what was said."""
        path = self.outputs / name
        return path.is_file() and path.stat().st_size == output.size and sha256(path) == output.sha256

    def forget_result(self) -> None:
        (self.path / "result.json").unlink(missing_ok=True)

    def measure_outputs(self) -> dict[str, OutputFile]:
        """Size and digest of every file in ``outputs/``."""
        files = sorted(path for path in self.outputs.iterdir() if path.is_file())
        return {path.name: OutputFile(sha256=sha256(path), size=path.stat().st_size) for path in files}

    def payload(self, spec: JobSpec) -> Payload:
        """The job's inputs, each verified to be the file that was meant."""
        files = {}
        for name, staged in spec.files.items():
            path = staged.path or self.inputs / name
            if not _is_the_same(path, staged):
                raise TaskError("is not the file that the job was made for.", file=path, hint="Run the command again.")
            files[name] = path
        return Payload(files=files, data=spec.data)

    def output_payload(self, result: Result) -> Payload:
        """The outputs of a result."""
        return Payload(files={name: self.outputs / name for name in result.outputs}, data=result.data)


def stage_in_place(path: Path, digest: str | None) -> StagedFile:
    """A file that the worker on this machine uses where it lies.

    Raises ``TaskError`` where it is not the file that is known by ``digest`` (None: it was made just now).
    """
    stat = path.stat()
    found = digest_of(path)
    if digest is not None and found != digest:
        raise TaskError("has changed since it was looked at.", file=path, hint="Run the command again.")
    times = {"mtime_ns": stat.st_mtime_ns, "ctime_ns": stat.st_ctime_ns}
    return StagedFile(sha256=found, size=stat.st_size, path=path.absolute(), **times)


def _read(path: Path, kind: type[R]) -> R | None:
    """The record in ``path``; None where there is none that can be read (on Windows while it is replaced)."""
    try:
        return kind.model_validate_json(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError, PermissionError, UnicodeDecodeError, ValidationError):
        return None


def _is_the_same(path: Path, staged: StagedFile) -> bool:
    if not path.is_file():
        return False
    stat = path.stat()
    if staged.path is not None:
        same = (stat.st_size, stat.st_mtime_ns) == (staged.size, staged.mtime_ns)
        return same and (staged.ctime_ns in (0, stat.st_ctime_ns) or sha256(path) == staged.sha256)
    return stat.st_size == staged.size and sha256(path) == staged.sha256
