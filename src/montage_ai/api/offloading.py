"""Executors seen from outside: allowing them, asking how they are, what would go where, and what it brought."""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import anyio

from montage_ai import config
from montage_ai.api.stabilization import StabilizationService
from montage_ai.edit.timeline import Timeline
from montage_ai.errors import MontageError
from montage_ai.events import Emit, Notice, StageDone, StageProgress, StageStarted
from montage_ai.footage.library import Library
from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.files import sha256
from montage_ai.media.rebuild import probe_readable
from montage_ai.offload.adding import add_entry
from montage_ai.offload.analysis import Analysis, analyze
from montage_ai.offload.decision import Decision, Kept, decide, keep_here
from montage_ai.offload.ledger import Ledger
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.options import LOCAL
from montage_ai.offload.places import Mode, is_enabled, open_executors, open_remote
from montage_ai.offload.remote.executor import RemoteExecutor
from montage_ai.offload.settings import OffloadSettings, load_settings, settings_file
from montage_ai.offload.store import Store
from montage_ai.offload.transports.cgpu.health import CgpuHealth
from montage_ai.render.film import rendering_work
from montage_ai.render.steady import stabilize_tasks
from montage_ai.tasks.stabilize import Stabilize
from montage_ai.tasks.task import InputFile, Task
from montage_ai.tasks.trial import Trial
from montage_ai.worker.machine import Machine

_CALIBRATING = "Measuring"


@dataclass(frozen=True)
class Health:
    """How an executor is. ``links`` are Mbit/s up and down, None where they were not measured."""

    name: str
    identity: str
    enabled: bool
    reachable: bool
    seconds: float
    machine: Machine | None
    up: float | None
    down: float | None
    silences: int
    """How often in a row it had not answered before."""
    problem: str


def add(name: str, kind: str, given: Mapping[str, object]) -> str:
    """Describe an executor in the configuration. Returns the lines that were written. Raises ``UserError``."""
    return add_entry(settings_file(), name, kind, given)


def enable(name: str) -> None:
    """Remember that files may go to the machine that ``name`` means. Raises ``UserError`` where there is none."""
    identity = load_settings().executor(name).identity
    store = Store(config.data_dir())
    store.machines.enable(name, identity)
    store.close()


def disable(name: str) -> str:
    """Take that back, and remove what lies there for jobs of ours. Returns why that could not be done, or nothing."""
    settings = load_settings()
    settings.executor(name)
    with Offloader("never") as offloader:
        was_enabled = is_enabled(name, settings, offloader.store)
        offloader.store.machines.disable(name)
        settings.executor(name).forget_secrets()
        if not was_enabled:
            return ""
        executor = open_remote(name, settings, offloader.store, offloader.ledger, clearing=True)
        if not executor.lasting:
            return ""

        async def clear() -> str:
            try:
                await executor.connect()
            except MontageError as error:
                return str(error)
            finally:
                await executor.close()
            return ""

        return anyio.run(clear)


def uninstall(name: str) -> None:
    """Remove all that was installed on an executor's machine, jobs of ours there too, and disable it.

    Raises ``UserError`` for one that is not configured, ``RemoteError`` where it does not answer.
    """
    settings = load_settings()
    settings.executor(name)
    with Offloader("never") as offloader:
        executor = open_remote(name, settings, offloader.store, offloader.ledger)

        async def remove() -> None:
            if isinstance(executor, RemoteExecutor):  # what lies in a cluster ends with the program that brought it
                try:
                    await executor.uninstall()
                finally:
                    await executor.close()

        anyio.run(remove)
        offloader.store.machines.forget(name)
        settings.executor(name).forget_secrets()


def is_cgpu_available() -> bool:
    """Whether ``cgpu`` is installed, logged in, and well as far as is known.

    Answers at once, from what is remembered; that is asked for again in the background.
    """
    return CgpuHealth("cgpu", config.data_dir() / "cgpu").available


def status() -> list[Health]:
    """Ask all executors how they are, at once. Those that are not enabled are not reached."""
    settings = load_settings()
    with Offloader("never") as offloader:
        return anyio.run(_ask_all, settings, offloader.store, offloader.ledger)


def plan_film(timeline: Timeline, offload: Mode) -> Decision:
    """What would be done where for a film."""
    clips = {item.clip.path: item.clip for item in timeline.items if item.clip.kind == "video"}
    infos = {path: probe_readable(path, clip.sha256) for path, clip in clips.items()}
    with Offloader("never") as offloader:
        places = open_executors(offload, offloader.store, offloader.ledger)
        tasks = list(dict.fromkeys(stabilize_tasks(timeline, infos).values()))
        new = [task for task in tasks if offloader.known(task) is None]
        work, seconds = rendering_work(timeline, offloader.ledger)
        kept = keep_here("render", "the film", work, seconds, places, offloader.ledger)
        return decide(new, [kept], places, offloader.ledger)


