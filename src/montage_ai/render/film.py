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
from montage_ai.errors import ClipsFailedError, FFmpegError, MediaError
from montage_ai.events import Emit, Notice, StageDone, StageStarted, Tally, counted
from montage_ai.media.probe import MediaInfo
from montage_ai.media.rebuild import probe_readable
from montage_ai.media.stretch import seek_margin
from montage_ai.offload.cache import in_use, prune
from montage_ai.offload.costs import Key
from montage_ai.offload.ledger import Ledger
from montage_ai.offload.options import LOCAL
from montage_ai.offload.places import Mode
from montage_ai.offload.store import Store
from montage_ai.parallel import StopSign, cores, run_all
from montage_ai.render.assembly import assemble
from montage_ai.render.cache import RenderCache
from montage_ai.render.layers import Canvas, Layer, Steadied
from montage_ai.render.photos import PhotoFilm
from montage_ai.render.segments import Segment, cut_into_segments, render_segment, unique
from montage_ai.render.sound import render_sound
from montage_ai.render.sources import Sources, open_sources
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
    sources: Sources | None = None,
    offload: Mode = None,
    on_verified: Callable[[Path], None] = lambda _: None,
) -> Rendered:
    """Render ``timeline`` as ``output``. Segments that were rendered before are used again.

    Args:
        sources: What is known of the timeline's files (default: they are looked at now).
        offload: Where heavy steps may run: "never" (only on this machine), "auto", or an executor's name.
        on_verified: Is called with the verified film just before it gets its name.

    Raises:
        ClipsFailedError: Clips are gone, have changed, or cannot be decoded; all of them are named.
        MontageError: The work failed.
    """
    cache = RenderCache(config.cache_dir())
    with in_use(cache.folder):
        rendered = _render(timeline, sources or open_sources(timeline), output, cache, emit, offload, on_verified)
    prune(cache.folder, cache.folders, config.cache_limit())
    return rendered


def _render(
    timeline: Timeline,
    sources: Sources,
    output: Path,
    cache: RenderCache,
    emit: Emit,
    offload: Mode,
    on_verified: Callable[[Path], None],
) -> Rendered:
    steadied = steady(timeline, sources.infos, cache.scratch, emit, offload)
    with tempfile.TemporaryDirectory(dir=cache.scratch, prefix=".photos-") as folder:
        photos = _photo_films(timeline, Path(folder))
        layer_of = _layer_maker(timeline, sources, photos, steadied, cache)
        segments = cut_into_segments(timeline, _canvas(timeline), layer_of)
        found = {key: cache.segment(segment) for key, segment in unique(segments).items()}
        new = {key: segment for key, segment in unique(segments).items() if found[key] is None}
        has_sound = _has_sound(timeline, sources.infos)
        mixes = has_sound and cache.sound(timeline) is None
        _render_parts(new, mixes, timeline, sources, photos, cache, emit)
    joining = time.monotonic()
    emit(StageStarted(_JOINING))
    paths = [cache.segments.path(f"{segment.key}.mp4") for segment in segments]
    sound = cache.sounds.path(cache.sound_name(timeline)) if has_sound else None
    assemble(timeline, paths, sound, output, on_verified)
    emit(StageDone(_JOINING, time.monotonic() - joining, f"{float(timeline.duration):.2f} s, {timeline.frames} frames"))
    pictures = {s.item: cache.picture(s) for s in segments if s.transition is None}
    return Rendered(
        path=output,
        encoded=len(new),
        reused=len(found) - len(new),
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
        duration = probe_readable(item.clip.path, item.clip.sha256).duration if item.clip.kind == "video" else 0.0
        shown = float(item.frames / timeline.fps)
        up += size * min(1.0, (shown + 2) / duration) if duration else size  # from a key frame on
    seconds = ledger.line("render", LOCAL, "compute", ledger.device(LOCAL), _RENDERING_PACE)(units)
    return Work(up=int(up), units=units, down=int(units * 8_000)), seconds


def _canvas(timeline: Timeline) -> Canvas:
    return Canvas(timeline.width, timeline.height, timeline.fps)


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
    sources: Sources,
    photos: Mapping[int, PhotoFilm],
    steadied: Mapping[int, Steadied],
    cache: RenderCache,
) -> Callable[[int, Item, int, int], Layer]:
    """How an item becomes a layer: photos as short videos, colours as lookup tables."""
    fps = timeline.fps

    def make(index: int, item: Item, offset: int, frames: int) -> Layer:
        lut = None if item.grade.neutral else cache.lookup_table(item.grade)
        source = item.clip.path
        if (photo := photos.get(index)) is None:
            info, begin, end = sources.infos[source].at(item.source_time(offset, fps))
            margin = seek_margin(info, item.source_time(offset, fps))
            return Layer(item, source, info, offset, frames, lut, steadied.get(index), margin, begin, end)
        moving = ClipSource(path=photo.info.path, sha256=photo.digest, kind="video")
        shown = item.model_copy(update={"clip": moving, "start": photo.before / fps, "focus": (0.5, 0.5)})
        return Layer(shown, source, photo.info, offset, frames, lut)

    return make


