"""FFmpeg filters that make of a clip's picture what everything after them expects: whole frames, square pixels, SDR."""

from __future__ import annotations

from montage_ai.media.probe import Colour, VideoStream

SCALER = "flags=bicubic"

_SD_HEIGHT = 576
_UNSPECIFIED = 2
_WIDE = frozenset({9, 11, 12})  # primaries: BT.2020, DCI, Display P3
# Code points of ITU-T H.273, as FFmpeg's ``setparams`` calls them.
_MATRICES = {0: "gbr", 1: "bt709", 4: "fcc", 5: "bt470bg", 6: "smpte170m", 7: "smpte240m", 8: "ycgco", 9: "bt2020nc"}
_MATRICES |= {10: "bt2020c", 12: "chroma-derived-nc", 13: "chroma-derived-c", 14: "ictcp"}
_PRIMARIES = {1: "bt709", 9: "bt2020", 11: "smpte431", 12: "smpte432"}
_TRANSFERS = {16: "smpte2084", 18: "arib-std-b67"}
_SCALED = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020"}  # what ``scale`` converts
_ICTCP = 14
_HDR_SIDE_DATA = ("MASTERING_DISPLAY_METADATA", "CONTENT_LIGHT_LEVEL", "DYNAMIC_HDR_PLUS")


def whole_frames(picture: VideoStream) -> list[str]:
    """One frame of each two fields of an interlaced picture; the number of frames stays."""
    return ["bwdif=mode=send_frame:deint=interlaced"] if picture.interlaced else []


def square_size(picture: VideoStream) -> tuple[int, int]:
    """The size of the upright picture after ``square_pixels``: even."""
    if picture.sample_aspect == 1:
        return picture.width // 2 * 2, picture.height // 2 * 2
    return 2 * max(1, round(picture.width / 2)), 2 * max(1, round(picture.height / 2))


def square_pixels(picture: VideoStream) -> list[str]:
    """Scale pixels that are not square, and cut a row or column that is left over: vid.stab wants even sizes."""
    width, height = square_size(picture)
    if picture.sample_aspect != 1:
        return [f"scale={width}:{height}:{SCALER}", "setsar=1"]
    return [] if (width, height) == (picture.width, picture.height) else [f"crop={width}:{height}:0:0"]


def to_sdr(picture: VideoStream) -> list[str]:
    """Say what the colours are, where a clip does not, and map HDR (PQ, HLG) and wide gamuts to BT.709.

    HDR goes to linear light, into BT.709's primaries, along the tone curve of Hable, and back; what the file says of
    the display that it was mastered on is not true of the result, and goes.
    """
    colour = resolved(picture)
    said = [
        f"setparams=colorspace={_MATRICES[colour.matrix]}:color_primaries={_PRIMARIES[colour.primaries]}"
        f":color_trc={_TRANSFERS.get(colour.transfer, 'bt709')}:range={'pc' if colour.full_range else 'tv'}"
    ]
    if colour.hdr:
        return [
            *said,
            *(["zscale=m=2020_ncl"] if colour.matrix == _ICTCP else []),
            "zscale=t=linear:npl=100",
            "format=gbrpf32le",
            "zscale=p=709",
            "tonemap=hable:desat=0",
            "zscale=t=709:m=709:r=limited",
            "format=yuv420p",
            "limiter=min=16:max=235:planes=1",
            *(f"sidedata=mode=delete:type={kind}" for kind in _HDR_SIDE_DATA),
        ]
    if _needs_zscale(colour):
        return [*said, "zscale=t=709:m=709:p=709:r=limited", "format=yuv420p"]
    return said


def to_bt709(picture: VideoStream) -> str:
    """Options of ``scale``: to BT.709, limited range, of what ``to_sdr`` has left."""
    colour = resolved(picture)
    if colour.hdr or _needs_zscale(colour):
        return "in_color_matrix=bt709:in_range=tv:out_color_matrix=bt709:out_range=tv"
    matrix = _SCALED.get(colour.matrix, "bt709")
    return (
        f"in_color_matrix={matrix}:in_range={'pc' if colour.full_range else 'tv'}:out_color_matrix=bt709:out_range=tv"
    )


def resolved(picture: VideoStream) -> Colour:
    """A clip's colours without gaps: what it does not say, or says of a kind that nobody shows, is filled in.

    HDR is BT.2020. Else a clip has BT.601 in standard definition and BT.709 above it, whose primaries hardly differ.
    """
    given = picture.colour
    matrix = given.matrix
    if matrix not in _MATRICES or (matrix == _ICTCP and not given.hdr) or (matrix == 10 and given.hdr):
        standard = 6 if picture.coded_height <= _SD_HEIGHT else 1
        matrix = 9 if given.hdr or given.primaries == 9 else standard
    if given.hdr:
        primaries = given.primaries if given.primaries in _PRIMARIES and matrix != _ICTCP else 9
    else:
        primaries = given.primaries if given.primaries in _WIDE else 9 if matrix == 10 else 1
    full = given.full_range or matrix == 0  # RGB has no other range
    return given.model_copy(update={"matrix": matrix, "primaries": primaries, "full_range": full})


def _needs_zscale(colour: Colour) -> bool:
    return colour.primaries in _WIDE or (colour.matrix != 0 and colour.matrix not in _SCALED)
