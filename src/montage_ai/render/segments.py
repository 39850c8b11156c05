"""The film's picture in pieces that are rendered once and joined without encoding again.

A segment is either a stretch of one item or a transition between two. It is known by a digest of all that its pixels
depend on: content of the clips, exact times, filters, encoder settings. One that was rendered before is used again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import av
import av.error

from montage_ai.edit.choices import TransitionKind
from montage_ai.edit.timeline import Item, Timeline, half_after, half_before
from montage_ai.errors import ClipsFailedError, FFmpegError, MontageError, VerificationError
from montage_ai.media.ffmpeg import ffmpeg_version, ffmpeg_with, run_ffmpeg
from montage_ai.media.stills import still
from montage_ai.media.vidstab import FILTERS
from montage_ai.render.encoding import video_arguments
from montage_ai.render.layers import Canvas, Layer, filter_chain, input_arguments
from montage_ai.render.transitions import transition_filters


@dataclass(frozen=True)
class Segment:
    """``frames`` output frames made of one layer, or of two and a transition."""

    layers: tuple[Layer, ...]
    canvas: Canvas
    frames: int
    encoder: tuple[str, ...]
    transition: TransitionKind | None = None
    fade_in: int = 0
    fade_out: int = 0
    item: int = field(default=0, compare=False)
    """The number of the item that it shows, or that its transition leads to."""
    key: str = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "key", self._digest())

    @property
    def sources(self) -> frozenset[Path]:
        """The files that the timeline names for it."""
        return frozenset(layer.source for layer in self.layers)

    def graph(self) -> str:
        """The filter graph."""
        chains = [filter_chain(layer, self.canvas, name) for layer, name in zip(self.layers, "ab", strict=False)]
        if self.transition is None:
            return ",".join([f"[0:{self.layers[0].stream}]{chains[0]}", *self._fades()]) + "[film]"
        leave, come, join = transition_filters(self.transition, self.frames, self.canvas)
        first, second = (f"[{number}:{layer.stream}]" for number, layer in enumerate(self.layers))
        return f"{first}{chains[0]}{leave}[a];{second}{chains[1]}{come}[b];[a][b]{join},format=yuv420p[film]"

    def alone(self, layer: Layer) -> Segment:
        """One of the layers for as long, without the transition."""
        return replace(self, layers=(layer,), transition=None)

    def arguments(self, output: Path) -> list[str]:
        """FFmpeg's arguments. One thread each: several segments run side by side."""
        inputs = [
            argument for layer in self.layers for argument in ("-threads", "1", *input_arguments(layer, self.canvas))
        ]
        return [
            *("-loglevel", "error", "-filter_threads", "1", "-filter_complex_threads", "1"),
            *inputs,
            *("-filter_complex", self.graph(), "-map", "[film]", "-an", "-sn", "-dn"),
            *("-frames:v", str(self.frames), *self.encoder, "-f", "mp4", f"file:{output}"),
        ]

    def _fades(self) -> list[str]:
        fades = []
        if self.fade_in:
            fades.append(f"fade=type=in:start_frame=0:nb_frames={self.fade_in}")
        if self.fade_out:
            fades.append(f"fade=type=out:start_frame={self.frames - self.fade_out}:nb_frames={self.fade_out}")
        return fades

    def _digest(self) -> str:
        sources = [
            [layer.item.clip.sha256, input_arguments(layer, self.canvas)[:-1], layer.steadied and layer.steadied.digest]
            for layer in self.layers
        ]
        parts = [ffmpeg_version().split(".")[0], sources, self.graph(), self.frames, self.encoder]
        return hashlib.sha256(json.dumps(parts).encode()).hexdigest()


