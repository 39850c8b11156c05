"""Run jobs on this machine.

python -m montage_ai.worker JOB_DIR   exit code 0 when the result is there, 1 when the work failed
python -m montage_ai.worker doctor    what this machine is, as JSON
python -m montage_ai.worker serve     run each job directory that is named on stdin; answer each with a line
"""

from __future__ import annotations

import sys
from pathlib import Path

from montage_ai.errors import MontageError, printable
from montage_ai.isolation import mark_expendable
from montage_ai.worker.jobdir import JobDir
from montage_ai.worker.run import run_job


def main(arguments: list[str]) -> int:
    mark_expendable()
    if len(arguments) != 1:
        sys.stderr.write("usage:\n" + (__doc__ or "").partition("\n\n")[2])
        return 2
    if arguments == ["doctor"]:
        return doctor()
    if arguments == ["serve"]:
        return serve()
    folder = Path(arguments[0]).absolute()
    if not folder.is_dir():
        sys.stderr.write(f"{printable(str(folder))}: is not a job's directory.\n")
        return 2
    try:
        run_job(JobDir(folder)).raise_error()
    except MontageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


def doctor() -> int:
    """Say what this machine is."""
    from montage_ai.worker.machine import this_machine

    sys.stdout.write(this_machine(Path.cwd()).model_dump_json() + "\n")
    return 0


def serve() -> int:
    """A warm worker: the next job does not wait for Python to start."""
    for line in sys.stdin:
        run_job(JobDir(Path(line.rstrip("\n"))))
        sys.stdout.write("done\n")
        sys.stdout.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