def plan_stabilizing(clips: Sequence[Path], service: StabilizationService) -> Decision:
    """What would be done where for clips."""
    with Offloader("never") as offloader, Library(config.data_dir()) as library:
        places = open_executors(service.offload, offloader.store, offloader.ledger)
        tasks: list[Task] = list(dict.fromkeys(service.tasks(clips, library).values()))
        new = [task for task in tasks if offloader.known(task) is None]
        kept: list[Kept] = []
        return decide(new, kept, places, offloader.ledger)


def report() -> Analysis:
    """The offloading analysis of all that was measured."""
    with Offloader("never") as offloader:
        return analyze(offloader.store, open_executors("auto", offloader.store, offloader.ledger), offloader.ledger)


def calibrate(names: Sequence[str], emit: Emit) -> None:
    """Measure links and rates on generated media: of this machine and ``names`` (none: all that are enabled)."""
    settings = load_settings()
    store = Store(config.data_dir())
    chosen = list(names) or [name for name in settings.executors if is_enabled(name, settings, store)]
    store.close()
    started = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="montage-ai-") as folder:
        trials = list(_trials(Path(folder), chosen))
        emit(StageStarted(_CALIBRATING, float(len(trials)), "trials"))
        for name in [LOCAL, *chosen]:
            mode = "never" if name == LOCAL else name
            with Offloader(mode, emit=emit) as offloader:
                for executor, task, variant in (trial for trial in trials if trial[0] == name):
                    try:
                        offloader.measure(task, executor, variant).result()
                    except MontageError as error:
                        emit(Notice("warning", str(error)))
                        break
                    done = trials.index((executor, task, variant)) + 1
                    emit(StageProgress(_CALIBRATING, float(done), f"{task.name} {variant} at {executor}"))
    emit(StageDone(_CALIBRATING, time.monotonic() - started, "see `montage-ai offload report`"))


def _trials(folder: Path, names: Sequence[str]) -> Iterator[tuple[str, Task, str]]:
    """Each thing to measure: where, what, how. Sizes differ, so that fixed and per-unit time can be told apart."""
    payloads = [_noise(folder / f"{size}.bin", size * 1_000_000) for size in (1, 8, 24)]
    clips = [_clip(folder / f"{seconds}.mp4", seconds) for seconds in (2, 5, 10)]
    for clip in clips:
        yield LOCAL, Stabilize(source=clip), "here"
    for name in names:
        for payload in payloads:
            yield name, Trial(source=payload, size=payload.path.stat().st_size), "only"
        for clip in clips:
            yield name, Stabilize(source=clip), "there"
            yield name, Stabilize(source=clip), "proxy"


def _noise(path: Path, size: int) -> InputFile:
    path.write_bytes(os.urandom(size))
    return InputFile(path=path, sha256=sha256(path))


def _clip(path: Path, seconds: int) -> InputFile:
    """A picture that shakes."""
    source = f"testsrc2=size=1400x800:rate=30:duration={seconds}"
    shake = "crop=1280:720:x='60+20*sin(n*1.7)':y='40+20*cos(n*2.3)'"
    run_ffmpeg(["-f", "lavfi", "-i", source, "-vf", shake, "-c:v", "libx264", "-preset", "veryfast", f"file:{path}"])
    return InputFile(path=path, sha256=sha256(path))


async def _ask_all(settings: OffloadSettings, store: Store, ledger: Ledger) -> list[Health]:
    found: dict[str, Health] = {}

    async def ask(name: str) -> None:
        found[name] = await _ask(name, settings, store, ledger)

    async with anyio.create_task_group() as tasks:
        for name in settings.executors:
            tasks.start_soon(ask, name)
    return [found[name] for name in settings.executors]


async def _ask(name: str, settings: OffloadSettings, store: Store, ledger: Ledger) -> Health:
    identity, enabled = settings.executor(name).identity, is_enabled(name, settings, store)
    up, down = (ledger.megabits(name, way) if ledger.link_is_measured(name, way) else None for way in ("up", "down"))
    machine, problem, began = None, "", anyio.current_time()
    silences = store.machines.get(name).silences
    if enabled:
        try:
            executor = open_remote(name, settings, store, ledger)
            try:
                machine = await executor.examine()
            finally:
                await executor.close()
            store.machines.answered(name)
        except MontageError as error:
            problem = str(error)
    seconds = anyio.current_time() - began
    return Health(name, identity, enabled, enabled and not problem, seconds, machine, up, down, silences, problem)
