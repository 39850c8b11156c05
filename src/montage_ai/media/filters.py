"""FFmpeg filters that make of a clip's picture what everything after them expects: whole frames, square pixels, SDR."""

from __future__ import annotations

from montage_ai.media.probe import VideoStream

SCALER = "flags=bicubic"

_SD_HEIGHT = 576


def whole_frames(picture: VideoStream) -> list[str]:
    """One frame of each two fields of an interlaced picture; the number of frames stays."""
    return ["bwdif=mode=send_frame:deint=interlaced"] if picture.interlaced else []


def square_size(picture: VideoStream) -> tuple[int, int]:
    """The size of the upright picture after ``square_pixels``: as coded, or even where it had to be scaled."""
    if picture.sample_aspect == 1:
        return picture.width, picture.height
    return 2 * round(picture.width / 2), 2 * round(picture.height / 2)


def square_pixels(picture: VideoStream) -> list[str]:
    """Scale pixels that are not square."""
    if picture.sample_aspect == 1:
        return []
    width, height = square_size(picture)
    return [f"scale={width}:{height}:{SCALER}", "setsar=1"]


def to_sdr(picture: VideoStream) -> list[str]:
    """Map HDR (PQ, HLG) to BT.709: to linear light, into BT.709's primaries, the tone curve of Hable, and back."""
    if not picture.colour.hdr:
        return []
    transfer = {16: "smpte2084", 18: "arib-std-b67"}[picture.colour.transfer]
    return [
        f"zscale=tin={transfer}:min=2020_ncl:pin=2020:t=linear:npl=100",
        "format=gbrpf32le",
        "zscale=p=709",
        "tonemap=hable:desat=0",
        "zscale=t=709:m=709:r=limited",
        "format=yuv420p",
    ]


def to_bt709(picture: VideoStream) -> str:
    """Options of ``scale``: to BT.709, limited range. A clip that does not say is BT.601 in standard definition."""
    if picture.colour.hdr:
        return "out_color_matrix=bt709:out_range=tv"
    named = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
    matrix = named.get(picture.colour.matrix, "bt601" if picture.coded_height <= _SD_HEIGHT else "bt709")
    full = "pc" if picture.colour.full_range else "tv"
    return f"in_color_matrix={matrix}:in_range={full}:out_color_matrix=bt709:out_range=tv"
