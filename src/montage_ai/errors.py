"""The errors this program raises on purpose.

    MontageError                 what happened, to which file, what to do; exit code 1
    ├── WorkError                the work failed                                    (1)
    │   ├── FFmpegError          an FFmpeg run ended with an error
    │   ├── DiskFullError        no space left where something had to be written
    │   ├── ClipsFailedError     clips of a film cannot be used after all
    │   ├── VerificationError    a result is not what was planned; it was not published
    │   ├── TaskError            a job's task failed
    │   │   └── CrashError       ... without saying why: its worker ended, or was ended
    │   ├── GivenUpError         a job was given up before its end
    │   └── RemoteError          another machine did not do its part
    │       ├── UnreachableError    it does not answer; what runs there may go on
    │       ├── AccessDeniedError   it does not let us in
    │       ├── WrongResultError    what it computed cannot be right
    │       ├── RuntimeLostError    it began a new life, and what lay there is gone
    │       └── UnsuitedError       it lacks something that the job needs
    └── UserError                the request cannot be carried out as it stands     (2)
        ├── MediaError           a file cannot be used
        │   └── IrregularTimesError  ... as it stands: its time stamps must be put in order
        ├── MissingExtraError    an optional part of the package is not installed
        ├── ConfigError          a configuration file says something that cannot be
        └── OutputExistsError    the output is there and was not made by us

Ctrl-C ends the program with 130.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType


class MontageError(Exception):
    """Base of every error raised on purpose: ``what`` happened, to which ``file``, and what to do (``hint``)."""

    exit_code = 1

    def __init__(self, what: str, *, file: Path | str | None = None, hint: str | None = None) -> None:
        super().__init__(what)
        self.what = what
        self.file = None if file is None else str(file)
        self.hint = hint

    def __str__(self) -> str:
        subject = f"{printable(self.file)}: " if self.file else ""
        advice = f" {shown(self.hint)}" if self.hint else ""
        return f"{subject}{shown(self.what)}{advice}"


class WorkError(MontageError):
    """The work failed."""


class FFmpegError(WorkError):
    """An FFmpeg run ended with an error; the message holds the last lines that it wrote."""


class DiskFullError(WorkError):
    """No space is left where something had to be written."""


class ClipsFailedError(WorkError):
    """Clips of a film cannot be used after all: ``clips`` says why, for each; the message is about the first."""

    clips: Mapping[Path, str] = MappingProxyType({})

    @classmethod
    def of(cls, clips: Mapping[Path, str]) -> ClipsFailedError:
        """The error about ``clips``, one at least, and what is wrong with each."""
        path, why = next(iter(clips.items()))
        more = f" (And {len(clips) - 1} more cannot be used.)" if len(clips) > 1 else ""
        hint = "Put it back as it was, replace it in the timeline, or make the film again without it."
        error = cls(f"{why}.{more}", file=path, hint=hint)
        error.clips = dict(clips)
        return error


class VerificationError(WorkError):
    """A result is not what was planned, and was not published."""


class TaskError(WorkError):
    """The task of a job failed."""


class CrashError(TaskError):
    """The worker of a job ended without a result."""


class GivenUpError(WorkError):
    """A job was given up before its end."""


class RemoteError(WorkError):
    """Another machine did not do its part. The job is not to blame.

    What that machine says is told on one line: more could look like lines of ours.
    """

    def __init__(self, what: str, *, file: Path | str | None = None, hint: str | None = None) -> None:
        super().__init__(" ".join(what.split("\n")), file=file, hint=hint)


class UnreachableError(RemoteError):
    """A machine does not answer. Unreachable is not failed: what runs there may go on."""


class AccessDeniedError(RemoteError):
    """A machine does not let us in."""


class WrongResultError(RemoteError):
    """What a machine computed cannot be right."""


class RuntimeLostError(RemoteError):
    """A machine began a new life, and what lay there is gone."""


class UnsuitedError(RemoteError):
    """A machine lacks something that the job needs."""


class UserError(MontageError):
    """The request cannot be carried out as it stands."""

    exit_code = 2


class MediaError(UserError):
    """A file cannot be used."""


class IrregularTimesError(MediaError):
    """A file's time stamps jump, or are missing."""


class MissingExtraError(UserError):
    """An optional part of the package is not installed."""


class ConfigError(UserError):
    """A configuration file says something that cannot be."""


class OutputExistsError(UserError):
    """The output exists and was not made by us."""


def error_from(kind: str, what: str, *, file: str | None, hint: str | None) -> MontageError:
    """The error of class ``kind``, as a worker reported it; a ``TaskError`` for a class that is not ours."""
    found = globals().get(kind)
    known = found if isinstance(found, type) and issubclass(found, MontageError) else TaskError
    indented = "\n  ".join(line.strip() for line in what.split("\n"))  # only the first line may look like one of ours
    return known(indented, file=file, hint=hint and hint.partition("\n")[0])


def shown(text: str) -> str:
    """``text`` without what would steer a terminal: it may come from another machine."""
    return "\n".join(printable(line) for line in text.split("\n"))


def printable(name: str) -> str:
    """``name`` on one line, whatever bytes it holds: file names are data."""
    try:
        text = name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
    except UnicodeEncodeError:  # half a surrogate pair, which Windows allows
        text = name.encode("utf-8", "backslashreplace").decode("utf-8")
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
