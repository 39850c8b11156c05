"""The executor on a Ray cluster: which node runs a job, and trying again where a worker or a node dies, is Ray's."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable, Sequence

import anyio
from anyio import to_thread

from montage_ai.errors import AccessDeniedError, MissingExtraError, RuntimeLostError, UnreachableError
from montage_ai.offload.attempted import Attempted, remove_attempt
from montage_ai.offload.executors.executor import OnDone
from montage_ai.offload.executors.far import FarExecutor
from montage_ai.offload.program import program
from montage_ai.offload.ray.messages import (
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
    """Runs jobs on the cluster at ``address``, which is as Ray has it: HOST:PORT, ray://HOST:PORT, auto or local.

    What lies there for jobs ends with this program. ``slots`` None: half as many as the cluster has processors, known
    once it is reached. ``token`` is the cluster's, where it wants one and this machine has none in Ray's own place.
    ``requirements`` are packages that its nodes must have, by default those of a worker: Ray installs what is missing.
    """

    def __init__(
        self,
        name: str,
        address: str,
        *,
        slots: int | None = None,
        token: str | None = None,
        requirements: Sequence[str] | None = None,
        on_machine: Callable[[Machine], None] = lambda _: None,
    ) -> None:
        if importlib.util.find_spec("ray") is None:
            raise MissingExtraError("A Ray cluster needs Ray.", hint="pip install 'montage-ai[ray]'")
        self.name, self.slots = name, slots or 1
        self._address, self._configured, self._token = address, slots, token
        self._requirements = list(program().requirements if requirements is None else requirements)
        self._on_machine = on_machine
        self._process: DriverProcess | None = None

    async def connect(self) -> bool:
        return bool((await self._reach()).lacking)

    async def examine(self) -> Machine | None:
        return (await self._reach()).machine

    async def set_up(self) -> None:
        self._learn(await self._driver.ask(SetUp(), Nodes))

    async def upload(self, work: Attempted, on_done: OnDone) -> int:
        files = work.directory.spec().files
        sources = [
            Source(path=file.path or work.directory.inputs / name, sha256=file.sha256) for name, file in files.items()
        ]
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
        if self._process is not None:
            await self._process.ask(Discard(job=work.place), Moved)
        await to_thread.run_sync(remove_attempt, work.folder)

    async def close(self) -> None:
        if self._process is not None:
            process, self._process = self._process, None
            await process.end()

    async def _reach(self) -> Nodes:
        if self._process is not None and not self._process.runs:
            await self.close()
        if self._process is None:
            self._process = await to_thread.run_sync(DriverProcess, self._environment())
        try:
            with anyio.fail_after(_CONNECT):
                asked = Connect(address=self._address, requirements=self._requirements)
                nodes = await self._process.ask(asked, Nodes)
        except TimeoutError:
            await self.close()
            raise UnreachableError(f"The cluster at {self._address} does not answer.") from None
        except BaseException as error:
            refused = _REFUSED in self._process.log
            with anyio.CancelScope(shield=True):
                await self.close()
            if refused and isinstance(error, UnreachableError):  # Ray itself only says that it did not get through
                hint = "Name the variable or the file that holds the cluster's token (token_env, token_file)."
                raise AccessDeniedError("The cluster does not let us in.", hint=hint) from error
            raise
        self._learn(nodes)
        return nodes

    def _learn(self, nodes: Nodes) -> None:
        self.slots = self._configured or max(1, nodes.processors // 2)
        if nodes.machine is not None:
            self._on_machine(nodes.machine)

    @property
    def _driver(self) -> DriverProcess:
        if self._process is None or not self._process.runs:
            raise RuntimeLostError("The driver of Ray has ended, and what lay in the cluster for it.")
        return self._process

    def _environment(self) -> dict[str, str]:
        token = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": self._token} if self._token is not None else {}
        tries = {} if self._address == "local" else {"RAY_NUM_REDIS_GET_RETRIES": "8"}  # seconds; it listens already
        return {**tries, **os.environ, "RAY_USAGE_STATS_ENABLED": "0", **token}
