"""Run the benchmarks: ``python -m benchmarks [--only NAME ...] [--quick] [--json FILE] [--write PAGE.md]``.

Every part runs in a process of its own, so that memory and imports do not leak from one into another.
The exit code is 1 where a target is missed or a part fails.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from datetime import date
from pathlib import Path

from benchmarks.part import PARTS
from benchmarks.report import Machine, page, print_table, this_machine
from benchmarks.row import Row


def main() -> int:
    """Measure what was asked for and show it."""
    asked = _asked()
    machine = this_machine()
    parts: dict[str, list[Row]] = {}
    for name in PARTS:
        if name in asked.only:
            on = f"{date.today().isoformat()}, {machine}"
            parts[name] = [replace(row, on=on) for row in run_part(name, asked.quick)]
            _tell(parts[name])
    print_table(parts, machine)
    if asked.json:
        asked.json.write_text(_as_json(parts, machine), encoding="utf-8")
    if asked.write:
        before = asked.write.read_text(encoding="utf-8") if asked.write.exists() else ""
        asked.write.write_text(page(parts, PARTS, before), encoding="utf-8")
    return int(any(row.reached is False for rows in parts.values() for row in rows))


def run_part(name: str, quick: bool) -> list[Row]:
    """The rows of a part, measured in a new process; a failed row where it ends without any."""
    print(f"{name}: {PARTS[name]} ...", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory() as folder:
        output = Path(folder) / "rows.json"
        options = ["--quick"] if quick else []
        done = subprocess.run([sys.executable, "-m", "benchmarks.part", name, str(output), *options], check=False)
        if not output.exists():
            return [Row(name, None, reached=False, note=f"failed: ended with {done.returncode}")]
        told = json.loads(output.read_text(encoding="utf-8"))
    print(f"{name}: {told['seconds']:.0f} s", file=sys.stderr, flush=True)
    command = f"python -m benchmarks --only {name}"
    return [replace(Row(**row), command=command) for row in told["rows"]]


def _tell(rows: Sequence[Row]) -> None:
    """Say at once what came out: a later part may take long."""
    for row in rows:
        print(f"  {row.name}: {row.shown} {row.target} {row.verdict} {row.note}".rstrip(), file=sys.stderr, flush=True)


def _as_json(parts: Mapping[str, Sequence[Row]], machine: Machine) -> str:
    rows = {name: [asdict(row) for row in part] for name, part in parts.items()}
    return json.dumps({"machine": asdict(machine), "parts": rows}, indent=1) + "\n"


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument(
        "--only", nargs="+", choices=list(PARTS), default=list(PARTS), metavar="NAME", help="some parts"
    )
    parser.add_argument("--quick", action="store_true", help="small sizes: whether it runs, not how fast it is")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all rows as JSON")
    parser.add_argument("--write", type=Path, metavar="PAGE", help="write what was measured into a page like this")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
