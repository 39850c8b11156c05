"""What the machine is that the worker runs on: what a planner must know to send work there."""

from __future__ import annotations

import contextlib
import platform
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path
from typing import Annotated

from pydantic import BaseModel, BeforeValidator, ConfigDict

from montage_ai.errors import MontageError, UnsuitedError
from montage_ai.parallel import cores, memory

_GIGA = 1e9
_MOST_PROCESSORS = 4096


def _possible(processors: object) -> object:
    """A number that a planner can count with: another machine may say anything."""
    return min(max(processors, 1), _MOST_PROCESSORS) if isinstance(processors, int) else processors


class Machine(BaseModel):
    """What a machine said of itself. Sizes are in gigabytes."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    python: str = ""
    system: str = ""
    processor: str = ""
    processors: Annotated[int, BeforeValidator(_possible)] = 1
    memory: float = 0.0
    gpu: str | None = None
    gpu_memory: float = 0.0
    disk: float = 0.0
    """What is free where jobs run."""
    ffmpeg: str | None = None
    filters: frozenset[str] = frozenset()
    """Of FFmpeg's, with the options that tasks use, those that work ..."""
    tried: frozenset[str] = frozenset()
    """... of these: of others nothing is known, as where another version of the program has looked."""
    packages: frozenset[str] = frozenset()
    boot: str = ""
    """Differs from one life of the machine to the next."""

    @property
    def device(self) -> str:
        """What the machine's pace depends on: two machines with the same device are thought to be equally fast."""
        return f"{self.gpu or self.processor or 'unknown'}, {self.processors} cores"


def device_here() -> str:
    """This machine's ``device`` as far as its processor goes; cheap."""
    return Machine(processor=_processor(), processors=cores()).device


def this_machine(folder: Path) -> Machine:
    """This machine, whose jobs run in ``folder``."""
    gpu, gpu_memory = _gpu()
    version, filters, tried = _ffmpeg()
    return Machine(
        python=platform.python_version(),
        system=f"{platform.system()} {platform.release()}",
        processor=_processor(),
        processors=cores(),
        memory=memory(),
        gpu=gpu,
        gpu_memory=gpu_memory,
        disk=shutil.disk_usage(folder).free / _GIGA,
        ffmpeg=version,
        filters=filters,
        tried=tried,
        packages=frozenset(name.lower() for one in metadata.distributions() if (name := one.metadata["Name"])),
        boot=boot_id(),
    )


def boot_id() -> str:
    """Empty where that cannot be told."""
    with contextlib.suppress(OSError):
        return Path("/proc/sys/kernel/random/boot_id").read_text("ascii").strip()
    return _said("sysctl", "-n", "kern.bootsessionuuid")


def _gpu() -> tuple[str | None, float]:
    """Name and gigabytes of the first NVIDIA GPU."""
    said = _said("nvidia-smi", "--query-gpu=name,memory.total", "--format=csv,noheader,nounits")
    name, _, memory = said.partition("\n")[0].rpartition(",")
    return (name.strip(), float(memory) * 1.048576e-3) if name and memory.strip().isdecimal() else (None, 0.0)


def _ffmpeg() -> tuple[str | None, frozenset[str], frozenset[str]]:
    """Its version, which of the filters that tasks need work, and all that were tried."""
    from montage_ai.media.ffmpeg import ffmpeg_version, ffmpeg_with
    from montage_ai.tasks import task_class, task_names

    try:
        version = ffmpeg_version()
    except (MontageError, OSError, ModuleNotFoundError):
        version = None
    working, needed = set[str](), {task_class(name).needs.filters for name in task_names()}
    for filters in needed if version is not None else ():
        with contextlib.suppress(UnsuitedError, OSError, ModuleNotFoundError):
            ffmpeg_with(*filters)
            working |= set(filters)
    return version, frozenset(working), frozenset(one for filters in needed for one in filters)


def _processor() -> str:
    with contextlib.suppress(OSError):
        for line in Path("/proc/cpuinfo").read_text("utf-8", "replace").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return _said("sysctl", "-n", "machdep.cpu.brand_string") or platform.processor() or platform.machine()


def _said(*command: str) -> str:
    """What a program writes, empty where there is none of that name or it fails."""
    if shutil.which(command[0]) is None or sys.platform == "win32":
        return ""
    try:
        done = subprocess.run(
            command, capture_output=True, check=False, text=True, timeout=20, stdin=subprocess.DEVNULL
        )
    except subprocess.TimeoutExpired:
        return ""
    return done.stdout.strip() if done.returncode == 0 else ""
