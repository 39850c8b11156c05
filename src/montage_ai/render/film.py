"""Render a timeline: steady what shakes, encode what is new, mix the sound, and join it all."""

from __future__ import annotations

import contextlib
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from montage_ai import config
from montage_ai.edit.timeline import ClipSource, Item, Timeline
from montage_ai.errors import MediaError
from montage_ai.events import Emit, StageDone, StageStarted, Tally, counted
from montage_ai.media.probe import MediaInfo, probe
from montage_ai.media.stretch import seek_margin
from montage_ai.offload.cache import in_use, prune
from montage_ai.offload.costs import Key
from montage_ai.offload.ledger import Ledger
from montage_ai.offload.options import LOCAL
from montage_ai.offload.places import Mode
from montage_ai.offload.store import Store
from montage_ai.parallel import StopSign, cores, run_all
from montage_ai.render.assembly import assemble
from montage_ai.render.colour import lut_file
from montage_ai.render.layers import Canvas, Layer, Steadied
from montage_ai.render.photos import PhotoFilm
from montage_ai.render.pieces import Pieces
from montage_ai.render.segments import Segment, cut_into_segments, render_segment, unique
from montage_ai.render.sound import render_sound
from montage_ai.render.steady import handles, steady
from montage_ai.tasks.task import Line, Work
from montage_ai.worker.machine import device_here

_RENDERING_PACE = Line(1.0, 0.008)  # seconds a frame and megapixel, until it is measured
_RENDERING, _JOINING = "Rendering", "Putting the film together"


@dataclass(frozen=True)
class Rendered:
    """What rendering took: segments ``encoded`` now and ``reused`` from before; the numbers of the items that were
    ``steadied``; and a JPEG of each item as it is in the film, None for one that transitions cover."""

    path: Path
    encoded: int
    reused: int
    steadied: frozenset[int]
    pictures: tuple[bytes | None, ...]


def render_film(
    timeline: Timeline,
    output: Path,
    emit: Emit,
    *,
    offload: Mode = None,
    on_verified: Callable[[Path], None] = lambda _: None,
) -> Rendered:
    """Render ``timeline`` as ``output``. Segments that were rendered before are used again.

    ``offload`` says where heavy steps may run: "never" but here, "auto", or an executor's name; see ``Offloader``.
    ``on_verified`` is called with the verified film just before it gets its name. Raises ``MediaError`` for a clip
    that is gone or has changed, and the errors of the work.
    """
    pieces = Pieces(config.cache_dir())
    with in_use(pieces.cache):
        rendered = _render(timeline, output, pieces, emit, offload, on_verified)
    prune(pieces.cache, pieces.folders, config.cache_limit())
    return rendered


def _render(
    timeline: Timeline,
    output: Path,
    pieces: Pieces,
    emit: Emit,
    offload: Mode,
    on_verified: Callable[[Path], None],
) -> Rendered:
    infos = _probe_clips(timeline)
    steadied = steady(timeline, infos, pieces.scratch, emit, offload)
    with tempfile.TemporaryDirectory(dir=pieces.scratch, prefix=".photos-") as folder:
        photos = _photo_films(timeline, Path(folder))
        segments = cut_into_segments(
            timeline, _canvas(timeline), _layer_maker(timeline, infos, photos, steadied, pieces)
        )
        new = {key: s for key, s in unique(segments).items() if not pieces.has_segment(s)}
        sound = pieces.sound(timeline) if _has_sound(timeline, infos) else None
        _render_pieces(new, timeline, infos, photos, sound, pieces, emit)
    joining = time.monotonic()
    emit(StageStarted(_JOINING))
    assemble(timeline, [pieces.segment(s.key) for s in segments], sound, output, on_verified)
    emit(StageDone(_JOINING, time.monotonic() - joining, f"{float(timeline.duration):.2f} s, {timeline.frames} frames"))
    pictures = {s.item: pieces.picture(s) for s in segments if s.transition is None}
    return Rendered(
        path=output,
        encoded=len(new),
        reused=len(unique(segments)) - len(new),
        steadied=frozenset(steadied),
        pictures=tuple(pictures.get(k) for k in range(len(timeline.items))),
    )


def rendering_work(timeline: Timeline, ledger: Ledger) -> tuple[Work, float]:
    """How large rendering the film is, and the seconds that it is thought to take here.

    Its units are the film's frames times megapixels; its inputs the bytes of what it shows of the clips.
    """
    units = timeline.frames * timeline.width * timeline.height / 1e6
    up = 0.0
    for item in timeline.items:
        size = item.clip.path.stat().st_size
        duration = probe(item.clip.path).duration if item.clip.kind == "video" else 0.0
        shown = float(item.frames / timeline.fps)
        up += size * min(1.0, (shown + 2) / duration) if duration else size  # from a key frame on
    seconds = ledger.line("render", LOCAL, "compute", ledger.device(LOCAL), _RENDERING_PACE)(units)
    return Work(up=int(up), units=units, down=int(units * 8_000)), seconds


def _canvas(timeline: Timeline) -> Canvas:
    return Canvas(timeline.width, timeline.height, timeline.fps)


