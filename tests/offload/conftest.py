"""Other machines: a folder of this one, and a real SSH server on loopback; and a task that only takes its time."""

from __future__ import annotations

import hashlib
import json
import os
import sys
import uuid
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import TypeVar

import anyio
import psutil
import pytest

from benchmarks.loopback.cgpu import Cgpu, cgpu, on_path
from benchmarks.loopback.colab import PROXIED, Colab, proxy
from benchmarks.loopback.jupyter import Jupyter, jupyter
from benchmarks.loopback.ray_cluster import RayCluster
from benchmarks.loopback.sshd import Sshd, sshd
from montage_ai import config
from montage_ai.media.files import sha256
from montage_ai.offload.attempted import Attempted
from montage_ai.offload.ray.executor import RayExecutor
from montage_ai.offload.transports.cgpu.client import CgpuClient
from montage_ai.offload.transports.cgpu.colab import ColabAccess
from montage_ai.offload.transports.cgpu.command_line import CommandLineTransport
from montage_ai.offload.transports.cgpu.login import Login
from montage_ai.offload.transports.cgpu.transport import CgpuTransport
from montage_ai.offload.transports.jupyter.access import TokenAccess
from montage_ai.offload.transports.jupyter.transport import JupyterTransport
from montage_ai.offload.transports.local import LocalTransport
from montage_ai.offload.transports.ssh import SshAddress, SshTransport
from montage_ai.offload.transports.transport import Transport
from montage_ai.tasks.task import InputFile
from montage_ai.tasks.trial import OUTPUT, Trial

T = TypeVar("T")


@pytest.fixture(scope="session")
def ssh_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sshd]:
    """OpenSSH's server, or asyncssh's where that is not installed: the run's summary says which."""
    with sshd(tmp_path_factory.mktemp("sshd")) as server:
        yield server


def ssh_transport(server: Sshd, folder: Path, port: int | None = None) -> SshTransport:
    address = SshAddress(
        "127.0.0.1", server.user, port or server.port, str(server.key), str(server.known_hosts), connect_timeout=5
    )
    return SshTransport(address, str(folder))


@pytest.fixture(scope="session")
def jupyter_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """A real Jupyter Server, below a path prefix."""
    with jupyter(tmp_path_factory.mktemp("jupyter")) as server:
        yield server


def jupyter_transport(server: Jupyter, folder: Path) -> JupyterTransport:
    return JupyterTransport(TokenAccess(server.url, server.token), str(folder))


@pytest.fixture
def cgpu_double(tmp_path: Path) -> Iterator[Cgpu]:
    """A ``cgpu`` on PATH that is as treacherous as the real one."""
    double = cgpu(tmp_path / "cgpu")
    double.set_noisy()
    with on_path(double):
        yield double


def command_line(folder: Path) -> CommandLineTransport:
    login = Login(config.data_dir() / "cgpu" / "session.json")
    return CommandLineTransport(CgpuClient("cgpu", login, config.data_dir() / "cgpu" / "lock"), str(folder))


@pytest.fixture(scope="session")
def colab_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Jupyter]:
    """The Jupyter Server behind Colab's proxy."""
    with jupyter(tmp_path_factory.mktemp("colab"), prefix=PROXIED) as server:
        yield server


@pytest.fixture
def colab(colab_server: Jupyter) -> Iterator[Colab]:
    """Google's side of the login of ``cgpu``."""
    with proxy(colab_server) as running:
        yield running


@pytest.fixture
def both_roads(cgpu_double: Cgpu, colab: Colab, far: Path) -> CgpuTransport:
    """Colab as users reach it: through its proxy, or by ``cgpu``."""
    keys = {"clientId": "id", "clientSecret": "secret", "colabApiDomain": colab.url, "colabGapiDomain": colab.url}
    (cgpu_double.config / "config.json").write_text(json.dumps(keys), "utf-8")
    slow = command_line(far)

    async def assign() -> None:
        await slow.client.warm_up()
        colab.assigned = True

    access = ColabAccess(slow.client.login, assign, f"{colab.url}/token")
    return CgpuTransport(slow, JupyterTransport(access, str(far)))


