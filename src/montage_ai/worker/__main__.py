"""``python -m montage_ai.worker JOB_DIR``: exit code 0 when the result is there, 1 when the work failed."""

from __future__ import annotations

import sys
from pathlib import Path

from montage_ai.errors import MontageError, printable
from montage_ai.worker.jobdir import JobDir
from montage_ai.worker.run import run_job


def main(arguments: list[str]) -> int:
    if len(arguments) != 1:
        sys.stderr.write("usage: python -m montage_ai.worker JOB_DIR\n")
        return 2
    folder = Path(arguments[0])
    if not folder.is_dir():
        sys.stderr.write(f"{printable(str(folder))}: is not a job's directory.\n")
        return 2
    try:
        run_job(JobDir(folder)).raise_error()
    except MontageError as error:
        sys.stderr.write(f"{error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
