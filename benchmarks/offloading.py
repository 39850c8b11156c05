"""Jobs themselves: what one costs, how quickly many are listed, and how right the predictions of real ones are."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path

from benchmarks.row import Row, at_most, told
from montage_ai import config
from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.files import sha256
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.states import State
from montage_ai.offload.store import JobRow, Store
from montage_ai.tasks.stabilize import Stabilize
from montage_ai.tasks.task import InputFile
from montage_ai.tasks.trial import Trial

_LISTED = 10_000


def rows(quick: bool = False) -> Iterator[Row]:
    """All figures of jobs."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        yield _overhead(folder, 20 if quick else 200)
        yield from _prediction(folder, 6 if quick else 30)
    yield _listing()


def _overhead(folder: Path, jobs: int) -> Row:
    """The median of jobs that do nothing, one after the other, on a worker that is warm: from asking to having."""
    path = folder / "small.bin"
    path.write_bytes(b"small")
    source = InputFile(path=path, sha256=sha256(path))
    times = []
    with Offloader("never") as offloader:
        for number in range(jobs + 3):
            began = time.perf_counter()
            offloader.submit(Trial(source=source, number=number)).result()
            times.append(time.perf_counter() - began)
    return at_most(
        "a job that does nothing", 1000 * statistics.median(times[3:]), 20, unit="ms", note=f"median of {jobs}"
    )


def _prediction(folder: Path, jobs: int) -> Iterator[Row]:
    """Real jobs of one kind, one after the other, of lengths that differ sevenfold; from the eleventh on."""
    clip = folder / "clip.mp4"
    picture = "testsrc2=size=1400x800:rate=30:duration=40"
    shaking = "crop=1280:720:x='60+20*sin(n*1.7)':y='40+20*cos(n*2.3)'"
    run_ffmpeg(["-f", "lavfi", "-i", picture, "-vf", shaking, "-c:v", "libx264", "-preset", "veryfast", f"file:{clip}"])
    source = InputFile(path=clip, sha256=sha256(clip))
    with Offloader("never") as offloader:
        for number in range(jobs):
            seconds = Fraction(3 + 5 * number % 18)
            offloader.submit(Stabilize(source=source, start=Fraction(number, 2), seconds=seconds)).result()
        found = [one for one in offloader.store.measurements.all() if one.key.what == "stabilize/here/compute"]
    errors = [abs((one.predicted or 0.0) / one.seconds - 1) for one in found]
    note = f"{jobs} stretches of 3 to 20 s; the first ten: {100 * statistics.mean(errors[:10]):.0f} %"
    yield at_most(
        "error of predictions after 10 jobs", 100 * statistics.mean(errors[10:] or errors), 15, unit="% MAPE", note=note
    )
    yield told("error of the first prediction, from the prior", 100 * errors[0], unit="%")


def _listing() -> Row:
    store = Store(config.data_dir())
    now = time.time()
    with store._db.transaction() as db:
        for number in range(_LISTED):
            row = JobRow(str(uuid.uuid4()), f"k{number}", "stabilize", "here", "", State.QUEUED, None, 1.0, 0, now, now)
            db.execute(
                "INSERT INTO jobs (id, key, task, variant, executor, state, units, owner, created, changed, about)"
                " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                (row.id, row.key, row.task, "here", "", "queued", 1.0, 0, now + number, now, "a clip.mp4"),
            )
    store.close()
    command = [sys.executable, "-m", "montage_ai", "jobs", "list", "--all", "--json"]
    began = time.perf_counter()
    done = subprocess.run(command, capture_output=True, check=True)
    seconds = time.perf_counter() - began
    note = f"`jobs list --all --json`, {len(done.stdout.splitlines())} lines, with starting Python"
    return at_most("10,000 queued jobs listed", seconds, 1, unit="s", note=note)
