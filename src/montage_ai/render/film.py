"""Render a timeline: steady what shakes, encode what is new, mix the sound, and join it all."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from montage_ai import config
from montage_ai.edit.timeline import ClipSource, Item, Timeline, half_after, half_before
from montage_ai.errors import MediaError
from montage_ai.events import Emit, StageDone, StageStarted, Tally, counted
from montage_ai.media.camera_path import SHAKY, Motions, correct, shake
from montage_ai.media.files import write_atomically
from montage_ai.media.probe import MediaInfo, probe
from montage_ai.media.stretch import Stretch, seek_margin
from montage_ai.media.vidstab import corrections_text, transform_filter
from montage_ai.offload.cache import prune
from montage_ai.offload.offloader import Offloader
from montage_ai.parallel import StopSign, cores, run_all
from montage_ai.render.assembly import assemble
from montage_ai.render.colour import lut_file
from montage_ai.render.layers import Canvas, Layer, Steadied
from montage_ai.render.photos import film_photo
from montage_ai.render.segments import Segment, cut_into_segments, render_segment, unique
from montage_ai.render.sound import render_sound, sound_key
from montage_ai.tasks.stabilize import MOTIONS, Stabilize
from montage_ai.tasks.task import InputFile

_STEADYING, _RENDERING, _JOINING = "Steadying shaky shots", "Rendering", "Putting the film together"


@dataclass(frozen=True)
class Rendered:
    """What rendering took: segments ``encoded`` now and ``reused`` from before, shots ``steadied``, wall seconds."""

    path: Path
    encoded: int
    reused: int
    steadied: int
    seconds: float


def render_film(
    timeline: Timeline, output: Path, emit: Emit, *, on_verified: Callable[[Path], None] = lambda _: None
) -> Rendered:
    """Render ``timeline`` as ``output``. Segments that were rendered before are used again.

    ``on_verified`` is called with the verified film just before it gets its name. Raises ``MediaError`` for a clip
    that is gone or has changed, and the errors of the work.
    """
    started = time.monotonic()
    folders = _Folders(config.cache_dir())
    canvas = Canvas(timeline.width, timeline.height, timeline.fps)
    infos = _probe_clips(timeline)
    steadied = _steady(timeline, infos, folders.scratch, emit)
    segments = cut_into_segments(timeline, canvas, _layer_maker(timeline, canvas, infos, steadied, folders))
    new = {key: s for key, s in unique(segments).items() if not folders.segment(key).exists()}
    sound = folders.sound(sound_key(timeline)) if _has_sound(timeline, infos) else None
    _render_pieces(new, timeline, infos, sound, folders, emit)
    joining = time.monotonic()
    emit(StageStarted(_JOINING))
    assemble(timeline, [folders.segment(s.key) for s in segments], sound, output, on_verified)
    emit(StageDone(_JOINING, time.monotonic() - joining, f"{float(timeline.duration):.2f} s, {timeline.frames} frames"))
    for used in {folders.segment(s.key) for s in segments} | ({sound} if sound else set()):
        used.touch()
    prune([folders.segments, folders.sounds, folders.photos, folders.results], config.cache_limit())
    reused = len(unique(segments)) - len(new)
    return Rendered(output, len(new), reused, len(steadied), time.monotonic() - started)


class _Folders:
    """The parts of the cache."""

    def __init__(self, cache: Path) -> None:
        self.segments, self.sounds, self.photos = cache / "segments", cache / "sound", cache / "photos"
        self.scratch, self.results = cache / "scratch", cache / "results"
        for folder in (self.segments, self.sounds, self.photos, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def segment(self, key: str) -> Path:
        return self.segments / f"{key}.mp4"

    def sound(self, key: str) -> Path:
        return self.sounds / f"{key}.m4a"


def _probe_clips(timeline: Timeline) -> dict[Path, MediaInfo]:
    infos = {}
    for path in {item.clip.path for item in timeline.items if item.clip.kind == "video"}:
        if not path.is_file():
            raise MediaError("is not there any more.", file=path, hint="Put it back, or make the film again.")
        infos[path] = probe(path)
    return infos


def _has_sound(timeline: Timeline, infos: dict[Path, MediaInfo]) -> bool:
    return timeline.music is not None or (timeline.sound != "music" and any(info.audio for info in infos.values()))


def _handles(timeline: Timeline, index: int) -> tuple[int, int]:
    """Output frames that transitions show of an item before its start and after its end."""
    before = half_before(timeline.transitions[index - 1]) if index else 0
    after = half_after(timeline.transitions[index]) if index < len(timeline.items) - 1 else 0
    return before, after


def _steady(timeline: Timeline, infos: dict[Path, MediaInfo], scratch: Path, emit: Emit) -> dict[int, Steadied]:
    """For every item that is to be stabilised, what its filter needs; motions that are known are not measured again."""
    tasks = {
        k: _stabilize_task(timeline, k, infos[item.clip.path])
        for k, item in enumerate(timeline.items)
        if item.stabilize != "never"
    }
    if not tasks:
        return {}
    started = time.monotonic()
    steadied: dict[int, Steadied] = {}
    emit(StageStarted(_STEADYING, float(sum(task.seconds for task in tasks.values())), "s"))
    tally = Tally(emit, _STEADYING)
    with Offloader() as offloader:

        def work(index: int, sign: StopSign) -> Motions:
            seconds, name = float(tasks[index].seconds), timeline.items[index].clip.path.name
            outputs = offloader.run(
                tasks[index], on_fraction=lambda f: tally.set(str(index), f * seconds, name), sign=sign
            )
            tally.set(str(index), seconds, name, whole=True)
            return Motions.from_json(outputs.files[MOTIONS].read_text(encoding="ascii"))

        for index, motions in run_all(work, tasks, workers=min(cores(), len(tasks))):
            item = timeline.items[index]
            fps = infos[item.clip.path].picture.fps
            if item.stabilize == "always" or shake(motions, float(fps)) > SHAKY:
                steadied[index] = _corrections(motions, tasks[index].stretch(infos[item.clip.path]), scratch)
    alone = len(tasks) - len(steadied)
    summary = counted(len(steadied), "shot") + (f"; {alone} more found not to shake, left alone" if alone else "")
    emit(StageDone(_STEADYING, time.monotonic() - started, summary))
    return steadied


def _stabilize_task(timeline: Timeline, index: int, info: MediaInfo) -> Stabilize:
    """The stretch that the item and its transitions show. It begins half a frame before a source frame, so that
    detection and rendering, which seek to the same moment, start with the same one."""
    item = timeline.items[index]
    before, after = _handles(timeline, index)
    frame = 1 / info.picture.fps
    start = max(Fraction(0), item.source_time(-before, timeline.fps) - frame * 3 / 2)
    end = item.source_time(item.frames + after, timeline.fps) + frame
    source = InputFile(path=item.clip.path, sha256=item.clip.sha256)
    start, seconds = (Fraction(round(t * 1_000_000), 1_000_000) for t in (start, end - start))
    return Stabilize(source=source, start=start, seconds=seconds)


def _corrections(motions: Motions, stretch: Stretch, scratch: Path) -> Steadied:
    """Smoothed over half a second each way."""
    text = corrections_text(correct(motions, smoothing=max(1, round(stretch.info.picture.fps / 2))))
    digest = hashlib.sha256(text.encode()).hexdigest()
    path = scratch / f"c{digest[:20]}.trf"
    write_atomically(path, text)
    return Steadied(path, transform_filter(path.name), stretch, digest)


def _layer_maker(
    timeline: Timeline,
    canvas: Canvas,
    infos: dict[Path, MediaInfo],
    steadied: dict[int, Steadied],
    folders: _Folders,
) -> Callable[[int, Item, int, int], Layer]:
    """How an item becomes a layer: photos as short videos, colours as lookup tables."""
    photos: dict[int, MediaInfo] = {}

    def make(index: int, item: Item, offset: int, frames: int) -> Layer:
        lut = None if item.grade.neutral else lut_file(item.grade, folders.scratch)
        if item.clip.kind == "video":
            info = infos[item.clip.path]
            margin = seek_margin(info, item.source_time(offset, timeline.fps))
            return Layer(item, info, offset, frames, lut, steadied.get(index), margin)
        before, after = _handles(timeline, index)
        if index not in photos:
            photos[index] = film_photo(item, canvas, before, after, folders.photos)
        moving = ClipSource(path=photos[index].path, sha256=photos[index].path.stem, kind="video")
        shown = item.model_copy(update={"clip": moving, "start": before / canvas.fps, "focus": (0.5, 0.5)})
        return Layer(shown, photos[index], offset, frames, lut)

    return make


def _render_pieces(
    new: dict[str, Segment],
    timeline: Timeline,
    infos: dict[Path, MediaInfo],
    sound: Path | None,
    folders: _Folders,
    emit: Emit,
) -> None:
    """Encode the new segments and the sound, as many at once as there are processors."""
    pieces: list[Segment | Path] = [*sorted(new.values(), key=lambda segment: -segment.frames)]
    if sound is not None and not sound.exists():
        pieces.insert(0, sound)
    if not pieces:
        return
    started, total = time.monotonic(), sum(segment.frames for segment in new.values())
    emit(StageStarted(_RENDERING, total, "frames"))
    tally = Tally(emit, _RENDERING)

    def work(piece: Segment | Path, sign: StopSign) -> None:
        sign.check()
        if isinstance(piece, Path):
            render_sound(timeline, infos, piece)
        else:
            target = folders.segment(piece.key)
            render_segment(piece, target, folders.scratch, lambda frames: tally.set(piece.key, frames))
            tally.set(piece.key, piece.frames, whole=True)

    for _ in run_all(work, pieces, workers=min(cores(), len(pieces))):
        pass
    emit(StageDone(_RENDERING, time.monotonic() - started, f"{counted(len(new), 'segment')}, {total} frames"))
