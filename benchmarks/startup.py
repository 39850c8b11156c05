"""How soon the command line answers, and what it must not import to do so."""

from __future__ import annotations

import json
import statistics
import sys

from benchmarks.measuring import alternately, median_ratio, montage_ai, run
from benchmarks.row import Row, at_most, none_of, told

MOST_SECONDS = 0.15
HEAVY = ("numpy", "av", "cv2", "scipy", "pydantic")

_IMPORTS = f"""
import json, sys
from montage_ai.cli import main
sys.argv = ["montage-ai", "--help"]
try:
    main()
except SystemExit:
    pass
print()
print(json.dumps([name for name in {HEAVY!r} if name in sys.modules]))
"""


def rows(quick: bool = False) -> list[Row]:
    """The time of ``montage-ai --help``, beside that of a Python which does nothing."""
    command, nothing = montage_ai("--help"), [sys.executable, "-c", "pass"]
    run(command)
    pairs = alternately(lambda: run(command), lambda: run(nothing), 5 if quick else 15)
    mine, theirs = (statistics.median(usage.wall for usage in side) for side in zip(*pairs, strict=True))
    cpu, least = (statistics.median(usage.cpu for usage in side) for side in zip(*pairs, strict=True))
    ratio = median_ratio([(ours.wall, other.wall) for ours, other in pairs])
    imported = json.loads(run([sys.executable, "-c", _IMPORTS]).output.strip().splitlines()[-1])
    note = ", ".join(imported)
    return [
        at_most(
            "montage-ai --help: wall, median", mine, MOST_SECONDS, reference=f"python -c pass {theirs:.3f} s", unit="s"
        ),
        told("montage-ai --help: CPU, median", cpu, reference=f"python -c pass {least:.3f} s", unit="s"),
        told("montage-ai --help: wall, times python -c pass", ratio),
        none_of("montage-ai --help: heavy modules imported", len(imported), reference=", ".join(HEAVY), note=note),
    ]
