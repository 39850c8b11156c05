"""Segments and sound become the film: copied together, probed against the plan, and only then given its name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import zip_longest
from pathlib import Path

import av

from montage_ai.edit.timeline import Timeline
from montage_ai.errors import VerificationError
from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.files import publishing
from montage_ai.render.encoding import time_arguments

_H264_HEADERS = frozenset({7, 8, 9})  # sequence and picture parameter sets, access unit delimiters


def assemble(
    timeline: Timeline,
    segments: Sequence[Path],
    sound: Path | None,
    output: Path,
    on_verified: Callable[[Path], None] = lambda _: None,
) -> None:
    """Write the film to ``output``; ``on_verified`` is called with it just before it gets that name.

    Raises ``VerificationError`` where the result is not what the timeline says.
    """
    with publishing(output) as draft:
        listing = "".join(_entry(path) for path in segments).encode()
        run_ffmpeg(_arguments(timeline, sound, draft), feed=[listing], about=output)
        verify(timeline, draft, output, segments, sound)
        on_verified(draft)


def verify(timeline: Timeline, path: Path, shown_as: Path, segments: Sequence[Path], sound: Path | None) -> None:
    """Check the film at ``path``: its frames and their times, its size, its sound, and that all of them are the very
    ones that ``segments`` and ``sound`` hold. Errors name it as ``shown_as``.

    Raises ``VerificationError``.
    """
    problems = []
    with av.open(f"file:{path.absolute()}") as film:
        picture = film.streams.video[0]
        times = sorted(packet.pts for packet in film.demux(picture) if packet.pts is not None)
        if len(times) != timeline.frames:
            problems.append(f"{len(times)} frames instead of {timeline.frames}")
        frame = 1 / timeline.fps / (picture.time_base or 1)
        if late := [k for k, at in enumerate(times) if abs(at - k * frame) > frame / 4]:
            problems.append(f"frame {late[0]} is not shown at its time")
        if (picture.width, picture.height) != (timeline.width, timeline.height):
            problems.append(f"{picture.width}x{picture.height} instead of {timeline.width}x{timeline.height}")
        if bool(film.streams.audio) != (sound is not None):
            problems.append("no sound" if sound else "sound that was not planned")
        for heard in film.streams.audio[:1]:
            seconds = float((heard.duration or 0) * (heard.time_base or 0))
            if abs(seconds - timeline.duration) > 1 / timeline.fps:
                problems.append(f"{seconds:.3f} s of sound instead of {float(timeline.duration):.3f} s")
    if (number := _first_difference(_pictures([path]), _pictures(segments))) is not None:
        problems.append(f"frame {number} is not the one that was rendered")
    if sound is not None and _first_difference(_sounds(path), _sounds(sound)) is not None:
        problems.append("its sound is not the one that was mixed")
    if problems:
        hint = "This is a fault of the program: please report it with the .otio file."
        raise VerificationError(f"came out wrong ({'; '.join(problems)}) and was not kept.", file=shown_as, hint=hint)


def _first_difference(ones: Iterable[bytes], others: Iterable[bytes]) -> int | None:
    """The number of the first that differs, or that one side lacks."""
    pairs = enumerate(zip_longest(ones, others))
    return next((number for number, (one, other) in pairs if one != other), None)


def _pictures(paths: Iterable[Path]) -> Iterator[bytes]:
    """The coded pictures in files, without the headers that FFmpeg repeats where it joins files."""
    for path in paths:
        with av.open(f"file:{path.absolute()}") as container:
            for packet in container.demux(container.streams.video[0]):
                if packet.size:
                    yield b"".join(unit for unit in _units(bytes(packet)) if unit[0] & 0x1F not in _H264_HEADERS)


def _units(packet: bytes) -> Iterator[bytes]:
    """The NAL units of H.264 in a packet of MP4 (ISO/IEC 14496-15): each behind its length in four bytes."""
    position = 0
    while position + 4 < len(packet):
        end = position + 4 + int.from_bytes(packet[position : position + 4], "big")
        yield packet[position + 4 : end] or b"\0"
        position = end


def _sounds(path: Path) -> Iterator[bytes]:
    """The packets of a file's sound."""
    with av.open(f"file:{path.absolute()}") as container:
        yield from (bytes(packet) for packet in container.demux(container.streams.audio[0]) if packet.size)


def _arguments(timeline: Timeline, sound: Path | None, output: Path) -> list[str]:
    inputs = ["-f", "concat", "-safe", "0", "-protocol_whitelist", "file,pipe", "-i", "pipe:0"]
    maps = ["-map", "0:v:0"]
    if sound is not None:
        inputs += ["-i", f"file:{sound}"]
        maps += ["-map", "1:a:0"]
    # The concat demuxer adds up lengths in microseconds: over a thousand segments that is some ticks.
    frame = f"(TB*{timeline.fps.numerator}/{timeline.fps.denominator})"
    exact = f"setts=pts=round(round(PTS*{frame})/{frame}):dts=round(round(DTS*{frame})/{frame})"
    return [
        *("-loglevel", "error", *inputs, *maps, "-c", "copy", "-bsf:v", exact),
        *(*time_arguments(timeline.fps), "-movflags", "+faststart"),
        *("-f", "mov" if output.suffix.lower() == ".mov" else "mp4"),
        f"file:{output}",
    ]


def _entry(path: Path) -> str:
    quoted = str(path.absolute()).replace("'", "'\\''")
    return f"file 'file:{quoted}'\n"