class Kept(RayExecutor):
    """Goes from test to test of a module: Ray takes ten seconds to start. (Others end all child processes.)"""

    async def close(self) -> None:
        """It is ended after the module's last test."""


@pytest.fixture(scope="module")
def ray_executor(cluster: RayCluster) -> Iterator[RayExecutor]:
    executor = Kept("box", cluster.address, token=cluster.token)
    yield executor
    run(lambda: RayExecutor.close(executor))


TRANSPORTS = ("local", "ssh", "jupyter", "cgpu", "colab")
"""Every transport there is; a new one joins here."""

SLOW_PLACES = {"cgpu": [pytest.mark.slow], "colab": [pytest.mark.slow], "ray": [pytest.mark.slow, pytest.mark.ray]}
"""Of these a call takes a second, or the start half a minute."""


def transport_params(*others: str) -> list[object]:
    """The transports, and ``others``, to parametrise by."""
    return [pytest.param(one, marks=SLOW_PLACES.get(one, [])) for one in (*TRANSPORTS, *others)]


def make_transport(kind: str, request: pytest.FixtureRequest, folder: Path) -> Transport:
    if kind == "ssh":
        return ssh_transport(request.getfixturevalue("ssh_server"), folder)
    if kind == "jupyter":
        return jupyter_transport(request.getfixturevalue("jupyter_server"), folder)
    if kind == "colab":
        return request.getfixturevalue("both_roads")  # type: ignore[no-any-return]
    if kind == "cgpu":
        request.getfixturevalue("cgpu_double")
        return command_line(folder)
    return LocalTransport(folder)


@pytest.fixture(params=transport_params())
def transport(request: pytest.FixtureRequest, tmp_path: Path) -> Transport:
    return make_transport(request.param, request, tmp_path / "far")


@pytest.fixture
def far(tmp_path: Path) -> Path:
    """The folder on the other machine."""
    return tmp_path / "far"


def run(work: Callable[[], Awaitable[T]]) -> T:
    """Run ``work`` on asyncio, as the program does."""

    async def bounded() -> T:
        with anyio.fail_after(120):
            return await work()

    return anyio.run(bounded)


@pytest.fixture
def payload(tmp_path: Path) -> InputFile:
    path = tmp_path / "source.bin"
    path.write_bytes(os.urandom(300_000))
    return InputFile(path=path, sha256=sha256(path))


def expected_output(task: Trial) -> str:
    """The SHA-256 of what the trial has to give, worked out here."""
    block = 1 << 16
    digest = hashlib.sha256()
    for start in range(0, task.size, block):
        made = hashlib.shake_128(f"{task.source.sha256} {task.number} {start}".encode()).digest(block)
        digest.update(made[: task.size - start])
    return digest.hexdigest()


def attempted(task: Trial, folder: Path) -> Attempted:
    """An attempt at ``task``, laid out in ``folder``."""
    from montage_ai.offload.workshop import _prepare

    work = Attempted(str(uuid.uuid4()), "key", task, task.variants()[0], folder)
    _prepare(work)
    return work


def arguments(process: psutil.Process) -> list[str]:
    """What a process was called with; nothing of one that has ended."""
    try:
        return list(process.cmdline())
    except (psutil.NoSuchProcess, psutil.AccessDenied):
        return []


def is_worker(process: psutil.Process) -> bool:
    """Whether it does jobs here: such processes are forked from one that has its imports, where that is possible."""
    try:
        started = any(one.startswith("montage_ai.worker") for one in arguments(process))
        return started or bool(process.name() == "montage-worker")
    except psutil.NoSuchProcess:
        return False


def far_processes(folder: Path) -> list[psutil.Process]:
    """What runs for jobs in ``folder``."""
    found = []
    for process in psutil.process_iter(["cmdline", "cwd", "status"]):
        info = process.info
        ours = any("montage_ai" in argument or "run.sh" in argument for argument in info["cmdline"] or [])
        there = bool(info["cwd"]) and Path(info["cwd"]).is_relative_to(folder)
        if ours and there and info["status"] != psutil.STATUS_ZOMBIE:
            found.append(process)
    return found


__all__ = ["OUTPUT", "attempted", "expected_output", "far_processes", "run", "ssh_transport"]

PYTHON = sys.executable
