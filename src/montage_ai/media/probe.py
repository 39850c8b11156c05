"""What a media file is: its streams, times, geometry and colour, read from its headers and first frame.

A file of unknown origin is opened in a process that may die of it (``isolation``).
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

import av
import av.error
import numpy as np
from av.audio.stream import AudioStream as AvAudioStream
from av.container import InputContainer
from av.video.stream import VideoStream as AvVideoStream
from pydantic import BaseModel, ConfigDict

from montage_ai.errors import IrregularTimesError, MediaError
from montage_ai.isolation import isolated
from montage_ai.media.crop import container_crop
from montage_ai.media.files import FileIdentity
from montage_ai.media.origin import photo_origin, video_location, video_taken
from montage_ai.media.photos import is_photo, read_header
from montage_ai.paths import AnyPath

PHOTO_SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".heic", ".heif", ".avif"})
VIDEO_SUFFIXES = frozenset(
    {".mp4", ".mov", ".m4v", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".wmv", ".flv", ".3gp"}
    | {".mxf", ".ogv", ".vob", ".insv", ".lrv", ".lrf", ".mod", ".gif", ".m2t", ".dv", ".f4v", ".qt", ".m2v", ".mpv"}
    | {".tod", ".asf", ".divx", ".ogm", ".3g2", ".h264", ".264", ".h265", ".265", ".hevc", ".360"}
)
AUDIO_SUFFIXES = frozenset({".mp3", ".wav", ".flac", ".m4a", ".aac", ".ogg", ".opus", ".aif", ".aiff", ".wma"})

_HDR_TRANSFERS = frozenset({16, 18})  # PQ (SMPTE 2084), HLG (ARIB STD-B67): ITU-T H.273

_ONLY_THIS_FILE = {"protocol_whitelist": "file"}
_PLAYLISTS = frozenset({"hls", "dash", "concat", "ffmetadata", "sdp", "rtsp", "imf", "image2"})
RAW_STREAMS = frozenset({"h264", "hevc", "vvc", "av1", "obu", "m4v", "mpegvideo", "mjpeg", "cavsvideo", "dirac"})
"""Formats of streams without a container."""

_NOTHING = "holds neither picture nor sound."
_PHOTO_RATE = Fraction(25)
_LONGEST_SIDE = 16_384
_LEAST_ASPECT = Fraction(1, 8)
_FASTEST = 300  # frames a second: more is the unit of time that a recorder writes instead
_SAME_RATE = 0.02
_UNSPECIFIED = 2
_NO_CONVERSION = frozenset({11, 15, 16, 17})  # Y'D'zD'x, IPT-C2, YCgCo-Re and -Ro: neither swscale nor zimg has them
_STAMPS = 120  # of packets, by which a rate is told
_USUAL_RATES = tuple(map(Fraction, ("24", "25", "30", "50", "60", "24000/1001", "30000/1001", "60000/1001", "15")))


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
    """The picture stream of a file. ``width`` and ``height`` are as shown: upright, cropped, in square pixels."""

    index: int = 0
    """Its number among the file's streams."""
    codec: str
    coded_width: int
    coded_height: int
    crop: tuple[int, int, int, int] = (0, 0, 0, 0)
    """Coded pixels that the container says are not shown: left, right, top, bottom."""
    sample_aspect: Fraction
    rotation: Literal[0, 90, 180, 270]
    """Degrees counter-clockwise that turn the coded picture upright ..."""
    mirrored: bool = False
    """... and whether left and right are then to be exchanged."""
    interlaced: bool = False
    width: int
    height: int
    fps: Fraction
    """Frames a second: the usual rate, where it varies."""
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
    """The sound stream of a file that is heard. (PyAV dies of asking some files for their channels.)"""

    index: int = 0
    """Its number among the file's streams."""
    codec: str
    sample_rate: int


class Shape(_Model):
    """From ``start`` seconds on, from the first frame, the coded pictures are so large."""

    start: Fraction
    coded_width: int
    coded_height: int


