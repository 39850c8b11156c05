"""How films are encoded, by quality."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction

from montage_ai.edit.choices import Quality


@dataclass(frozen=True)
class Encoding:
    """x264's preset and constant rate factor, and AAC's bits a second."""

    preset: str
    crf: int
    audio_bit_rate: int


ENCODINGS: dict[Quality, Encoding] = {
    "preview": Encoding("ultrafast", 28, 128_000),
    "standard": Encoding("veryfast", 20, 192_000),
    "high": Encoding("medium", 18, 256_000),
    "master": Encoding("slow", 14, 320_000),
}


def video_arguments(quality: Quality, fps: Fraction) -> list[str]:
    """FFmpeg's output arguments for a segment: all segments of a film can be joined without encoding again.

    ``stitchable`` keeps x264 from fitting the stream's headers to the content of each segment. The movie's time scale
    is that of its video track: in milliseconds, as by default, the lengths of segments are rounded, and cuts drift.
    """
    encoding = ENCODINGS[quality]
    return [
        *("-c:v", "libx264", "-preset", encoding.preset, "-crf", str(encoding.crf), "-pix_fmt", "yuv420p"),
        *("-x264-params", "stitchable=1", "-threads", "1"),
        *time_arguments(fps),
        *("-map_metadata", "-1", "-fflags", "+bitexact"),
    ]


def time_arguments(fps: Fraction) -> list[str]:
    """FFmpeg's output arguments for exact times in an MP4 file."""
    return ["-video_track_timescale", str(timescale(fps)), "-movie_timescale", str(timescale(fps))]


def timescale(fps: Fraction) -> int:
    """Ticks a second of the film's video track: a whole number of them a frame, and at least 10,000 a second."""
    factor = max(1, -(-10_000 // fps.numerator))
    return fps.numerator * factor
