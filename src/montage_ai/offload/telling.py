"""What people are told of a job that is under way, in a few words."""

from __future__ import annotations

from montage_ai.offload.job import Job
from montage_ai.offload.options import LOCAL
from montage_ai.offload.states import State

_WORDS = {
    State.QUEUED: "waiting",
    State.PREPARING: "preparing",
    State.UPLOADING: "to",
    State.RUNNING: "on",
    State.DOWNLOADING: "from",
    State.FINISHING: "finishing",
    State.PARKED: "parked until its machine is back",
}


def told(job: Job) -> str:
    """Like ``clip.mp4 to big-box, 12.5 MB/s, 8 s left``."""
    progress = job.progress
    if progress.state not in _WORDS or progress.executor in ("", LOCAL):
        return job.task.about
    parts = [f"{job.task.about} {_WORDS[progress.state]} {progress.executor}".rstrip()]
    if progress.state in (State.UPLOADING, State.DOWNLOADING) and progress.rate > 0:
        parts.append(f"{progress.rate / 1e6:.1f} MB/s")
    if progress.left:
        parts.append(f"{progress.left:.0f} s left")
    return ", ".join(parts)
