"""A stretch of a clip as a file of its own, without decoding: what another machine needs of a long clip."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import av.error

from montage_ai.media.probe import MediaInfo, open_media, picture_stream

_BEHIND = Fraction(1)  # seconds of packets behind the end: frames are stored in another order than shown


def cut_pictures(info: MediaInfo, start: Fraction, seconds: Fraction, target: Path) -> Fraction | None:
    """Copy the packets of the picture stream that show ``seconds`` from ``start`` on to ``target`` (.mov).

    Times are in the clip's own, from its first frame. Returns where ``start`` is in the copy, counted from the copy's
    first frame. None where that cannot be done exactly: the container has no index or cannot seek, or the
    codec has no place in a .mov file.
    """
    picture = info.picture
    if picture.interlaced:  # fields come in pairs across packets
        return None
    try:
        with open_media(info.path) as source, av.open(f"file:{target.absolute()}", "w", format="mov") as output:
            stream = picture_stream(source)
            assert stream is not None
            copy = output.add_stream_from_template(stream, opaque=False)
            unit = picture.time_base
            source.seek(int(picture.first_pts + start / unit), stream=stream)
            first: int | None = None
            shift: int | None = None
            last = picture.first_pts + (start + seconds + _BEHIND) / unit
            for packet in source.demux(stream):
                if packet.pts is None or packet.dts is None:
                    continue
                if first is None:
                    if not packet.is_keyframe or (packet.pts - picture.first_pts) * unit > start:
                        return None
                    first, shift = packet.pts, packet.dts
                elif packet.pts < first:
                    continue  # an open group's leading frames, which need what is not here
                if packet.dts > last:
                    break
                assert shift is not None
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = copy
                output.mux(packet)
            return None if first is None else start - (first - picture.first_pts) * unit
    except (av.error.FFmpegError, ValueError, OverflowError):
        return None