def _probe_clips(timeline: Timeline) -> dict[Path, MediaInfo]:
    infos = {}
    for item in timeline.items:
        path = item.clip.path
        if not path.is_file():
            raise MediaError("is not there any more.", file=path, hint="Put it back, or make the film again.")
        if item.clip.kind == "video" and path not in infos:
            infos[path] = probe(path)
    return infos


def _has_sound(timeline: Timeline, infos: Mapping[Path, MediaInfo]) -> bool:
    return timeline.music is not None or (timeline.sound != "music" and any(info.audio for info in infos.values()))


def _photo_films(timeline: Timeline, folder: Path) -> dict[int, PhotoFilm]:
    """Every photo's item, by its number, as the video that it will be."""
    canvas = _canvas(timeline)
    return {
        index: PhotoFilm(item, canvas, *handles(timeline, index), folder)
        for index, item in enumerate(timeline.items)
        if item.clip.kind == "photo"
    }


def _layer_maker(
    timeline: Timeline,
    infos: Mapping[Path, MediaInfo],
    photos: Mapping[int, PhotoFilm],
    steadied: Mapping[int, Steadied],
    pieces: Pieces,
) -> Callable[[int, Item, int, int], Layer]:
    """How an item becomes a layer: photos as short videos, colours as lookup tables."""
    fps = timeline.fps

    def make(index: int, item: Item, offset: int, frames: int) -> Layer:
        lut = None if item.grade.neutral else lut_file(item.grade, pieces.scratch)
        if (photo := photos.get(index)) is None:
            info = infos[item.clip.path]
            margin = seek_margin(info, item.source_time(offset, fps))
            return Layer(item, info, offset, frames, lut, steadied.get(index), margin)
        moving = ClipSource(path=photo.info.path, sha256=photo.digest, kind="video")
        shown = item.model_copy(update={"clip": moving, "start": photo.before / fps, "focus": (0.5, 0.5)})
        return Layer(shown, photo.info, offset, frames, lut)

    return make


def _render_pieces(
    new: Mapping[str, Segment],
    timeline: Timeline,
    infos: Mapping[Path, MediaInfo],
    photos: Mapping[int, PhotoFilm],
    sound: Path | None,
    pieces: Pieces,
    emit: Emit,
) -> None:
    """Encode the new segments and the sound, as many at once as there are processors."""
    work_list: list[Segment | Path] = [*sorted(new.values(), key=lambda segment: -segment.frames)]
    if sound is not None and not pieces.has_sound(timeline):
        work_list.insert(0, sound)
    if not work_list:
        return
    started, total = time.monotonic(), sum(segment.frames for segment in new.values())
    emit(StageStarted(_RENDERING, total, "frames"))
    tally, drawn = Tally(emit, _RENDERING), _Drawn(photos, new)

    def work(piece: Segment | Path, sign: StopSign) -> None:
        sign.check()
        if isinstance(piece, Path):
            render_sound(timeline, infos, piece)
            return
        with drawn.photos_of(piece):
            target = pieces.segment(piece.key)
            picture = render_segment(piece, target, pieces.scratch, lambda frames: tally.set(piece.key, frames))
        pieces.keep_picture(piece, picture)
        tally.set(piece.key, piece.frames, whole=True)

    for _ in run_all(work, work_list, workers=min(cores(), len(work_list))):
        pass
    seconds = time.monotonic() - started
    if total:
        _remember_pace(total * timeline.width * timeline.height / 1e6, seconds)
    emit(StageDone(_RENDERING, seconds, f"{counted(len(new), 'segment')}, {total} frames"))


def _remember_pace(units: float, seconds: float) -> None:
    """What rendering takes here is part of the plan, though it always stays."""
    store = Store(config.data_dir())
    try:
        key = Key(f"render/{LOCAL}/compute", device_here())
        predicted = store.measurements.costs().line(key, _RENDERING_PACE)(units)
        store.measurements.add(key, units, seconds, predicted)
    finally:
        store.close()


class _Drawn:
    """The photos' videos that are there: drawn for the first segment that needs one, removed after the last."""

    def __init__(self, photos: Mapping[int, PhotoFilm], segments: Mapping[str, Segment]) -> None:
        self._films = {photo.info.path: photo for photo in photos.values()}
        self._needed = Counter(path for segment in segments.values() for path in self._paths(segment))
        self._locks: defaultdict[Path, threading.Lock] = defaultdict(threading.Lock)
        self._guard = threading.Lock()

    @contextlib.contextmanager
    def photos_of(self, segment: Segment) -> Iterator[None]:
        """The photos' videos of ``segment`` are there for the length of the block."""
        for path in self._paths(segment):
            with self._guard:
                lock = self._locks[path]
            with lock:
                if not path.exists():
                    self._films[path].make()
        yield
        with self._guard:
            for path in self._paths(segment):
                self._needed[path] -= 1
                if not self._needed[path]:
                    path.unlink(missing_ok=True)

    def _paths(self, segment: Segment) -> set[Path]:
        return {layer.info.path for layer in segment.layers} & self._films.keys()
