"""What the driver's process does with Ray. Nothing else in this program imports Ray, but for what runs on its nodes."""

from __future__ import annotations

import contextlib
import hashlib
import io
import socket
import tempfile
import threading
import time
import zipfile
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import ray
from ray import exceptions
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from montage_ai.errors import (
    CrashError,
    MontageError,
    RuntimeLostError,
    TaskError,
    UnreachableError,
    UnsuitedError,
)
from montage_ai.media.files import telling_disk_errors
from montage_ai.offload.program import program
from montage_ai.offload.ray.messages import MADE_HERE, Compute, Nodes, Source
from montage_ai.parallel import cores
from montage_ai.worker import cluster as far
from montage_ai.worker import environment
from montage_ai.worker.jobdir import OutputFile, Result
from montage_ai.worker.machine import Machine

OnShare = Callable[[float], None]

_CHUNK = 16 << 20
_RETRIES = 3  # of a job whose worker was killed, or whose node was lost; Ray's own
_LOOK = 0.5  # seconds
_REACH = 10.0  # seconds in which a port must open
_ASK = 120.0  # seconds for a small question to all nodes: the first has them unpack the program
_INSTALL = 1300.0
_DEAD = (
    exceptions.TaskUnschedulableError,
    exceptions.NodeDiedError,
    exceptions.WorkerCrashedError,
    exceptions.LocalRayletDiedError,
    exceptions.OutOfMemoryError,
    exceptions.GetTimeoutError,
)
_FAREWELL = 4.0  # seconds until a job that is to end is killed


