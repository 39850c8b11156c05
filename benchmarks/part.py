"""One part of the benchmarks, in a process of its own: ``python -m benchmarks.part NAME FILE.json [--quick]``."""

from __future__ import annotations

import inspect
import json
import os
import sys
import time
from collections.abc import Iterable
from dataclasses import asdict, is_dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from benchmarks.measuring import FOOTAGE, fresh_home
from benchmarks.row import Row, skipped

PARTS = {
    "cuts": "every cut on its frame in the decoded film",
    "beats": "beats and tempo, beside librosa",
    "shots": "shot boundaries, beside PySceneDetect",
    "render_cost": "rendering, beside one FFmpeg process",
    "analysis_cost": "analysing a clip, beside decoding it",
    "rerun": "what is done again",
    "stabilizing": "stabilising, beside two-pass vid.stab",
    "startup": "start of the command line",
    "memory": "peak memory",
    "loudness": "loudness of the film",
    "planning": "planner and scheduler, beside exhaustive search",
    "links": "moving files over SSH, beside what the link can carry",
    "searching": "finding moments by a model, wherever it looks",
    "colab": "Colab by cgpu, beside the client's own ways",
    "cluster": "a Ray cluster that loses a node",
    "robustness": "bad files, damaged caches, hostile data, impatient hands",
    "offloading": "jobs: their overhead, their list, their predictions",
}

_QUICK: dict[str, dict[str, Any]] = {"shots": {"seeds": 3}}
"""Arguments of parts whose ``rows`` knows no ``quick``."""

_NEEDS_FOOTAGE = ("shots",)
_EXTRAS = ("librosa", "scenedetect")


def measure(name: str, quick: bool) -> list[Row]:
    """The rows of a part, or one that says how it failed or what it lacks."""
    if name in _NEEDS_FOOTAGE and not FOOTAGE.is_dir():
        return [skipped(PARTS[name], "the real clips are not here")]
    measured: list[Row] = []
    try:
        rows = import_module(f"benchmarks.{name}").rows
        takes_quick = "quick" in inspect.signature(rows).parameters
        found = rows(**({"quick": True} if takes_quick else _QUICK.get(name, {})) if quick else {})
        measured.extend(_as_rows(found))
    except Exception as error:  # noqa: BLE001  (a part that fails must not end the others)
        if isinstance(error, ModuleNotFoundError) and error.name in _EXTRAS:
            return [skipped(PARTS[name], f"{error.name} is not installed: pip install -e '.[bench]'")]
        measured.append(Row(name, None, reached=False, note=f"failed: {type(error).__name__}: {error}"))
    return measured


def _as_rows(found: Iterable[Any]) -> Iterable[Row]:
    """Rows of any kind (ours, other dataclasses, dictionaries) as ours."""
    for one in found:
        given = asdict(one) if is_dataclass(one) and not isinstance(one, type) else dict(one)
        given = {"note": given.get("detail", ""), **given}
        reference = given.get("reference")
        shown = f"{reference:.3f}" if isinstance(reference, float) else str(reference or "")
        target = "" if given.get("target") in ("-", "reported") else given.get("target", "")
        kept = {name: value for name, value in given.items() if name in Row.__dataclass_fields__}
        reached = given.get("reached") if target else None
        yield Row(**kept | {"reference": "" if shown == "-" else shown, "target": target, "reached": reached})


def main() -> None:
    """Measure the part that is named, in an empty home, and write its rows and its seconds."""
    name, output, *options = sys.argv[1:]
    started = time.monotonic()
    with fresh_home() as home:
        os.environ["MONTAGE_AI_HOME"] = str(home)
        found = measure(name, "--quick" in options)
    text = json.dumps({"rows": [asdict(row) for row in found], "seconds": time.monotonic() - started})
    Path(output).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
