"""One item's pixels as an FFmpeg input and filter chain: which frames, upright, in the film's shape and colour."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from montage_ai.edit.timeline import Item
from montage_ai.media.probe import MediaInfo, VideoStream

_BLUR_BELOW = 0.62
"""A clip this much narrower than the film is shown whole over a blurred copy; others are cropped to fill."""
_SD_HEIGHT = 576
_TIE = 3

SCALER = "flags=bicubic"


@dataclass(frozen=True)
class Steadied:
    """What stabilises an item: the file that ``vidstabtransform`` reads, and the stretch that it was made for: the
    clip's time of its start, and its length."""

    corrections: Path
    filter: str
    since: Fraction
    seconds: Fraction
    digest: str


@dataclass(frozen=True)
class Canvas:
    """The film's frame."""

    width: int
    height: int
    fps: Fraction


@dataclass(frozen=True)
class Layer:
    """``frames`` output frames of an item, from output frame ``offset`` of it on (negative: before its start)."""

    item: Item
    info: MediaInfo
    offset: int
    frames: int
    lut: Path | None = None
    steadied: Steadied | None = None

    def start(self, fps: Fraction) -> Fraction:
        """The clip's time of the first output frame."""
        return self.item.source_time(self.offset, fps)


def input_arguments(layer: Layer, canvas: Canvas) -> list[str]:
    """Read the layer's stretch of its clip, from a little before it: what is on screen at its start began earlier."""
    since = _seek_time(layer, canvas.fps)
    shown = layer.start(canvas.fps) - since + layer.frames * layer.item.speed / canvas.fps
    seconds = layer.steadied.seconds if layer.steadied else layer.info.picture.offset + shown + Fraction(1, 2)
    offset = since + layer.info.picture.offset
    seek = ["-ss", f"{float(offset):.6f}"] if since > 0 else []
    return [*seek, "-t", f"{float(seconds):.6f}", "-i", f"file:{layer.info.path.absolute()}"]


def filter_chain(layer: Layer, canvas: Canvas, name: str) -> str:
    """The filters from the decoded clip to the film's frames; ``name`` keeps their inner labels apart."""
    picture = layer.info.picture
    timing = _timing(layer, canvas.fps)
    # Every frame that was measured must pass the transform, in order: it comes first.
    head = [layer.steadied.filter, *timing] if layer.steadied else timing
    shape = _shape(layer, picture, canvas, name)
    tail = ["setsar=1", *_grade(layer), "format=yuv420p", *_tags()]
    return ",".join([*head, *_to_sdr(picture), *shape, *tail])


def _seek_time(layer: Layer, fps: Fraction) -> Fraction:
    if layer.steadied:
        return layer.steadied.since
    picture = layer.info.picture
    early = layer.start(fps) - Fraction(5, 2) / picture.fps - Fraction(layer.info.seek_margin)
    # FFmpeg rounds a seek to the stream's own ticks: aimed at a tick, times stay exact.
    return max(Fraction(0), early // picture.time_base * picture.time_base)


def _timing(layer: Layer, fps: Fraction) -> list[str]:
    """Source times to output frames. See ``edit.timeline.shown_source_frames`` for the rule.

    Without a seek FFmpeg counts from the container's start, with one from the seek time.
    """
    since = _seek_time(layer, fps)
    zero = layer.start(fps) - since + (layer.info.picture.offset if since == 0 else 0)
    speed = f"/{float(layer.item.speed):.9f}" if layer.item.speed != 1 else ""
    # In microseconds, and a few later: what falls on the half between two output frames goes to the later one.
    shift = f"setpts='(PTS-{float(zero):.6f}/TB){speed}+{_TIE}'"
    rate = f"fps={fps.numerator}/{fps.denominator}:start_time=0:round=near"
    return ["settb=AVTB", shift, rate, "tpad=stop_mode=clone:stop_duration=0.5"]


def _shape(layer: Layer, picture: VideoStream, canvas: Canvas, name: str) -> list[str]:
    film = Fraction(canvas.width, canvas.height)
    clip = Fraction(picture.width, picture.height)
    colour = _matrix(picture)
    target = f"{canvas.width}:{canvas.height}"
    if clip / film < _BLUR_BELOW:
        return [_over_blur(canvas, colour, name)]
    if abs(clip / film - 1) < Fraction(1, 200):
        return [f"scale={target}:{SCALER}:{colour}"]
    return [_crop(clip / film, layer.item.focus), f"scale={target}:{SCALER}:{colour}"]


def _crop(ratio: Fraction, focus: tuple[float, float]) -> str:
    """Crop to the film's shape around ``focus``; ``ratio`` is the clip's aspect over the film's."""
    width, height = (float(1 / ratio), 1.0) if ratio > 1 else (1.0, float(ratio))
    x = min(max(focus[0] - width / 2, 0.0), 1 - width)
    y = min(max(focus[1] - height / 2, 0.0), 1 - height)
    return f"crop=w=iw*{width:.6f}:h=ih*{height:.6f}:x=iw*{x:.6f}:y=ih*{y:.6f}"


def _over_blur(canvas: Canvas, colour: str, name: str) -> str:
    """The clip whole, over a blurred copy that fills the frame; blurred small, which is cheap and looks alike."""
    width, height = canvas.width, canvas.height
    small = f"{max(2, width // 16 * 2)}:{max(2, height // 16 * 2)}"
    fill = f"scale={small}:force_original_aspect_ratio=increase,crop={small},gblur=sigma=6,scale={width}:{height}"
    whole = f"scale={width}:{height}:force_original_aspect_ratio=decrease:force_divisible_by=2:{SCALER}:{colour}"
    return (
        f"scale=iw*sar:ih,setsar=1,split[{name}front][{name}back];"
        f"[{name}back]{fill}:{colour},eq=brightness=-0.06[{name}fill];[{name}front]{whole}[{name}whole];"
        f"[{name}fill][{name}whole]overlay=(W-w)/2:(H-h)/2"
    )


def _matrix(picture: VideoStream) -> str:
    """Convert to BT.709, limited range. A clip that does not say is BT.601 in standard definition, else BT.709."""
    if picture.colour.hdr:
        return "out_color_matrix=bt709:out_range=tv"
    named = {1: "bt709", 4: "fcc", 5: "bt601", 6: "bt601", 7: "smpte240m", 9: "bt2020", 10: "bt2020"}
    matrix = named.get(picture.colour.matrix, "bt601" if picture.coded_height <= _SD_HEIGHT else "bt709")
    full = "pc" if picture.colour.full_range else "tv"
    return f"in_color_matrix={matrix}:in_range={full}:out_color_matrix=bt709:out_range=tv"


def _to_sdr(picture: VideoStream) -> list[str]:
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


def _grade(layer: Layer) -> list[str]:
    return ["format=gbrp", f"lut3d=file={layer.lut.name}:interp=tetrahedral"] if layer.lut else []


def _tags() -> list[str]:
    return ["setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"]
