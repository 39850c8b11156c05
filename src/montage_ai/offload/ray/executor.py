"""The executor on a Ray cluster: which node runs a job, and trying again where a worker or a node dies, is Ray's."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Mapping, Sequence

import anyio
from anyio import to_thread

from montage_ai.errors import AccessDeniedError, MissingExtraError, RuntimeLostError, UnreachableError
from montage_ai.offload.attempted import Attempted, remove_attempt
from montage_ai.offload.executors.executor import OnDone
from montage_ai.offload.executors.far import FarExecutor
from montage_ai.offload.program import program
from montage_ai.offload.ray.messages import (
    MADE_HERE,
    Compute,
    Computed,
    Connect,
    Discard,
    Download,
    Moved,
    Nodes,
    SetUp,
    Source,
    Upload,
)
from montage_ai.offload.ray.process import DriverProcess
from montage_ai.tasks import task_class
from montage_ai.worker.machine import Machine

_REFUSED = "InvalidAuthToken"
_CONNECT = 180.0  # seconds: Ray takes some ten to start, and each node its time to get the program


class RayExecutor(FarExecutor):
    """Runs jobs on the cluster at ``address``, which is as Ray has it: HOST:PORT, ray://HOST:PORT, or local.

    What lies there for jobs ends with this program. ``slots`` None: half as many as the cluster has processors, known
    once it is reached. ``token`` is the cluster's, where it wants one and this machine has none in Ray's own place.
    ``requirements`` are packages that its nodes must have, by default those of a worker: Ray installs what is missing.
    ``on_machine`` and ``is_stale`` are as for ``RemoteExecutor``.
    """

    lasting = False
    may_queue = True

    def __init__(
        self,
        name: str,
        address: str,
        *,
        slots: int | None = None,
        link: str = "",
        token: str | None = None,
        requirements: Sequence[str] | None = None,
        on_machine: Callable[[Machine], None] = lambda _: None,
        is_stale: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self.name, self.slots, self.link = name, slots or 1, link
        self._address, self._configured, self._token = address, slots, token
        self._requirements = list(program().requirements if requirements is None else requirements)
        self._on_machine, self._is_stale = on_machine, is_stale
        self._process: DriverProcess | None = None
        self._is_mute = False
        self._brought: set[str] = set()  # the jobs for which something may lie there

    async def connect(self) -> bool:
        nodes = await self._reach()
        for place in list(filter(self._is_stale, self._brought)):
            await self._driver.ask(Discard(job=place), Moved)
            self._brought.discard(place)
        return bool(nodes.lacking)

    async def examine(self) -> Machine | None:
        return (await self._reach()).machine

    async def set_up(self) -> None:
        self._learn(await self._driver.ask(SetUp(), Nodes))

    async def upload(self, work: Attempted, on_done: OnDone) -> int:
        files = work.directory.spec().files
        sources = [
            Source(path=file.path or work.directory.inputs / name, sha256=file.sha256) for name, file in files.items()
        ]
        self._brought.add(work.place)
        return (await self._driver.ask(Upload(job=work.place, files=sources), Moved, on_done)).size

    async def compute(self, work: Attempted, on_done: OnDone) -> float | None:
        began = anyio.current_time()
        spec = work.directory.spec()
        there = spec.model_copy(update={"files": {name: file.elsewhere() for name, file in spec.files.items()}})
        needs = task_class(spec.task).needs
        asked = Compute(job=work.place, spec=there, processors=needs.processors, memory=needs.memory, gpu=needs.gpu)
        return self.accept(work, (await self._driver.ask(asked, Computed, on_done)).result, began)

    async def download(self, work: Attempted, on_done: OnDone) -> int:
        result = self.expected(work)
        moved = 0
        if not all(work.directory.has(name, output) for name, output in result.outputs.items()):
            asked = Download(job=work.place, folder=work.directory.outputs)
            moved = (await self._driver.ask(asked, Moved, on_done)).size
        work.directory.write_result(result)
        return moved

    async def discard(self, work: Attempted) -> None:
        process = self._process
        if process is not None and process.runs:
            try:
                await process.ask(Discard(job=work.place), Moved)
            except UnreachableError:
                if process.runs:
                    raise  # otherwise what lay there has ended with it
        self._brought.discard(work.place)
        await to_thread.run_sync(remove_attempt, work.folder)

    async def close(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            self._brought.clear()
            await process.end()

    async def _reach(self) -> Nodes:
        """Ask the driver for the nodes. One that could not tell is ended when it is asked again: jobs may run on."""
        if self._process is not None and (self._is_mute or not self._process.runs):
            await self.close()
        is_new = self._process is None
        if self._process is None:
            self._process = await to_thread.run_sync(_started, self._environment())
        process = self._process
        try:
            with anyio.fail_after(_CONNECT):
                asked = Connect(address=self._address, requirements=self._requirements)
                nodes = await process.ask(asked, Nodes)
        except BaseException as error:
            refused, self._is_mute = _REFUSED in process.log, True
            if is_new:
                with anyio.CancelScope(shield=True):
                    await self.close()
            if refused and isinstance(error, UnreachableError):  # Ray itself only says that it did not get through
                hint = "Name the variable or the file that holds the cluster's token (token_env, token_file)."
                raise AccessDeniedError("The cluster does not let us in.", hint=hint) from error
            if isinstance(error, TimeoutError):
                raise UnreachableError(f"The cluster at {self._address} does not answer.") from None
            raise
        self._is_mute = False
        self._learn(nodes)
        return nodes

    def _learn(self, nodes: Nodes) -> None:
        self.slots, self.processors = self._configured or max(1, nodes.processors // 2), max(1, nodes.processors)
        if nodes.machine is not None:
            self._on_machine(nodes.machine)

    @property
    def _driver(self) -> DriverProcess:
        if self._process is None or not self._process.runs:
            raise RuntimeLostError("The driver of Ray has ended, and what lay in the cluster for it.")
        return self._process

    def _environment(self) -> dict[str, str]:
        """What the driver is told. Ray must neither go to another cluster, nor send the folder that we run in."""
        kept = {name: value for name, value in os.environ.items() if name != "RAY_ADDRESS"}
        ours = {"RAY_USAGE_STATS_ENABLED": "0", "RAY_ENABLE_UV_RUN_RUNTIME_ENV": "0"}
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token} if self._token is not None else {}
        tries = {} if self._address == MADE_HERE else {"RAY_NUM_REDIS_GET_RETRIES": "8"}  # seconds; it listens already
        return {**tries, **kept, **ours, **token}


def _started(environment: Mapping[str, str]) -> DriverProcess:
    if importlib.util.find_spec("ray") is None:
        raise MissingExtraError("A Ray cluster needs Ray.", hint="pip install 'montage-ai[ray]'")
    return DriverProcess(environment)
