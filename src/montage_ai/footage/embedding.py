"""Having a model look at clips: what it has not seen yet, in packs, wherever that ends soonest."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from montage_ai.events import Emit, StageDone, StageStarted, Tally, counted
from montage_ai.footage.clip import Clip
from montage_ai.footage.footage_analyzer import ANALYSIS_VERSION
from montage_ai.footage.library import Library
from montage_ai.footage.sampling import SAMPLER_VERSION, sampled
from montage_ai.footage.sight import Sight
from montage_ai.offload.job import Job
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.states import ENDS, State
from montage_ai.offload.telling import told
from montage_ai.tasks.embed import Embed, read_vectors, write_pack
from montage_ai.tasks.weights import Weights

_STAGE = "Understanding the pictures"
_SMALLEST, _LARGEST = 32, 256  # pictures of a pack
_PACKS = 16  # of all footage, where that makes neither too small nor too large ones

_NOTE_VERSION = 1000 * ANALYSIS_VERSION + SAMPLER_VERSION

Shown = tuple[str, float]
"""A picture: its clip's SHA-256, and seconds."""


def embed_clips(
    clips: Sequence[Clip], sight: Sight, library: Library, offloader: Offloader, packs: Path, emit: Emit
) -> int:
    """Have the model look at what it has not seen of ``clips``; return how many pictures that were.

    Each pack's vectors are kept as soon as they are there. ``packs`` is the folder for the packs.
    """
    tasks: dict[Embed, list[list[Shown]]] = {}  # the same pictures may be those of several clips
    for one, shown in _tasks(clips, sight, library, packs):
        tasks.setdefault(one, []).append(shown)
    total = sum(len(pictures) for several in tasks.values() for pictures in several)
    if tasks:
        _have_done(tasks, total, sight, library, offloader, emit)
    for clip in clips:
        library.write_note(_note(sight.weights), clip.facts.sha256, _NOTE_VERSION, "")
    return total


def is_embedded(digest: str, weights: Weights, library: Library) -> bool:
    """Whether the model has seen all that it is to see of a clip."""
    return library.note(_note(weights), digest, _NOTE_VERSION) is not None


def _have_done(
    tasks: Mapping[Embed, Sequence[Sequence[Shown]]],
    total: int,
    sight: Sight,
    library: Library,
    offloader: Offloader,
    emit: Emit,
) -> None:
    started = time.monotonic()
    emit(StageStarted(_STAGE, float(total), "pictures"))
    tally = Tally(emit, _STAGE)

    def tell(job: Job) -> None:
        assert isinstance(job.task, Embed)
        ended, size = job.status in ENDS, sum(map(len, tasks[job.task]))
        done = 1.0 if ended else job.progress.fraction if job.status is State.RUNNING else 0.0
        tally.set(job.task.pack.sha256, done * size, told(job), whole=ended)

    for task, made in offloader.map(list(tasks), tell):
        assert isinstance(task, Embed)
        vectors, weights = read_vectors(made, task.count), sight.weights.model_dump_json()
        for pictures in tasks[task]:
            library.vectors.add(sight.weights.identity, sight.name, weights, SAMPLER_VERSION, pictures, vectors)
    emit(StageDone(_STAGE, time.monotonic() - started, counted(total, "picture")))


def _note(weights: Weights) -> str:
    return f"embedded {weights.identity}"


def _tasks(clips: Sequence[Clip], sight: Sight, library: Library, packs: Path) -> Iterator[tuple[Embed, list[Shown]]]:
    """What is to be done, and of which pictures. Of the same footage the same packs are made, whatever is known of it:
    so the packs that were under way when a program was killed are taken up again."""
    pictures = [
        (digest, second)
        for digest, clip in sorted({clip.facts.sha256: clip for clip in clips}.items())
        for second in sampled(clip, library.picture_times(digest))
    ]
    known = library.vectors.rows(sight.weights.identity, SAMPLER_VERSION)
    seen = {(digest, float(second)) for digest, rows in known.items() for second in rows.seconds}
    work = sight.effort
    size = min(max(_SMALLEST, math.ceil(len(pictures) / _PACKS)), _LARGEST)
    for start in range(0, len(pictures), size):
        new = [one for one in pictures[start : start + size] if one not in seen]
        if new:
            packs.mkdir(parents=True, exist_ok=True)
            pack = write_pack(packs, [library.picture(*one) for one in new])
            yield Embed(pack=pack, count=len(new), weights=sight.weights, effort=work), new
