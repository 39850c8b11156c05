"""The pieces of the program's work that are measured in a process of their own.

    python -m benchmarks.jobs render TIMELINE.json OUTPUT
    python -m benchmarks.jobs analyze CLIP FACES(0 or 1)
    python -m benchmarks.jobs steady CLIP OUTPUT

Each prints one JSON object: CPU and wall seconds of the work, without starting Python and importing, and of these two.
"""

from __future__ import annotations

import json
import resource
import shutil
import sys
import time
from collections.abc import Callable
from pathlib import Path

from montage_ai.edit.timeline import Timeline
from montage_ai.events import ignore
from montage_ai.footage.footage_analyzer import analyze_file
from montage_ai.media.files import sha256
from montage_ai.media.probe import probe
from montage_ai.offload.offloader import Offloader
from montage_ai.render.film import render_film
from montage_ai.tasks.stabilize import CLIP, Stabilize
from montage_ai.tasks.task import InputFile

Told = dict[str, float]


def render(timeline: str, output: str) -> Told:
    """Render a timeline, and say what was encoded and what used again."""
    rendered = render_film(Timeline.model_validate_json(Path(timeline).read_text("utf-8")), Path(output), ignore)
    return {"encoded": rendered.encoded, "reused": rendered.reused, "steadied": len(rendered.steadied)}


def analyze(clip: str, faces: str) -> Told:
    """Analyse a clip with one decoding thread."""
    found = analyze_file(probe(Path(clip)), "0" * 64, threads=1, faces=faces == "1")
    return {"frames": len(found.clip.ticks), "faces": len(found.clip.facts.faces)}


def steady(clip: str, output: str) -> Told:
    """Stabilise a whole clip."""
    path = Path(clip)
    task = Stabilize(source=InputFile(path=path, sha256=sha256(path)), deliver="clip")
    with Offloader("never") as offloader:
        shutil.copyfile(offloader.submit(task).result().files[CLIP], output)
    return {}


def spent() -> float:
    """CPU seconds of this process and of its children that have ended."""
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def main() -> None:
    """Do the job that is named and print what it cost."""
    work: Callable[..., Told] = {"render": render, "analyze": analyze, "steady": steady}[sys.argv[1]]
    before, started = spent(), time.perf_counter()
    outcome = work(*sys.argv[2:])
    costs = {"start_cpu": before, "cpu": spent() - before, "wall": time.perf_counter() - started}
    print(json.dumps(costs | outcome))


if __name__ == "__main__":
    main()
