"""FFmpeg filters that make of a clip's picture what everything after them expects: whole frames, square pixels, SDR."""

from __future__ import annotations

from montage_ai.media.probe import VideoStream

SCALER = "flags=bicubic"

_SD_HEIGHT = 576
_WIDE = {9: "2020", 11: "smpte431", 12: "smpte432"}  # primaries, ITU-T H.273, as zscale calls them
_HDR_SIDE_DATA = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS")


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
    """Map HDR (PQ, HLG) and wide gamuts (BT.2020, Display P3) to BT.709.

    HDR goes to linear light, into BT.709's primaries, along the tone curve of Hable, and back; what the file says of
    the display that it was mastered on is not true of the result, and goes.
    """
    colour = picture.colour
    if colour.hdr:
        transfer = {16: "smpte2084", 18: "arib-std-b67"}[colour.transfer]
        return [
            f"zscale=tin={transfer}:min=2020_ncl:pin=2020:t=linear:npl=100",
            "format=gbrpf32le",
            "zscale=p=709",
            "tonemap=hable:desat=0",
            "zscale=t=709:m=709:r=limited",
            "format=yuv420p",
            "limiter=min=16:max=235:planes=1",
            *(f"sidedata=mode=delete:type={kind}" for kind in _HDR_SIDE_DATA),
        ]
    if (primaries := _WIDE.get(colour.primaries)) is not None:
        matrix, full = _matrix(picture), "full" if colour.full_range else "limited"
        named = {"bt709": "709", "bt601": "170m", "bt2020": "2020_ncl", "fcc": "fcc", "smpte240m": "240m"}[matrix]
        given = f"tin=709:min={named}:pin={primaries}:rin={full}"
        return [f"zscale={given}:t=709:m=709:p=709:r=limited", "format=yuv420p"]
    return []


def to_bt709(picture: VideoStream) -> str:
    """Options of ``scale``: to BT.709, limited range, of what ``to_sdr`` has left."""
    if picture.colour.hdr or picture.colour.primaries in _WIDE:
        return "in_color_matrix=bt709:in_range=tv:out_color_matrix=bt709:out_range=tv"
    full = "pc" if picture.colour.full_range else "tv"
    return f"in_color_matrix={_matrix(picture)}:in_range={full}:out_color_matrix=bt709:out_range=tv"


def _matrix(picture: VideoStream) -> str:
    """A clip that does not say has BT.601 in standard definition, else BT.709."""
    named = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
    return named.get(picture.colour.matrix, "bt601" if picture.coded_height <= _SD_HEIGHT else "bt709")
