"""The one way FFmpeg is run: arguments as a list, no terminal, progress parsed, errors told, never left behind."""

from __future__ import annotations

import contextlib
import shutil
import subprocess
import tempfile
import threading
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from pathlib import Path
from typing import IO

from montage_ai import config, processes
from montage_ai.errors import DiskFullError, FFmpegError, UnsuitedError, UserError

OnSeconds = Callable[[float], None]

_KEPT_LINES = 400
_LAST_LINES = 12
_BLOCK = 1 << 20  # bytes


@cache
def ffmpeg_path() -> str:
    """The FFmpeg binary: the bundled one, unless ``MONTAGE_AI_FFMPEG`` asks for another."""
    choice = config.ffmpeg_choice()
    if choice == "bundled":
        return _bundled()
    found = shutil.which("ffmpeg" if choice == "system" else choice)
    if found is None:
        raise UserError(
            f"MONTAGE_AI_FFMPEG is {choice!r}, and there is no such program.",
            hint="Unset it to use the FFmpeg that came with this package.",
        )
    return str(Path(found).absolute())


def _bundled() -> str:
    import imageio_ffmpeg

    return str(imageio_ffmpeg.get_ffmpeg_exe())


@cache
def ffmpeg_with(*filters: str) -> str:
    """The FFmpeg binary in which ``filters`` work, with their options: the usual one, else the bundled one.

    A filter of the right name may lack an option, so they are tried: one after the other in one folder, where each may
    read what another has written. Raises ``UnsuitedError``.
    """
    for program in dict.fromkeys((ffmpeg_path(), _bundled())):
        if all_work(program, filters):
            return program
    names = ", ".join(one.partition("=")[0] for one in filters)
    raise UnsuitedError(f"FFmpeg lacks {names}, or options of theirs.", hint="Unset MONTAGE_AI_FFMPEG.")


def all_work(program: str, filters: Sequence[str]) -> bool:
    """Whether all ``filters`` can be used with ``program``."""
    source = ["-f", "lavfi", "-i", "color=size=64x64:rate=10:duration=0.3"]
    with tempfile.TemporaryDirectory(prefix="montage-ai-") as folder:
        try:
            for one in filters:
                arguments = ["-loglevel", "error", *source, "-vf", one, "-f", "null", "-"]
                run_ffmpeg(arguments, cwd=Path(folder), program=program)
        except FFmpegError:
            return False
    return True


@cache
def ffmpeg_version() -> str:
    """The version as the binary says it, like ``n9.0.2``."""
    return run_ffmpeg(["-version"], wants_output=True).split(" ")[2]


@cache
def ffmpeg_filters() -> frozenset[str]:
    """Names of the filters that the binary was built with."""
    lines = run_ffmpeg(["-filters"], wants_output=True).splitlines()
    return frozenset(fields[1] for fields in map(str.split, lines) if len(fields) > 2 and "->" in fields[2])


def run_ffmpeg(
    arguments: Sequence[str],
    *,
    cwd: Path | None = None,
    on_seconds: OnSeconds | None = None,
    feed: Iterable[bytes] | None = None,
    wants_output: bool = False,
    about: Path | None = None,
    program: str | None = None,
) -> str:
    """Run FFmpeg (``program``, if not the usual one); return its stdout (if ``wants_output``), else its stderr.

    ``on_seconds`` is told the output time in seconds; ``feed`` is written to FFmpeg's stdin. Raises
    ``FFmpegError`` with the last lines of stderr, about the file ``about``; ``DiskFullError`` where the disk is full.
    """
    command = [program or ffmpeg_path(), "-hide_banner", "-nostdin", "-y"]
    if on_seconds is not None:
        command += ["-progress", "pipe:1", "-nostats"]
    command += arguments
    piped = subprocess.PIPE
    with processes.child(
        command,
        stdin=subprocess.DEVNULL if feed is None else piped,
        stdout=piped if wants_output or on_seconds else subprocess.DEVNULL,
        stderr=piped,
        cwd=cwd,
    ) as process:
        complaints: deque[str] = deque(maxlen=_KEPT_LINES)
        threads = [threading.Thread(target=_collect, args=(process.stderr, complaints), daemon=True)]
        feeder = _Feeder(process.stdin, feed)
        if feed is not None:
            threads.append(threading.Thread(target=feeder.run, daemon=True))
        for thread in threads:
            thread.start()
        output = _read_stdout(process.stdout, on_seconds)
        for thread in threads:
            thread.join()
        code = process.wait()
    if feeder.error is not None:
        raise feeder.error
    if code != 0:
        raise _error(code, list(complaints), about)
    return output if wants_output else "\n".join(complaints)