class Cluster:
    """A cluster, with what lies there for jobs. Its methods are called from several threads."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._files: dict[str, list[Any]] = {}  # by SHA-256: references to the chunks of files
        self._wanted: dict[str, set[str]] = {}  # by job: the files that it needs
        self._jobs: dict[str, list[Any]] = {}  # by job: references to its result, and to the parts of its outputs
        self._required: list[str] = []
        self._installed: list[str] = []
        self._board: Any = None
        # Ray's own processes end with the thread that has started them, so that one stays.
        self._starting = ThreadPoolExecutor(1)

    def connect(self, address: str, requirements: list[str]) -> Nodes:
        """Reach it, if that was not done yet, and look whether its nodes have the packages that are required."""
        self._required = requirements
        with self._lock:
            if not ray.is_initialized():
                self._starting.submit(_connect, address).result()
        return self._look(_ASK)

    def set_up(self) -> Nodes:
        """Have Ray install on every node what one of them lacks."""
        self._installed = sorted({*self._installed, *self._look(_INSTALL).lacking})
        found = self._look(_INSTALL)
        if found.lacking:
            hint = "Install it on the nodes, in the Python that Ray runs in."
            raise UnsuitedError(f"The nodes lack {', '.join(found.lacking)}, also after installing it.", hint=hint)
        return found

    def upload(self, job: str, files: Iterable[Source], on_share: OnShare) -> int:
        """Bring files into the cluster's memory, those that are not there yet."""
        files = list(files)
        with self._lock:
            self._wanted[job] = {file.sha256 for file in files}
        missing = [file for file in files if file.sha256 not in self._files]
        total, moved = sum(file.path.stat().st_size for file in missing), 0
        for file in missing:
            chunks, digest = [], hashlib.sha256()
            with file.path.open("rb") as stream:
                while chunk := stream.read(_CHUNK):
                    digest.update(chunk)
                    chunks.append(ray.put(chunk))
                    moved += len(chunk)
                    on_share(moved / max(total, 1))
            if digest.hexdigest() != file.sha256:
                raise TaskError("has changed since it was looked at.", file=file.path, hint="Run the command again.")
            with self._lock:
                if file.sha256 in self._wanted.get(job, ()):  # not given up meanwhile
                    self._files[file.sha256] = chunks
        return moved

    def compute(self, asked: Compute, on_share: OnShare) -> Result:
        """Run a job to its end; one that runs is waited for."""
        with self._lock:
            if asked.job not in self._jobs:
                self._jobs[asked.job] = self._submit(asked)
            header = self._jobs[asked.job][0]
        share = 0.0
        while not ray.wait([header], timeout=_LOOK)[0]:
            with contextlib.suppress(exceptions.RayError):  # the board's node may be lost: it begins again elsewhere
                share = max(share, ray.get(self._board.read.remote(), timeout=5).get(asked.job, 0.0))
            on_share(share)
        with self._forgotten_if_lost(asked.job):
            return Result.model_validate_json(ray.get(header))

    def download(self, job: str, folder: Path, on_share: OnShare) -> int:
        """Write a job's outputs into ``folder``, verified."""
        if job not in self._jobs:
            raise RuntimeLostError("The job's result is not known any more.")
        header, *parts = self._jobs[job]
        with self._forgotten_if_lost(job), telling_disk_errors(folder):
            outputs = Result.model_validate_json(ray.get(header)).outputs
            blocks = _Blocks(parts)
            total = sum(output.size for output in outputs.values())
            folder.mkdir(parents=True, exist_ok=True)
            for name, output in outputs.items():
                _write(folder / name, output, blocks, lambda: on_share(blocks.taken / max(total, 1)))
        return total

    def discard(self, job: str) -> None:
        """End a job, and let go of what was brought for it, unless another one needs it."""
        with self._lock:
            refs = self._jobs.pop(job, [])
            mine = self._wanted.pop(job, set())
            others: set[str] = set().union(*self._wanted.values())
            for digest in mine - others:
                self._files.pop(digest, None)
        for force in (False, True):
            if refs and not ray.wait(refs[:1], timeout=0, fetch_local=False)[0]:
                ray.cancel(refs[0], force=force)
                ray.wait(refs[:1], timeout=_FAREWELL, fetch_local=False)
        if self._board is not None:
            self._board.forget.remote(job)

    def close(self) -> None:
        if ray.is_initialized():
            ray.shutdown()

    @contextlib.contextmanager
    def _forgotten_if_lost(self, job: str) -> Iterator[None]:
        """What Ray has lost, or refuses, is not asked for again: the next attempt runs the job anew."""
        try:
            yield
        except (exceptions.RayError, RuntimeLostError):
            with self._lock:
                self._jobs.pop(job, None)
            raise

    def _look(self, seconds: float) -> Nodes:
        """Ask all nodes that compute."""
        nodes = [node for node in _alive() if node["Resources"].get("CPU", 0) >= 1]
        if not nodes:
            raise UnreachableError("The cluster has no node with a processor now.")
        deadline = time.monotonic() + seconds
        answers = self._ask_all(nodes, deadline, environment.missing, self._required)
        nodes = [node for node in nodes if node["NodeID"] in answers]
        lacking = sorted({one for answer in answers.values() for one in answer})
        machine = None
        if not lacking:
            told = self._ask_all(nodes, deadline, far.describe)
            machine = _together([Machine.model_validate_json(one) for one in told.values()])
        processors = sum(int(node["Resources"]["CPU"]) for node in nodes)
        return Nodes(processors=processors, lacking=lacking, machine=machine)

    def _ask_all(
        self, nodes: Iterable[dict[str, Any]], deadline: float, function: Callable[..., Any], *arguments: Any
    ) -> dict[str, Any]:
        """What ``function`` says on each node, but for those that have died: Ray takes a while to see that."""
        asking = ray.remote(num_cpus=0, **self._environment)(function)
        asked = {}
        for node in nodes:
            there = NodeAffinitySchedulingStrategy(node["NodeID"], soft=False)
            asked[node["NodeID"]] = asking.options(scheduling_strategy=there).remote(*arguments)
        answers = {}
        for node, answer in asked.items():
            with contextlib.suppress(*_DEAD):
                answers[node] = ray.get(answer, timeout=max(deadline - time.monotonic(), 0.1))
        if not answers:
            raise UnreachableError("No node of the cluster answers.")
        return answers

    @property
    def _environment(self) -> dict[str, Any]:
        """What a task needs beyond the program, which all have."""
        return {"runtime_env": {"pip": self._installed}} if self._installed else {}

    def _submit(self, asked: Compute) -> list[Any]:
        missing = {file.sha256 for file in asked.spec.files.values()} - self._files.keys()
        if missing or asked.job not in self._wanted:
            raise RuntimeLostError("What was brought to the cluster is gone.")
        if self._board is None:
            self._board = ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)(far.Board).remote()
        inputs = {name: self._files[file.sha256] for name, file in asked.spec.files.items()}
        task = ray.remote(num_returns=1 + far.PARTS, max_retries=_RETRIES, **_resources(asked), **self._environment)
        refs = task(far.compute).remote(asked.job, asked.spec.model_dump_json(), inputs, self._board)
        return list(refs)


class _Blocks:
    """The parts of outputs, read one after the other."""

    def __init__(self, parts: list[Any]) -> None:
        self._parts, self._rest, self.taken = iter(parts), memoryview(b""), 0

    def take(self, most: int) -> memoryview:
        """The next bytes: at least one, and not more than ``most``."""
        while not self._rest:
            self._rest = memoryview(ray.get(next(self._parts)))
        block, self._rest = self._rest[:most], self._rest[most:]
        self.taken += len(block)
        return block


