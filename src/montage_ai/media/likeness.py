"""Whether a video that came from elsewhere can be what was made of a clip: whole, as long, and of the same pictures."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av.error
import cv2
import numpy as np

from montage_ai.errors import MediaError, VerificationError
from montage_ai.isolation import isolated
from montage_ai.media.decode import frame_at
from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.probe import MediaInfo, open_media, probe
from montage_ai.media.stretch import seek

_SMALL = (16, 9)
_PLACES = (0.05, 0.3, 0.5, 0.7, 0.95)  # of the length
_FLAT = 4.0  # grey levels: pictures that vary less look like any other
_ALIKE = 0.35  # correlation of small pictures; those of other footage stay within about 0.3 of none
_BRIGHTNESS = 40.0  # grey levels by which means may differ


def check_decodes(path: Path) -> None:
    """Raise ``VerificationError`` for a video that cannot be decoded from end to end without a complaint."""
    said = run_ffmpeg(["-loglevel", "error", "-i", f"file:{path.absolute()}", "-f", "null", "-"], about=path)
    if said.strip():
        raise VerificationError(f"It does not decode cleanly: {said.strip().splitlines()[0]}", file=path)


@isolated(silence=600.0)
def count_pictures(info: MediaInfo, start: Fraction, seconds: Fraction) -> int:
    """The coded pictures of a clip from ``start`` on, for ``seconds`` (0: to the end), counted without decoding."""
    picture = info.picture
    with open_media(info.path) as container:
        stream = container.streams[picture.index]
        if start:
            seek(container, info, max(Fraction(0), start - 1))
        first = picture.first_pts + start / picture.time_base
        end = first + seconds / picture.time_base if seconds else None
        count = 0
        try:
            for packet in container.demux(stream):
                at = packet.pts if packet.pts is not None else packet.dts
                count += packet.size > 0 and (at is None or (at >= first and (end is None or at < end)))
        except av.error.FFmpegError:  # a file that was cut off: what comes before counts
            pass
        return count


def check_alike(path: Path, source: MediaInfo, start: Fraction) -> None:
    """Raise ``VerificationError`` where the video at ``path`` does not show what ``source`` shows from ``start`` on.

    A few pictures are compared, small and grey: a picture that was moved or cropped by a fifth is still alike.
    """
    made = probe(path)
    seconds = Fraction(made.duration).limit_denominator(1000)
    looked = alike = 0
    for share in map(Fraction, map(str, _PLACES)):
        ours, theirs = _small_picture(source, start + share * seconds), _small_picture(made, share * seconds)
        if ours and theirs and (likeness := _likeness(ours, theirs)) is not None:
            looked += 1
            alike += likeness
    if alike < looked / 2:
        raise VerificationError("It shows other pictures than the clip.", file=path)


@isolated()
def _small_picture(info: MediaInfo, time: Fraction) -> list[int]:
    """The frame at a time, grey, of 16 by 9 pixels; empty where there is none."""
    try:
        frame = frame_at(info, time)
    except MediaError:
        return []
    if frame is None:
        return []
    return np.asarray(cv2.resize(frame.luma, _SMALL, interpolation=cv2.INTER_AREA)).ravel().astype(int).tolist()


def _likeness(one: list[int], other: list[int]) -> bool | None:
    """Whether two small pictures are alike; None where they are too plain to tell."""
    a, b = np.array(one, np.float64), np.array(other, np.float64)
    if abs(a.mean() - b.mean()) > _BRIGHTNESS:
        return False
    if min(a.std(), b.std()) < _FLAT:
        return None
    return float(np.corrcoef(a, b)[0, 1]) > _ALIKE