def first_run_that_works(
    tries: Sequence[Sequence[str]],
    *,
    cwd: Path | None = None,
    on_seconds: OnSeconds | None = None,
    about: Path | None = None,
    program: str | None = None,
) -> None:
    """Run FFmpeg with the first of ``tries`` that does not fail. Raises the first one's ``FFmpegError``."""
    first: FFmpegError | None = None
    for arguments in tries:
        try:
            run_ffmpeg(arguments, cwd=cwd, on_seconds=on_seconds, about=about, program=program)
            return
        except FFmpegError as error:
            first = first or error
    assert first is not None
    raise first


def ffmpeg_output(arguments: Sequence[str], *, unit: int = 1, about: Path | None = None) -> Iterator[bytes]:
    """Run FFmpeg and yield what it writes to stdout, in blocks of whole ``unit`` s of bytes.

    Raises ``FFmpegError`` about the file ``about`` after the last block, where FFmpeg failed.
    """
    command = [ffmpeg_path(), "-hide_banner", "-nostdin", *arguments]
    with processes.child(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        complaints: deque[str] = deque(maxlen=_KEPT_LINES)
        collector = threading.Thread(target=_collect, args=(process.stderr, complaints), daemon=True)
        collector.start()
        assert process.stdout is not None
        while block := process.stdout.read(_BLOCK // unit * unit):
            whole = len(block) - len(block) % unit
            if whole:
                yield block[:whole]
        collector.join()
        code = process.wait()
    if code != 0:
        raise _error(code, list(complaints), about)


def _read_stdout(stream: IO[bytes] | None, on_seconds: OnSeconds | None) -> str:
    if stream is None:
        return ""
    if on_seconds is None:
        return stream.read().decode("utf-8", "replace")
    for line in stream:
        key, _, value = line.partition(b"=")
        if key == b"out_time_us" and value.strip().lstrip(b"-").isdigit():
            on_seconds(max(0.0, int(value) / 1e6))
    return ""


def _collect(stream: IO[bytes] | None, lines: deque[str]) -> None:
    if stream is not None:
        for line in stream:
            lines.append(line.decode("utf-8", "replace").rstrip())


class _Feeder:
    """Writes blocks to FFmpeg's stdin and closes it, whatever happens; keeps the error of the blocks' source."""

    def __init__(self, stream: IO[bytes] | None, blocks: Iterable[bytes] | None) -> None:
        self._stream, self._blocks = stream, blocks or ()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            for block in self._blocks:
                if not self._write(block):
                    return
        except BaseException as error:  # noqa: BLE001  raised again in the thread that waits
            self.error = error
        finally:
            with contextlib.suppress(OSError):
                assert self._stream is not None
                self._stream.close()

    def _write(self, block: bytes) -> bool:
        """False where FFmpeg takes no more: it has all that it wants, or has failed and says so."""
        assert self._stream is not None
        try:
            self._stream.write(block)
        except OSError:
            return False
        return True


def _error(code: int, complaints: list[str], about: Path | None) -> FFmpegError | DiskFullError:
    said = "\n  ".join(line for line in complaints[-_LAST_LINES:] if line)
    if any("No space left on device" in line for line in complaints):
        return DiskFullError("The disk is full.", file=about, hint="Free some space and run the same command again.")
    ending = f"was killed (signal {-code})" if code < 0 else f"ended with exit code {code}"
    return FFmpegError(f"FFmpeg {ending}:\n  {said}", file=about)
