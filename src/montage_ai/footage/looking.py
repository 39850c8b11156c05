"""Having models look at pictures, in packs, wherever that ends soonest."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TypeVar

from montage_ai.events import Emit, StageDone, StageStarted, Tally, counted
from montage_ai.footage.library import Library
from montage_ai.offload.job import Job
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.states import ENDS, State
from montage_ai.offload.telling import told
from montage_ai.tasks.pictures import write_pack
from montage_ai.tasks.task import InputFile, Payload, Task

_SMALLEST, _LARGEST = 32, 256  # pictures of a pack
_PACKS = 16  # of all footage, where that makes neither too small nor too large ones

Shown = tuple[str, float]
"""A picture: its clip's SHA-256, and seconds."""

T = TypeVar("T", bound=Task)


def packs(
    pictures: Sequence[Shown], seen: set[Shown], library: Library, folder: Path
) -> Iterator[tuple[InputFile, list[Shown]]]:
    """Packs, in ``folder``, of the ``pictures`` that were not ``seen``, and which those are.

    Of the same pictures the same packs are made, however many of them were seen before: so the packs that were under
    way when a program was killed are taken up again.
    """
    size = min(max(_SMALLEST, math.ceil(len(pictures) / _PACKS)), _LARGEST)
    for start in range(0, len(pictures), size):
        new = [one for one in pictures[start : start + size] if one not in seen]
        if new:
            folder.mkdir(parents=True, exist_ok=True)
            yield write_pack(folder, [library.picture(*one) for one in new]), new


def have_done(
    tasks: Mapping[T, Sequence[Sequence[Shown]]],
    stage: str,
    offloader: Offloader,
    keep: Callable[[T, Payload, Sequence[Shown]], None],
    emit: Emit,
) -> int:
    """Have ``tasks`` done, and what they make kept as soon as it is there; return of how many pictures.

    The same pictures may be those of several clips: so a task may be that of several lists of pictures.
    """
    sizes: dict[Task, int] = {task: sum(map(len, several)) for task, several in tasks.items()}
    total = sum(sizes.values())
    if not total:
        return 0
    started = time.monotonic()
    emit(StageStarted(stage, float(total), "pictures"))
    tally = Tally(emit, stage)

    def tell(job: Job) -> None:
        ended = job.status in ENDS
        done = 1.0 if ended else job.progress.fraction if job.status is State.RUNNING else 0.0
        tally.set(job.task.key(job.task.variants()[0]), done * sizes[job.task], told(job), whole=ended)

    by_task: dict[Task, T] = {task: task for task in tasks}
    for task, made in offloader.map(list(tasks), tell):
        for pictures in tasks[by_task[task]]:
            keep(by_task[task], made, pictures)
    emit(StageDone(stage, time.monotonic() - started, counted(total, "picture")))
    return total
