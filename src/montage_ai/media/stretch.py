"""A stretch of a clip as FFmpeg reads it: from exactly its first frame on, whatever the container can seek to."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

import av

from montage_ai.media.probe import MediaInfo, open_media, picture_stream

# Demuxers that find a time by guessing a byte position, and so may land behind the key frame that is needed.
_UNINDEXED = frozenset({"mpeg", "mpegts", "mpegvideo", "mpegtsraw", "h264", "hevc", "m4v", "flv"})
APPENDABLE = frozenset({"mpeg", "mpegts"})
"""Containers that may hold several recordings, one after the other. Of what is read FFmpeg's program takes the first
time stamp for their zero, where that is later than what it was told to seek to."""

_ONLY_THIS_FILE = ("-protocol_whitelist", "file,pipe")  # a playlist would name others
_FIRST_TRY = Fraction(3)


@dataclass(frozen=True)
class Stretch:
    """The ``seconds`` (None: all) of a clip from ``start`` on, in seconds from its first frame.

    Decoding begins ``margin`` seconds earlier; see ``seek_margin``.
    """

    info: MediaInfo
    start: Fraction = Fraction(0)
    seconds: Fraction | None = None
    margin: Fraction = Fraction(0)

    def input_arguments(self) -> list[str]:
        """FFmpeg's arguments up to and with ``-i``."""
        seek = ["-ss", _text(self._aim + self.info.picture.offset)] if self._aim else []
        length = [] if self.seconds is None else ["-t", _text(self.time_of(self.start + self.seconds))]
        return [*seek, *length, *_ONLY_THIS_FILE, "-i", f"file:{self.info.path.absolute()}"]

    @property
    def stream(self) -> int:
        """The number of the picture stream, by which FFmpeg is told to read it."""
        return self.info.picture.index

    def filters(self) -> list[str]:
        """What drops the frames from before the start; the others keep their times.

        FFmpeg counts ``-t`` from the first frame that it decodes, so the end is cut here too.
        """
        if self.start == self._aim:
            return []
        end = "" if self.seconds is None else f":end={_text(self.time_of(self.start + self.seconds))}"
        return [f"trim=start={_text(self.time_of(self.start))}{end}"]

    def time_of(self, seconds: Fraction) -> Fraction:
        """A moment of the clip as the filters see it: counted from the seek, without one from the container's start."""
        if self._aim or set(self.info.container.split(",")) & APPENDABLE:
            return seconds - self._aim
        return seconds + self.info.picture.offset

    @property
    def _aim(self) -> Fraction:
        return max(self.start - self.margin, Fraction(0))


def seek_margin(info: MediaInfo, start: Fraction) -> Fraction:
    """How much earlier than ``start`` to seek so that decoding surely begins with a key frame at or before it.

    Where the container has no index it is tried, as FFmpeg will do it, with more and more; at last from the beginning.
    """
    if not set(info.container.split(",")) & _UNINDEXED:
        return Fraction(0)
    margin = _FIRST_TRY
    while margin < start:
        if _begins_before(info, start - margin, start):
            return margin
        margin *= 2
    return start


def seek(container: av.container.InputContainer, info: MediaInfo, aim: Fraction) -> None:
    """Go to a key frame at or before ``aim`` seconds from the clip's first frame, as far as the container can tell."""
    origin = Fraction(container.start_time or 0, av.time_base)
    container.seek(int((origin + info.picture.offset + aim) * av.time_base))


def origin_arguments(info: MediaInfo) -> list[str]:
    """FFmpeg's arguments that make a copy say when and where the clip was taken."""
    return ["-map_metadata", "0", *(["-metadata", f"creation_time={info.taken}"] if info.taken else [])]


def sound_maps(info: MediaInfo) -> list[list[str]]:
    """FFmpeg's arguments that take a clip's sound along: all of it, else what is heard, else none.

    A track that cannot be decoded or stored makes FFmpeg fail.
    """
    heard = [] if info.audio is None else [["-map", "0:a?"], ["-map", f"0:{info.audio.index}"]]
    return [*heard, ["-an"]]


def _begins_before(info: MediaInfo, aim: Fraction, start: Fraction) -> bool:
    picture = info.picture
    with open_media(info.path) as container:
        stream = picture_stream(container)
        assert stream is not None
        seek(container, info, aim)
        for packet in container.demux(stream):
            if packet.is_keyframe and packet.pts is not None:
                return (packet.pts - picture.first_pts) * picture.time_base <= start
    return False


def _text(seconds: Fraction) -> str:
    return f"{float(seconds):.6f}"