class MediaInfo(_Model):
    """A media file's headers. ``duration`` is in seconds as the container says, 0 for a photo."""

    path: AnyPath
    kind: Literal["video", "photo", "audio"]
    container: str
    duration: float
    start: Fraction = Fraction(0)
    """Seconds at which the container's time line starts."""
    bit_rate: int
    video: VideoStream | None
    audio: AudioStream | None
    taken: str | None = None
    """When it was taken, as ISO 8601, if the file says it."""
    location: tuple[float, float] | None = None
    """Where it was taken, if the file says it: degrees of latitude and longitude (WGS 84)."""
    notes: tuple[str, ...] = ()
    """What of the file cannot be used, as sentences."""
    shapes: tuple[Shape, ...] = ()
    """Where the size of the pictures changes within the file: all its sizes, in order. It is found by decoding."""
    rebuilt: bool = False
    """Whether all this is of a copy whose time stamps are in order (``rebuild``), made in place of the file's own."""

    @property
    def picture(self) -> VideoStream:
        """The picture stream of a clip."""
        if self.video is None:
            raise MediaError("has no picture.", file=self.path, hint="Give a video or a photo.")
        return self.video

    def at(self, time: Fraction) -> tuple[MediaInfo, Fraction, Fraction | None]:
        """The same with the size that pictures have at ``time`` seconds, and from when until when they have it."""
        k = max((k for k, shape in enumerate(self.shapes) if shape.start <= time), default=None)
        if k is None:
            return self, Fraction(0), None
        shape, end = self.shapes[k], self.shapes[k + 1].start if k + 1 < len(self.shapes) else None
        picture = self.picture
        wide = (max(1, round(shape.coded_width * picture.sample_aspect)), shape.coded_height)
        width, height = wide if picture.rotation % 180 == 0 else wide[::-1]
        sizes = {"coded_width": shape.coded_width, "coded_height": shape.coded_height, "crop": (0, 0, 0, 0)}
        video = picture.model_copy(update={**sizes, "width": width, "height": height})
        return self.model_copy(update={"video": video}), shape.start, end


def probe(path: Path) -> MediaInfo:
    """Read what ``path`` is; a file that has not changed since is not read again.

    Raises ``MediaError`` for a file that cannot be opened or holds neither picture nor sound.
    """
    check_is_file(path)
    identity = (path, FileIdentity.of(path))
    with _lock:
        if (known := _known.get(identity)) is not None:
            return known
    info = _read_headers(path)
    with _lock:
        if len(_known) >= _MOST_KNOWN:
            _known.clear()
        _known[identity] = info
    return info


_MOST_KNOWN = 10_000
_known: dict[tuple[Path, FileIdentity], MediaInfo] = {}
_lock = threading.Lock()


@isolated(memory=1.5, silence=300.0)
def _read_headers(path: AnyPath) -> MediaInfo:
    """Read what ``path`` is, whatever was known of it."""
    if is_photo(path):
        return _describe_photo(path)
    try:
        with open_media(path) as container:
            return _describe(path, container)
    except (av.error.FFmpegError, ValueError) as error:
        raise _unreadable(path, error) from error


def check_is_file(path: Path) -> None:
    """Raise ``MediaError`` for what is no file: a pipe would be waited for."""
    try:
        if path.is_file():
            return
        exists = path.exists()
    except OSError as error:
        raise MediaError(f"cannot be read ({error.strerror}).", file=path) from error
    raise MediaError("is not a file." if exists else "does not exist.", file=path)


def open_media(path: Path) -> InputContainer:
    """Open ``path`` for reading: as a file, whatever its name looks like (``-x``, ``http:x``, ``a:b``)."""
    check_is_file(path)
    try:
        return av.open(f"file:{path.absolute()}", metadata_errors="replace", options=_ONLY_THIS_FILE)
    except (av.error.FFmpegError, ValueError, OSError) as error:
        raise _unreadable(path, error) from error


def shown_at(frame: av.VideoFrame, container: InputContainer) -> int | None:
    """When a frame is shown, in its stream's time base: None where the file does not say.

    AVI knows no such times, only the order of the frames, so there the time of decoding counts, as with FFmpeg.
    """
    return frame.dts if container.format.name == "avi" else frame.pts


def picture_stream(container: InputContainer) -> AvVideoStream | None:
    """The stream of moving picture that is shown: the default one, else the largest; not the cover of a piece of music.

    As players do, and unlike FFmpeg, which takes the largest whatever the file says.
    """
    covers = av.stream.Disposition.attached_pic
    streams = [s for s in container.streams.video if not s.disposition & covers and _has_decoder(s)]
    default = av.stream.Disposition.default
    return max(streams, key=lambda s: (bool(s.disposition & default), s.width * s.height, -s.index), default=None)


def sound_stream(container: InputContainer) -> AvAudioStream | None:
    """The stream of sound that is heard: the default one, else the first, of those that can be decoded."""
    default = av.stream.Disposition.default
    streams = [s for s in container.streams.audio if _has_decoder(s) and s.sample_rate]
    return max(streams, key=lambda s: (bool(s.disposition & default), -s.index), default=None)


