"""Which shots of a film are steadied, and how: their motions are measured as jobs, their segments apply them."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import cast

from montage_ai.edit.timeline import Timeline, half_after, half_before
from montage_ai.events import Emit, Notice, StageDone, StageStarted, Tally, counted
from montage_ai.media.camera_path import SHAKY, Motions, correct, shake
from montage_ai.media.files import digest_of, write_atomically
from montage_ai.media.probe import MediaInfo
from montage_ai.media.stretch import Stretch
from montage_ai.media.vidstab import corrections_text, transform_filter
from montage_ai.offload.job import Job
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.places import Mode
from montage_ai.offload.states import ENDS, State
from montage_ai.offload.telling import told
from montage_ai.render.layers import Steadied
from montage_ai.tasks.stabilize import MOTIONS, Stabilize
from montage_ai.tasks.task import InputFile, Payload, Task

_STAGE = "Steadying shaky shots"


def handles(timeline: Timeline, index: int) -> tuple[int, int]:
    """Output frames that transitions show of an item before its start and after its end."""
    before = half_before(timeline.transitions[index - 1]) if index else 0
    after = half_after(timeline.transitions[index]) if index < len(timeline.items) - 1 else 0
    return before, after


def steady(
    timeline: Timeline, infos: Mapping[Path, MediaInfo], scratch: Path, emit: Emit, offload: Mode = None
) -> dict[int, Steadied]:
    """For every item that is to be stabilised, what its filter needs; motions that are known are not measured again.

    ``offload`` says where they may be measured (see ``Offloader``).
    """
    tasks = stabilize_tasks(timeline, infos)
    if not tasks:
        return {}
    started = time.monotonic()
    emit(StageStarted(_STAGE, float(sum(task.seconds for task in tasks.values())), "s"))
    tally = Tally(emit, _STAGE)

    def on_progress(job: Job) -> None:
        seconds, part = float(cast("Stabilize", job.task).seconds), job.task.model_dump_json()
        done = job.status in ENDS
        fraction = 1.0 if done else job.progress.fraction if job.status is State.RUNNING else 0.0
        tally.set(part, fraction * seconds, told(job), whole=done)

    found = dict[Task, Payload]()
    with Offloader(offload, emit=emit) as offloader:
        for task, outcome in offloader.map_all(list(dict.fromkeys(tasks.values())), on_progress):
            if isinstance(outcome, Payload):
                found[task] = outcome
            else:
                path = cast("Stabilize", task).source.path
                emit(Notice("warning", f"cannot be steadied and is shown as it is. {outcome.what}", path))
    measured = {k: found[task].files[MOTIONS] for k, task in tasks.items() if task in found}
    motions = {k: Motions.from_json(path.read_text("ascii")) for k, path in measured.items()}
    steadied = {}
    for index, moved in motions.items():
        item, info = timeline.items[index], infos[timeline.items[index].clip.path]
        if item.stabilize == "always" or shake(moved, float(info.picture.fps)) > SHAKY:
            steadied[index] = _corrections(moved, tasks[index].stretch(info), scratch)
    alone = counted(len(tasks) - len(steadied), "shot")
    summary = f"{counted(len(steadied), 'shot')} steadied; {alone} found not to shake after all, left alone"
    emit(StageDone(_STAGE, time.monotonic() - started, summary))
    return steadied


def stabilize_tasks(timeline: Timeline, infos: Mapping[Path, MediaInfo]) -> dict[int, Stabilize]:
    """The tasks that measure the motion of the items that may be steadied, by their numbers."""
    return {
        k: _stabilize_task(timeline, k, infos[item.clip.path])
        for k, item in enumerate(timeline.items)
        if item.stabilize != "never" and item.clip.kind == "video" and not infos[item.clip.path].shapes
    }


def _stabilize_task(timeline: Timeline, index: int, info: MediaInfo) -> Stabilize:
    """The stretch that the item and its transitions show. It begins half a frame before a source frame, so that
    detection and rendering, which seek to the same moment, start with the same one."""
    item = timeline.items[index]
    before, after = handles(timeline, index)
    frame = 1 / info.picture.fps
    start = max(Fraction(0), item.source_time(-before, timeline.fps) - frame * 3 / 2)
    end = item.source_time(item.frames + after, timeline.fps) + frame
    source = InputFile(path=info.path, sha256=digest_of(info.path) if info.rebuilt else item.clip.sha256)
    start, seconds = (Fraction(round(t * 1_000_000), 1_000_000) for t in (start, end - start))
    return Stabilize(source=source, start=start, seconds=seconds)


def _corrections(motions: Motions, stretch: Stretch, scratch: Path) -> Steadied:
    """Smoothed over half a second each way."""
    text = corrections_text(correct(motions, smoothing=max(1, round(stretch.info.picture.fps / 2))))
    digest = hashlib.sha256(text.encode()).hexdigest()
    path = scratch / f"c{digest[:20]}.trf"
    write_atomically(path, text)
    return Steadied(path, transform_filter(path.name), stretch, digest)
