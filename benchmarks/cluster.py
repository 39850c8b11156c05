"""A Ray cluster of two nodes on this machine, of which one is killed while they work."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.loopback.ray_cluster import ray_cluster
from benchmarks.row import Row, none_of, told
from montage_ai.media.files import sha256
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.ray.executor import RayExecutor
from montage_ai.offload.states import State
from montage_ai.tasks.task import InputFile
from montage_ai.tasks.trial import OUTPUT, Trial


def rows(quick: bool = False) -> Iterator[Row]:
    """All figures of a cluster."""
    count = 10 if quick else 100
    with tempfile.TemporaryDirectory() as name, ray_cluster(processors=4) as cluster:
        cluster.add_node(4)
        source = Path(name) / "source.bin"
        source.write_bytes(os.urandom(1_000_000))
        tasks = [
            Trial(source=InputFile(path=source, sha256=sha256(source)), seconds=1.0, size=100_000, number=number)
            for number in range(count)
        ]
        with Offloader("box", executors=[RayExecutor("box", cluster.address, token=cluster.token)]) as offloader:
            began = time.monotonic()
            jobs = [offloader.submit(task) for task in tasks]
            while sum(job.done() for job in jobs) < count // 4:
                time.sleep(0.05)
            cluster.kill_node()
            outputs = [job.result().files[OUTPUT] for job in jobs]
            seconds = time.monotonic() - began
            good = sum(path.stat().st_size == 100_000 for path in outputs)
            attempts = [[one.outcome for one in offloader.store.attempts(job.id)] for job in jobs]
            where = {row.executor for row in offloader.store.jobs()}
            listed = [row.key for row in offloader.store.jobs() if row.state is State.DONE]
    about = f"2 nodes, one killed after a quarter; {', '.join(sorted(where))}"
    yield none_of(f"{count} jobs: not done", count - good, reference=about, note=f"{seconds:.0f} s")
    twice = sum(outcomes.count("done") != 1 for outcomes in attempts) + len(listed) - len(set(listed))
    yield none_of(f"{count} jobs: not once in the library", twice, reference=about)
    yield told("jobs begun again by this program", sum(len(outcomes) > 1 for outcomes in attempts), reference=about)