def translated(error: BaseException) -> MontageError:
    """What an error of Ray, or in a task on a node, means for a job and its executor."""
    if isinstance(error, exceptions.RayTaskError):  # it may be of our own classes at the same time
        return _on_a_node(error.cause if isinstance(error.cause, BaseException) else error)
    if isinstance(error, MontageError):
        return error
    said = _last_line(error)
    if isinstance(error, exceptions.RuntimeEnvSetupError):
        hint = "It needs `virtualenv` on every node, and an index of packages that they reach."
        return UnsuitedError(f"Ray cannot install there what a worker needs: {said}", hint=hint)
    if isinstance(error, exceptions.ObjectStoreFullError | exceptions.OutOfDiskError):
        return UnsuitedError("The cluster's memory for files is full, and its disks.", hint="Free some, or add nodes.")
    if isinstance(error, exceptions.WorkerCrashedError | exceptions.OutOfMemoryError | exceptions.NodeDiedError):
        return CrashError("The worker was killed, again and again: perhaps it had too little memory.")
    if isinstance(error, exceptions.TaskCancelledError):
        return CrashError("The job was ended on the cluster.")
    if isinstance(error, exceptions.ObjectLostError):
        return RuntimeLostError(f"What lay in the cluster is gone: {said}")
    if isinstance(error, OSError) and not isinstance(error, exceptions.RayError | ConnectionError | TimeoutError):
        return TaskError(f"{error.strerror or said}.", file=error.filename)
    if isinstance(error, ImportError) or (isinstance(error, RuntimeError) and "ersion mismatch" in str(error)):
        return UnsuitedError(f"The cluster runs other versions: {said}", hint="Install the same Ray and Python.")
    return UnreachableError(f"The cluster does not answer: {said}")


def _on_a_node(error: BaseException) -> MontageError:
    """What an error means that ended a task, though not the job's own work: that is told by its result."""
    if isinstance(error, exceptions.RayError) and not isinstance(error, exceptions.RayTaskError):
        return translated(error)
    said = f"{type(error).__name__}: {_last_line(error)}"
    if isinstance(error, MontageError | OSError | ImportError) or "failed to import" in str(error):
        return UnsuitedError(f"A node cannot do it: {said}")
    return CrashError(f"The worker failed: {said}")


def _last_line(error: BaseException) -> str:
    lines = str(error).strip().splitlines()
    return lines[-1] if lines else type(error).__name__


def _connect(address: str) -> None:
    _knock(address)
    own = {"include_dashboard": False, "num_cpus": cores()} if address == MADE_HERE else {}
    with tempfile.TemporaryDirectory(prefix="montage-ai-") as folder:
        with zipfile.ZipFile(io.BytesIO(program().content)) as archive:
            archive.extractall(folder)
        ray.init(
            address=address,
            runtime_env={"py_modules": [str(Path(folder) / "montage_ai")]},
            log_to_driver=False,
            configure_logging=False,
            **own,
        )


def _knock(address: str) -> None:
    """Raise ``UnreachableError`` where nobody listens: Ray itself would try for a minute, and end this process."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not port.isdecimal():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_REACH).close()
    except OSError as error:
        raise UnreachableError(f"No cluster answers at {address} ({error}).") from error


def _alive() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]


def _resources(asked: Compute) -> dict[str, Any]:
    """A job's needs as Ray's. Raises ``UnsuitedError`` where no node has as much: Ray would wait for one for ever."""
    nodes = [node["Resources"] for node in _alive()]
    processors = min(asked.processors, max((int(node.get("CPU", 0)) for node in nodes), default=0))
    wanted = {"CPU": processors, "GPU": int(asked.gpu), "memory": int(asked.memory * 1e9)}
    if not any(all(node.get(name, 0) >= amount for name, amount in wanted.items()) for node in nodes):
        needs = f"{processors} processors, {asked.memory:g} GB{' and a GPU' if asked.gpu else ''}"
        raise UnsuitedError(f"No node of the cluster has {needs}.")
    return {"num_cpus": processors, "num_gpus": int(asked.gpu), "memory": wanted["memory"]}


def _together(machines: list[Machine]) -> Machine:
    """The cluster as one machine: the nodes' processors together, of all else what every one of them has.

    A GPU is an exception: jobs that need one go where it is.
    """
    with_gpu = next((one for one in machines if one.gpu), machines[0])
    return machines[0].model_copy(
        update={
            "processors": sum(one.processors for one in machines),
            "memory": max(one.memory for one in machines),
            "gpu": with_gpu.gpu,
            "gpu_memory": with_gpu.gpu_memory,
            "disk": min(one.disk for one in machines),
            "filters": frozenset.intersection(*(one.filters for one in machines)),
            "tried": frozenset.union(*(one.tried for one in machines)),
            "packages": frozenset.intersection(*(one.packages for one in machines)),
        }
    )


def _write(path: Path, output: OutputFile, blocks: _Blocks, told: Callable[[], None]) -> None:
    draft = path.with_name(f"{path.name}.part")
    digest, left = hashlib.sha256(), output.size
    with draft.open("wb") as file:
        while left:
            block = blocks.take(left)
            file.write(block)
            digest.update(block)
            left -= len(block)
            told()
    if digest.hexdigest() != output.sha256:
        raise RuntimeLostError("What the cluster gave back is not what was made there.")
    draft.replace(path)
