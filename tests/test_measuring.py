"""What benchmarks measure with changes nothing for what runs afterwards in the same process."""

from __future__ import annotations

import subprocess
import sys

import psutil
import pytest

from benchmarks import measuring

WORK = "import time\nend = time.process_time() + 0.5\nwhile time.process_time() < end: pass"
WORKS_ON = f"import subprocess, sys; subprocess.Popen([sys.executable, '-c', {WORK!r}])"
LEAVES_ONE = "import subprocess; print(subprocess.Popen(['sleep', '60'], stdout=subprocess.DEVNULL).pid)"


@pytest.mark.skipif(sys.platform != "linux", reason="orphans are adopted on Linux only")
def test_what_a_descendant_costs_after_its_parent_is_counted_and_orphans_of_others_stay_others() -> None:
    assert measuring.run([sys.executable, "-c", WORKS_ON]).cpu >= 0.5
    told = subprocess.run([sys.executable, "-c", LEAVES_ONE], check=True, stdout=subprocess.PIPE).stdout
    orphan = psutil.Process(int(told))
    try:
        assert orphan.ppid() != psutil.Process().pid
    finally:
        orphan.kill()