def _render_parts(
    new: Mapping[str, Segment],
    mixes: bool,
    timeline: Timeline,
    sources: Sources,
    photos: Mapping[int, PhotoFilm],
    cache: RenderCache,
    emit: Emit,
) -> None:
    """Encode the new segments and the sound, as many at once as there are processors.

    A clip that fails does not end the work of the others: raises ``ClipsFailedError`` with all of them at the end.
    """
    work_list: list[Segment | None] = [*sorted(new.values(), key=lambda segment: -segment.frames)]
    if mixes:
        work_list.insert(0, None)
    if not work_list:
        return
    started, total = time.monotonic(), sum(segment.frames for segment in new.values())
    emit(StageStarted(_RENDERING, total, "frames"))
    tally, drawn, failed = Tally(emit, _RENDERING), _Drawn(photos, new), dict[Path, str]()

    def work(segment: Segment | None, sign: StopSign) -> None:
        sign.check()
        if segment is None:
            _render_sound(timeline, sources, cache, emit)
            return
        if failed.keys() & segment.sources:
            return
        try:
            with drawn.photos_of(segment), cache.segments.writing(f"{segment.key}.mp4") as draft:
                picture = render_segment(segment, draft, cache.scratch, lambda frames: tally.set(segment.key, frames))
                sources.check(*segment.sources)
            cache.keep_picture(segment, picture)
        except ClipsFailedError as error:
            failed.update(error.clips)
        tally.set(segment.key, segment.frames, whole=True)

    for _ in run_all(work, work_list, workers=min(cores(), len(work_list))):
        pass
    if failed:
        raise ClipsFailedError.of(failed)
    seconds = time.monotonic() - started
    if total:
        _remember_pace(total * timeline.width * timeline.height / 1e6, seconds)
    emit(StageDone(_RENDERING, seconds, f"{counted(len(new), 'segment')}, {total} frames"))


def _render_sound(timeline: Timeline, sources: Sources, cache: RenderCache, emit: Emit) -> None:
    with cache.sounds.writing(cache.sound_name(timeline)) as draft:
        for path in render_sound(timeline, sources.infos, draft):
            emit(Notice("warning", "has sound that cannot be decoded; it is silent in the film.", path))
        heard = [timeline.music.path] if timeline.music else []
        if timeline.sound != "music":
            heard += [item.clip.path for item in timeline.items]
        sources.check(*heard)


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
                    self._draw(path)
        try:
            yield
        finally:
            with self._guard:
                for path in self._paths(segment):
                    self._needed[path] -= 1
                    if not self._needed[path]:
                        path.unlink(missing_ok=True)

    def _draw(self, path: Path) -> None:
        film = self._films[path]
        try:
            film.make()
        except (MediaError, FFmpegError) as error:
            raise ClipsFailedError.of({film.item.clip.path: error.what.rstrip(".")}) from error

    def _paths(self, segment: Segment) -> set[Path]:
        return {layer.info.path for layer in segment.layers} & self._films.keys()
