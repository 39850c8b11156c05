"""The executor on this machine: a worker process a job."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable

from montage_ai import processes
from montage_ai.errors import TaskError
from montage_ai.processes import StopSign
from montage_ai.worker.jobdir import JobDir, Result

_POLL = 0.05


class LocalExecutor:
    """Runs ``python -m montage_ai.worker`` on a job's directory and follows its status."""

    name = "local"

    def run(self, job: JobDir, on_fraction: Callable[[float], None], sign: StopSign) -> Result:
        """Run the job to its end. Raises ``TaskError`` where the worker ended without a result."""
        # -P: the folder that the program was started in may hold anything, a random.py too.
        command = [sys.executable, "-P", "-m", "montage_ai.worker", str(job.path)]
        with job.log.open("wb") as log, processes.child(command, stderr=log.fileno()) as worker:
            while worker.poll() is None:
                sign.check()
                status = job.status()
                if status is not None and status.phase == "computing":
                    on_fraction(status.fraction)
                time.sleep(_POLL)
        sign.check()  # it may have been the sign that ended the worker
        result = job.result()
        if result is None:
            said = job.log.read_text(encoding="utf-8", errors="replace").strip().splitlines()
            last = said[-1] if said else "it said nothing"
            raise TaskError(f"The worker ended with code {worker.returncode} and no result: {last}", file=job.log)
        return result