def cut_into_segments(
    timeline: Timeline, canvas: Canvas, layer_of: Callable[[int, Item, int, int], Layer]
) -> list[Segment]:
    """The segments of the film in order. ``layer_of(index, item, offset, frames)`` makes an item's layer."""
    encoder = tuple(video_arguments(timeline.quality, timeline.fps))
    last = len(timeline.items) - 1
    segments = []
    for k, item in enumerate(timeline.items):
        before = timeline.transitions[k - 1] if k else None
        after = timeline.transitions[k] if k < last else None
        if before is not None:
            previous = timeline.items[k - 1]
            leaving = layer_of(k - 1, previous, previous.frames - half_before(before), before.frames)
            coming = layer_of(k, item, -half_before(before), before.frames)
            segments.append(Segment((leaving, coming), canvas, before.frames, encoder, before.kind, item=k))
        frames = item.frames - half_after(before) - half_before(after)
        if frames:
            opening = min(round(timeline.opening_fade * canvas.fps), frames) if k == 0 else 0
            closing = min(round(timeline.closing_fade * canvas.fps), frames) if k == last else 0
            layer = layer_of(k, item, half_after(before), frames)
            segments.append(Segment((layer,), canvas, frames, encoder, None, opening, closing, item=k))
    return segments


def render_segment(segment: Segment, path: Path, scratch: Path, on_frames: Callable[[int], None]) -> bytes | None:
    """Encode ``segment`` as ``path`` and return a JPEG of it.

    Where that fails its clips are read from their beginning: not every file can be sought in.

    Args:
        scratch: The folder of the files that filters name.
        on_frames: Is told how many frames are done.

    Raises:
        ClipsFailedError: A clip cannot be shown as it was planned.
    """
    try:
        return _encode(segment, path, scratch, on_frames)
    except (FFmpegError, VerificationError):
        pass
    slowly = replace(segment, layers=tuple(layer.from_beginning() for layer in segment.layers))
    try:
        return _encode(slowly, path, scratch, on_frames)
    except (FFmpegError, VerificationError) as error:
        raise ClipsFailedError.of(_guilty(slowly, path, scratch, error)) from error


def _guilty(segment: Segment, path: Path, scratch: Path, error: MontageError) -> dict[Path, str]:
    """Which of a segment's clips fail, also alone, and why."""
    if len(segment.layers) == 1:
        return {segment.layers[0].source: _reason(error)}
    guilty = {}
    for layer in segment.layers:
        try:
            _encode(segment.alone(layer), path, scratch, lambda _: None)
        except (FFmpegError, VerificationError) as alone:
            guilty[layer.source] = _reason(alone)
    return guilty or {segment.layers[-1].source: _reason(error)}


def _reason(error: MontageError) -> str:
    """In a few words: FFmpeg's own stand in ``__cause__``."""
    return "cannot be decoded where it was to be shown" if isinstance(error, FFmpegError) else error.what.rstrip(".")


def _encode(segment: Segment, path: Path, scratch: Path, on_frames: Callable[[int], None]) -> bytes | None:
    """Encode ``segment``; raises ``VerificationError`` where that does not come to exactly its frames."""
    fps = float(segment.canvas.fps)
    run_ffmpeg(
        segment.arguments(path),
        cwd=scratch,
        about=segment.layers[0].source,
        program=ffmpeg_with(*FILTERS) if any(layer.steadied for layer in segment.layers) else None,
        on_seconds=lambda seconds: on_frames(min(segment.frames, int(seconds * fps))),
    )
    frames, picture = inspect(path, segment.fade_in)
    if frames != segment.frames:
        what = f"gave {frames} of the {segment.frames} frames that were planned."
        raise VerificationError(what, file=segment.layers[0].source)
    return picture


def inspect(path: Path, wanted: int = 0) -> tuple[int, bytes | None]:
    """How many pictures a video file holds, and a JPEG of number ``wanted``: it is decoded up to that only."""
    frames, decoded, picture = 0, 0, None
    try:
        with av.open(f"file:{path.absolute()}") as container:
            if not container.streams.video:  # what FFmpeg writes of a stretch without a frame
                return 0, None
            stream = container.streams.video[0]
            stream.thread_type = "NONE"
            for packet in container.demux(stream):
                frames += packet.size > 0
                if picture is None:  # the first picture is the first packet's: its decoder need not see another
                    for frame in [*packet.decode(), *([] if wanted else stream.codec_context.decode(None))]:
                        if decoded == wanted:
                            picture = still(frame)
                        decoded += 1
    except av.error.FFmpegError as error:
        raise VerificationError(f"gave what cannot be decoded ({error.strerror}).", file=path) from error
    return frames, picture


def unique(segments: Sequence[Segment]) -> dict[str, Segment]:
    """Segments by digest: equal ones are rendered once."""
    return {segment.key: segment for segment in segments}
