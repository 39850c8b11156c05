"""One item's pixels as an FFmpeg input and filter chain: which frames, upright, in the film's shape and colour."""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction
from pathlib import Path

from montage_ai.edit.timeline import Item
from montage_ai.media.filters import SCALER, square_pixels, to_bt709, to_sdr, whole_frames
from montage_ai.media.probe import MediaInfo, VideoStream
from montage_ai.media.stretch import Stretch

_BLUR_BELOW = 0.62
"""A clip this much narrower than the film is shown whole over a blurred copy; others are cropped to fill."""
_TIE = 3
_EVERYTHING = Fraction(10**9)  # seconds: earlier than any clip begins


@dataclass(frozen=True)
class Steadied:
    """What stabilises an item: the file that ``vidstabtransform`` reads, and the stretch that it was made for."""

    corrections: Path
    filter: str
    stretch: Stretch
    digest: str


@dataclass(frozen=True)
class Canvas:
    """The film's frame."""

    width: int
    height: int
    fps: Fraction


@dataclass(frozen=True)
class Layer:
    """``frames`` output frames of an item, from output frame ``offset`` of it on (negative: before its start).

    Its clip is read from ``margin`` seconds earlier than needed (see ``media.stretch``). ``source`` is the file that
    the timeline names, which may be another than the one that is read.
    """

    item: Item
    source: Path
    info: MediaInfo
    offset: int
    frames: int
    lut: Path | None = None
    steadied: Steadied | None = None
    margin: Fraction = Fraction(0)
    begin: Fraction = Fraction(0)
    end: Fraction | None = None
    """From when until when pictures have the size that ``info`` says: FFmpeg's filters begin anew where it changes."""

    @property
    def stream(self) -> int:
        """The number of the picture stream."""
        return self.info.picture.index

    def from_beginning(self) -> Layer:
        """The same, without a seek: its clip is decoded from its first frame on."""
        if self.steadied is None:
            return replace(self, margin=_EVERYTHING)
        stretch = replace(self.steadied.stretch, margin=self.steadied.stretch.start)
        return replace(self, steadied=replace(self.steadied, stretch=stretch))

    def start(self, fps: Fraction) -> Fraction:
        """The clip's time of the first output frame."""
        return self.item.source_time(self.offset, fps)


def input_arguments(layer: Layer, canvas: Canvas) -> list[str]:
    """Read the layer's stretch of its clip, from a little before it: what is on screen at its start began earlier."""
    return _stretch(layer, canvas.fps).input_arguments()


def filter_chain(layer: Layer, canvas: Canvas, name: str) -> str:
    """The filters from the decoded clip to the film's frames; ``name`` keeps their inner labels apart."""
    picture = layer.info.picture
    timing = _timing(layer, canvas.fps)
    head = [*_stretch(layer, canvas.fps).filters(), *whole_frames(picture)]
    if layer.steadied:  # every frame that was measured must pass the transform, in order
        head += [*square_pixels(picture), layer.steadied.filter]
    shape = _shape(layer, picture, canvas, name)
    tail = ["setsar=1", *_grade(layer), "format=yuv420p", *_tags()]
    return ",".join([*head, *timing, *to_sdr(picture), *shape, *tail])


def _stretch(layer: Layer, fps: Fraction) -> Stretch:
    """What is read of the clip. FFmpeg rounds a seek to the stream's own ticks: aimed at a tick, times stay exact."""
    if layer.steadied:
        return layer.steadied.stretch
    picture = layer.info.picture
    early = layer.start(fps) - Fraction(5, 2) / picture.fps
    since = max(layer.begin, early // picture.time_base * picture.time_base)
    shown = layer.start(fps) - since + layer.frames * layer.item.speed / fps
    seconds = picture.offset + shown + Fraction(1, 2)
    if layer.end is not None:
        seconds = min(seconds, layer.end - since - Fraction(1, 2) / picture.fps)
    return Stretch(layer.info, since, seconds, layer.margin)


def _timing(layer: Layer, fps: Fraction) -> list[str]:
    """Source times to output frames. See ``edit.timeline.shown_source_frames`` for the rule."""
    zero = _stretch(layer, fps).time_of(layer.start(fps))
    speed = f"/{float(layer.item.speed):.9f}" if layer.item.speed != 1 else ""
    # In microseconds, and a few later: what falls on the half between two output frames goes to the later one.
    shift = f"setpts='(PTS-{float(zero):.6f}/TB){speed}+{_TIE}'"
    rate = f"fps={fps.numerator}/{fps.denominator}:start_time=0:round=near"
    return ["settb=AVTB", shift, rate, "tpad=stop_mode=clone:stop_duration=0.5"]


def _shape(layer: Layer, picture: VideoStream, canvas: Canvas, name: str) -> list[str]:
    film = Fraction(canvas.width, canvas.height)
    clip = Fraction(picture.width, picture.height)
    colour = to_bt709(picture)
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


def _grade(layer: Layer) -> list[str]:
    return ["format=gbrp", f"lut3d=file={layer.lut.name}:interp=tetrahedral"] if layer.lut else []


def _tags() -> list[str]:
    return ["setparams=range=tv:color_primaries=bt709:color_trc=bt709:colorspace=bt709"]
