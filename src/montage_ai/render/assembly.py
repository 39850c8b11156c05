"""Segments and sound become the film: copied together, probed against the plan, and only then given its name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import av

from montage_ai.edit.timeline import Timeline
from montage_ai.errors import VerificationError
from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.files import publishing
from montage_ai.render.encoding import time_arguments


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
        verify(timeline, draft, output, with_sound=sound is not None)
        on_verified(draft)


def verify(timeline: Timeline, path: Path, shown_as: Path, *, with_sound: bool) -> None:
    """Check frames, their times, size and sound of the film at ``path``; errors name it as ``shown_as``."""
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
        if bool(film.streams.audio) != with_sound:
            problems.append("no sound" if with_sound else "sound that was not planned")
        for sound in film.streams.audio[:1]:
            seconds = float((sound.duration or 0) * (sound.time_base or 0))
            if abs(seconds - timeline.duration) > 1 / timeline.fps:
                problems.append(f"{seconds:.3f} s of sound instead of {float(timeline.duration):.3f} s")
    if problems:
        hint = "This is a fault of the program: please report it with the .otio file."
        raise VerificationError(f"came out wrong ({'; '.join(problems)}) and was not kept.", file=shown_as, hint=hint)


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