def _has_decoder(stream: Any) -> bool:
    """PyAV has no codec context for a codec that its FFmpeg does not know."""
    return stream.codec_context is not None


def _describe_photo(path: Path) -> MediaInfo:
    header = read_header(path)
    taken, location = photo_origin(path)
    video = VideoStream(
        codec=header.format.lower(),
        coded_width=header.width,
        coded_height=header.height,
        sample_aspect=Fraction(1),
        rotation=0,
        width=header.width,
        height=header.height,
        fps=_PHOTO_RATE,
        time_base=1 / _PHOTO_RATE,
        first_pts=0,
        offset=Fraction(0),
        frames=1,
        bit_depth=8,
        alpha=header.alpha,
        colour=Colour(),
    )
    return MediaInfo(
        path=path,
        kind="photo",
        container=header.format.lower(),
        duration=0.0,
        bit_rate=0,
        video=video,
        audio=None,
        taken=taken,
        location=location,
    )


def _describe(path: Path, container: InputContainer) -> MediaInfo:
    if container.format.name.endswith("_pipe") and container.format.name != "gif_pipe":
        return _describe_photo(path)
    if container.format.name in _PLAYLISTS:
        what = f"is a list of other files ({container.format.name}), not footage."
        raise MediaError(what, file=path, hint="Give the clips that it names.")
    if container.format.name in RAW_STREAMS:
        raise IrregularTimesError("is a raw stream without time stamps.", file=path, hint="Convert it to MP4.")
    picture, sound = picture_stream(container), sound_stream(container)
    notes = []
    if sound is None and container.streams.audio:
        notes.append("its sound is of a kind that cannot be read")
    if picture is None and sound is None:
        has_some = container.streams.video or container.streams.audio
        what = "has only streams of kinds that cannot be read." if has_some else _NOTHING
        raise MediaError(what, file=path, hint="Leave it out, or export it again.")
    video = _describe_video(path, container, picture) if picture is not None else None
    duration = _duration(container, picture or sound)
    if video is not None and picture is not None and not duration:  # recorders of browsers do not say it
        duration = _last_moment(container, picture, video)
    audio = None
    if sound is not None:
        audio = AudioStream(index=sound.index, codec=sound.codec_context.name, sample_rate=sound.sample_rate)
    return MediaInfo(
        path=path,
        kind="video" if video else "audio",
        container=container.format.name,
        duration=duration,
        start=Fraction(container.start_time or 0, av.time_base),
        bit_rate=container.bit_rate or 0,
        video=video,
        audio=audio,
        taken=video_taken(container.metadata),
        location=video_location(container.metadata),
        notes=tuple(notes),
    )


def _describe_video(path: Path, container: InputContainer, stream: AvVideoStream) -> VideoStream:
    frame, stamps = _first_frame(container, stream)
    if frame is None:
        raise MediaError("holds no picture that can be decoded.", file=path, hint="Export the clip again.")
    if max(frame.width, frame.height) > _LONGEST_SIDE:
        what = f"has pictures of {frame.width} by {frame.height} pixels, which is more than can be read."
        raise MediaError(what, file=path, hint="It may be damaged. Leave it out, or export it smaller.")
    rotation, mirrored = _orientation(frame)
    sample_aspect = Fraction(stream.sample_aspect_ratio or 1)
    if not _LEAST_ASPECT <= sample_aspect <= 1 / _LEAST_ASPECT:
        sample_aspect = Fraction(1)
    crop = container_crop(path, container.format.name, stream.index, frame.width, frame.height)
    across, down = frame.width - crop[0] - crop[1], frame.height - crop[2] - crop[3]
    wide = (max(1, round(across * sample_aspect)), down)
    width, height = wide if rotation % 180 == 0 else wide[::-1]
    time_base = stream.time_base or Fraction(1, 90_000)
    first_pts = shown_at(frame, container) or 0
    component = frame.format.components[0]
    matrix = int(frame.colorspace)
    if matrix in _NO_CONVERSION:
        what = f"has colours of a kind that cannot be converted (matrix {matrix} of ITU-T H.273)."
        raise MediaError(what, file=path, hint="Export it as BT.709 or BT.2020.")
    return VideoStream(
        index=stream.index,
        codec=stream.codec_context.name,
        coded_width=frame.width,
        coded_height=frame.height,
        crop=crop,
        sample_aspect=sample_aspect,
        rotation=rotation,
        mirrored=mirrored,
        interlaced=frame.interlaced_frame,
        width=width,
        height=height,
        fps=_frame_rate(stream, stamps),
        time_base=time_base,
        first_pts=first_pts,
        offset=first_pts * time_base - Fraction(container.start_time or 0, av.time_base),
        frames=stream.frames,
        bit_depth=component.bits,
        alpha=any(c.is_alpha for c in frame.format.components),
        colour=Colour(
            matrix=_UNSPECIFIED if matrix == 0 and not frame.format.is_rgb else matrix,
            primaries=int(frame.color_primaries),
            transfer=int(frame.color_trc),
            full_range=int(frame.color_range) == 2 or frame.format.name.startswith("yuvj"),
        ),
    )


