"""What a media file is: its streams, times, geometry and colour, read from its headers and first frame."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, Literal

import av
import av.error
import numpy as np
from av.container import InputContainer
from av.video.stream import VideoStream as AvVideoStream
from pydantic import BaseModel, ConfigDict

from montage_ai.errors import MediaError
from montage_ai.media.origin import photo_origin, video_location, video_taken

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"})
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp"}
    | {".mxf", ".ogv", ".vob", ".insv", ".lrv", ".mod", ".gif"}
)
AUDIO_SUFFIXES = frozenset({".mp3", ".wav", ".flac", ".m4a", ".aac", ".ogg", ".opus", ".aif", ".aiff", ".wma"})

_HDR_TRANSFERS = frozenset({16, 18})  # PQ (SMPTE 2084), HLG (ARIB STD-B67): ITU-T H.273


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Colour(_Model):
    """Colour tags as ITU-T H.273 code points (2: unspecified)."""

    matrix: int = 2
    primaries: int = 2
    transfer: int = 2
    full_range: bool = False

    @property
    def hdr(self) -> bool:
        return self.transfer in _HDR_TRANSFERS


class VideoStream(_Model):
    """The picture stream of a file. ``width`` and ``height`` are as shown: upright, in square pixels."""

    codec: str
    coded_width: int
    coded_height: int
    sample_aspect: Fraction
    rotation: Literal[0, 90, 180, 270]
    """Degrees counter-clockwise that turn the coded picture upright ..."""
    mirrored: bool = False
    """... and whether left and right are then to be exchanged."""
    interlaced: bool = False
    width: int
    height: int
    fps: Fraction
    """Average frames a second."""
    time_base: Fraction
    first_pts: int
    """Presentation time stamp of the first frame, in ``time_base`` units: the zero of all source times."""
    offset: Fraction
    """Seconds from the container's start to the first frame, which FFmpeg's ``-ss`` counts from."""
    frames: int
    """As the container says; 0 where it does not."""
    bit_depth: int
    alpha: bool
    colour: Colour


class AudioStream(_Model):
    """The first sound stream of a file."""

    codec: str
    sample_rate: int
    channels: int


class MediaInfo(_Model):
    """A media file's headers. ``duration`` is in seconds as the container says, 0 for a photo."""

    path: Path
    kind: Literal["video", "photo", "audio"]
    container: str
    duration: float
    bit_rate: int
    video: VideoStream | None
    audio: AudioStream | None
    taken: str | None = None
    """When it was taken, as ISO 8601, if the file says it."""
    location: tuple[float, float] | None = None
    """Where it was taken, if the file says it: degrees of latitude and longitude (WGS 84)."""

    @property
    def picture(self) -> VideoStream:
        """The picture stream of a clip."""
        if self.video is None:
            raise MediaError("has no picture.", file=self.path, hint="Give a video or a photo.")
        return self.video


def probe(path: Path) -> MediaInfo:
    """Read what ``path`` is.

    Raises ``MediaError`` for a file that cannot be opened or holds neither picture nor sound.
    """
    try:
        with open_media(path) as container:
            info = _describe(path, container)
    except (av.error.FFmpegError, ValueError) as error:
        raise _unreadable(path, error) from error
    taken, location = photo_origin(path) if info.kind == "photo" else (info.taken, info.location)
    return info.model_copy(update={"taken": taken, "location": location})


def open_media(path: Path) -> InputContainer:
    """Open ``path`` for reading: as a file, whatever its name looks like (``-x``, ``http:x``, ``a:b``)."""
    if not path.is_file():
        raise MediaError("is not a file." if path.exists() else "does not exist.", file=path)
    try:
        return av.open(f"file:{path.absolute()}", metadata_errors="replace")
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise _unreadable(path, error) from error


def shown_at(frame: av.VideoFrame, container: InputContainer) -> int | None:
    """When a frame is shown, in its stream's time base: None where the file does not say.

    AVI knows no such times, only the order of the frames, so there the time of decoding counts, as with FFmpeg.
    """
    return frame.dts if container.format.name == "avi" else frame.pts


