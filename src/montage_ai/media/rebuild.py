"""Copies of files whose time stamps cannot be relied on: raw streams, recordings that were appended to each other.

FFmpeg's program puts such time stamps in order as it reads, PyAV does not, and neither can seek in them. A copy of the
packets in a container with an index is the same for both. It loses nothing, and lies in the cache.
"""

from __future__ import annotations

import contextlib
from fractions import Fraction
from pathlib import Path

import av
import av.error
from av.container import InputContainer
from av.video.stream import VideoStream

from montage_ai import config
from montage_ai.errors import FFmpegError, IrregularTimesError, MediaError
from montage_ai.isolation import isolated
from montage_ai.media.ffmpeg import first_run_that_works
from montage_ai.media.files import digest_of
from montage_ai.media.probe import RAW_STREAMS, MediaInfo, open_media, picture_stream, probe
from montage_ai.media.sealed import SealedFiles
from montage_ai.paths import AnyPath

FOLDER = "rebuilt"
_SUFFIX = ".mov"
_USUAL_RATE = 25


def probe_readable(path: Path, sha256: str | None = None) -> MediaInfo:
    """What ``path`` is, as it can be read: of a file with irregular times that is a copy (``rebuilt`` is True).

    ``sha256`` is the digest of its content, which is read where it is needed and not given.
    """
    try:
        return probe(path)
    except IrregularTimesError:
        return rebuilt(path, sha256 or digest_of(path))


def rebuilt(path: Path, sha256: str) -> MediaInfo:
    """The copy of ``path``, whose content has the digest ``sha256``, made if it is not there.

    Raises ``MediaError`` where none can be made.
    """
    copies = SealedFiles(config.cache_dir() / FOLDER)
    name = sha256 + _SUFFIX
    if (copy := copies.find(name)) is None:
        with copies.writing(name) as draft:
            if not _copy_raw_stream(path.absolute(), draft):
                _copy(path, draft)
        copy = copies.path(name)
    return probe(copy).model_copy(update={"rebuilt": True})


@isolated(memory=2.0, silence=3600.0)
def _copy_raw_stream(path: AnyPath, target: AnyPath) -> bool:
    """Give the packets of a stream without a container the times at which they are shown; False for all else.

    The decoder says the order: it hands on the number of the packet that a picture came in. The rate is the one in the
    stream's headers (cameras count fields there, so it is not FFmpeg's guess).
    """
    with open_media(path) as source:
        stream = picture_stream(source)
        if source.format.name not in RAW_STREAMS or stream is None:
            return False
        shown = _shown_packets(source, stream)
        rate = stream.codec_context.framerate or stream.average_rate or _USUAL_RATE
    with open_media(path) as source, av.open(f"file:{target}", "w", format="mov") as copy:
        stream = picture_stream(source)
        assert stream is not None
        written = copy.add_stream_from_template(stream, opaque=False)
        delay = max((number - place for place, number in enumerate(shown)), default=0)
        places = {number: place for place, number in enumerate(shown)}
        for number, packet in enumerate(p for p in source.demux(stream) if p.size):
            if number in places:
                packet.time_base = 1 / Fraction(rate)
                packet.pts, packet.dts, packet.duration = places[number] + delay, number, 1
                packet.stream = written
                copy.mux(packet)
    return bool(shown)


def _shown_packets(source: InputContainer, stream: VideoStream) -> list[int]:
    """The numbers of the packets in the order in which their pictures are shown."""
    shown, number = list[int](), 0
    for packet in source.demux(stream):
        if packet.size:
            packet.pts = packet.dts = number
            number += 1
        with contextlib.suppress(av.error.InvalidDataError):
            shown += [frame.pts for frame in packet.decode() if frame.pts is not None]
    return shown


def _copy(path: Path, target: Path) -> None:
    """Copy the picture's packets, and the sound's where MOV takes them."""
    reading = ["-fflags", "+genpts", "-i", f"file:{path.absolute()}"]
    writing = ["-c:v", "copy", "-f", "mov", f"file:{target}"]
    sounds = (["-map", "0:a:0?", "-c:a", "copy"], ["-map", "0:a:0?", "-c:a", "pcm_s16le"], ["-an"])
    try:
        first_run_that_works(
            [["-loglevel", "error", *reading, "-map", "0:V:0", *sound, *writing] for sound in sounds], about=path
        )
    except FFmpegError as error:
        hint = "Convert it to MP4 with another program, or leave it out."
        raise MediaError("has time stamps that cannot be put in order.", file=path, hint=hint) from error