def _first_frame(container: InputContainer, stream: AvVideoStream) -> tuple[av.VideoFrame | None, list[int]]:
    """The first frame, and the time stamps of the first packets where the rate is to be told from them."""
    first, stamps = None, list[int]()
    wanted = 0 if _rate_is_plain(stream) else _STAMPS
    for packet in container.demux(stream):
        if packet.pts is not None:
            stamps.append(packet.pts)
        if first is None:
            with contextlib.suppress(av.error.InvalidDataError):  # a damaged start: what comes after may be good
                first = next(iter(packet.decode()), None)
        if first is not None and len(stamps) >= wanted:
            break
    return first, stamps


def _last_moment(container: InputContainer, stream: AvVideoStream, video: VideoStream) -> float:
    """Seconds from the first frame to the end of the last, found by reading on to the end of the file."""
    last = video.first_pts
    with contextlib.suppress(av.error.FFmpegError):  # a file that was cut off ends where it can be read to
        for packet in container.demux(stream):
            last = max(last, packet.pts if packet.pts is not None else last)
    return float((last - video.first_pts) * video.time_base + 1 / video.fps)


def _orientation(frame: av.VideoFrame) -> tuple[Any, bool]:
    """Degrees counter-clockwise, and whether left and right are exchanged after that: from the display matrix.

    Its rows say where the picture's axes lie on the screen: a negative determinant mirrors.
    """
    try:
        found: Any = frame.side_data.get("DISPLAYMATRIX")
    except ValueError:  # PyAV refuses all where it knows one not
        return round(frame.rotation / 90) * 90 % 360, False
    if found is None:
        return 0, False
    a, b, _, c, d = np.frombuffer(bytes(found), np.int32)[:5].astype(np.float64)
    mirrored = bool(a * d < b * c)
    angle = -np.degrees(np.arctan2(b, -a if mirrored else a))
    return round(angle / 90) * 90 % 360, mirrored


def _rate_is_plain(stream: AvVideoStream) -> bool:
    """Whether the average rate can be believed: recorders of browsers and screens write others."""
    average, guessed = stream.average_rate, stream.guessed_rate
    if not average or not guessed or average > _FASTEST:
        return False
    return abs(average / guessed - 1) < _SAME_RATE


def _frame_rate(stream: AvVideoStream, stamps: Sequence[int]) -> Fraction:
    """Frames a second: where the rate varies the usual one, by the median time from one frame to the next."""
    if _rate_is_plain(stream) and stream.average_rate and stream.average_rate >= 1:
        return Fraction(stream.average_rate)
    ordered = sorted(set(stamps))
    steps = sorted(b - a for a, b in pairwise(ordered))
    if steps and stream.time_base:
        usual = 1 / (steps[len(steps) // 2] * stream.time_base)
        average, guessed = stream.average_rate, stream.guessed_rate
        for rate in (average, guessed, *_USUAL_RATES):
            if rate and abs(usual / rate - 1) < 4 * _SAME_RATE:
                return Fraction(rate)
        if 1 <= usual <= 1000:
            return usual.limit_denominator(1001)
    for rate in (stream.average_rate, stream.guessed_rate, stream.codec_context.framerate, stream.base_rate):
        if rate and 1 <= rate <= 1000:
            return Fraction(rate)
    return Fraction(25)


def _duration(container: InputContainer, stream: Any) -> float:
    if stream.duration and stream.time_base and stream.duration > 0:
        return float(stream.duration * stream.time_base)
    return max(container.duration or 0, 0) / av.time_base


def _unreadable(path: Path, error: Exception) -> MediaError:
    reason = getattr(error, "strerror", None) or str(error)
    return MediaError(f"cannot be read as media ({reason}).", file=path, hint="It may be damaged or not a media file.")