def picture_stream(container: InputContainer) -> AvVideoStream | None:
    """The first stream of moving picture: not the cover of a piece of music."""
    covers = av.stream.Disposition.attached_pic
    return next((s for s in container.streams.video if not s.disposition & covers), None)


def _describe(path: Path, container: InputContainer) -> MediaInfo:
    picture = picture_stream(container)
    photo = picture is not None and _is_photo(container)
    video = _describe_video(path, container, picture) if picture is not None else None
    sound = container.streams.audio[0] if container.streams.audio else None
    if video is None and sound is None:
        raise MediaError("holds neither picture nor sound.", file=path, hint="Leave it out.")
    audio = None
    if sound is not None:
        audio = AudioStream(codec=sound.codec_context.name, sample_rate=sound.rate, channels=sound.channels)
    return MediaInfo(
        path=path,
        kind="photo" if photo else "video" if video else "audio",
        container=container.format.name,
        duration=0.0 if photo else _duration(container, picture or sound),
        bit_rate=container.bit_rate or 0,
        video=video,
        audio=audio,
        taken=video_taken(container.metadata),
        location=video_location(container.metadata),
    )


def _describe_video(path: Path, container: InputContainer, stream: AvVideoStream) -> VideoStream:
    frame = next(container.decode(stream), None)
    if frame is None:
        raise MediaError("holds no picture that can be decoded.", file=path, hint="Export the clip again.")
    rotation, mirrored = _orientation(frame)
    sample_aspect = Fraction(stream.sample_aspect_ratio or 1) or Fraction(1)
    wide = (round(frame.width * sample_aspect), frame.height)
    width, height = wide if rotation % 180 == 0 else wide[::-1]
    time_base = stream.time_base or Fraction(1, 90_000)
    first_pts = shown_at(frame, container) or 0
    component = frame.format.components[0]
    return VideoStream(
        codec=stream.codec_context.name,
        coded_width=frame.width,
        coded_height=frame.height,
        sample_aspect=sample_aspect,
        rotation=rotation,
        mirrored=mirrored,
        interlaced=frame.interlaced_frame,
        width=width,
        height=height,
        fps=_frame_rate(stream),
        time_base=time_base,
        first_pts=first_pts,
        offset=first_pts * time_base - Fraction(container.start_time or 0, av.time_base),
        frames=stream.frames,
        bit_depth=component.bits,
        alpha=any(c.is_alpha for c in frame.format.components),
        colour=Colour(
            matrix=int(frame.colorspace),
            primaries=int(frame.color_primaries),
            transfer=int(frame.color_trc),
            full_range=int(frame.color_range) == 2 or frame.format.name.startswith("yuvj"),
        ),
    )


def _orientation(frame: av.VideoFrame) -> tuple[Any, bool]:
    """Degrees counter-clockwise, and whether left and right are exchanged after that: from the display matrix.

    Its rows say where the picture's axes lie on the screen: a negative determinant mirrors.
    """
    try:
        found: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV refuses all where it knows one not (a photo's EXIF)
        return round(frame.rotation / 90) * 90 % 360, False
    if found is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(bytes(found), np.int32)[:5].astype(np.float64)
    mirrored = bool(a * d < b * c)
    angle = -np.degrees(np.arctan2(b, -a if mirrored else a))
    return round(angle / 90) * 90 % 360, mirrored


def _frame_rate(stream: AvVideoStream) -> Fraction:
    for rate in (stream.average_rate, stream.guessed_rate, stream.base_rate):
        if rate and 1 <= rate <= 1000:
            return Fraction(rate)
    return Fraction(25)


def _duration(container: InputContainer, stream: Any) -> float:
    if stream.duration and stream.time_base:
        return float(stream.duration * stream.time_base)
    return (container.duration or 0) / av.time_base


def _is_photo(container: InputContainer) -> bool:
    name = container.format.name
    return name == "image2" or (name.endswith("_pipe") and name != "gif_pipe")


def _unreadable(path: Path, error: Exception) -> MediaError:
    reason = getattr(error, "strerror", None) or str(error)
    return MediaError(f"cannot be read as media ({reason}).", file=path, hint="It may be damaged or not a media file.")
