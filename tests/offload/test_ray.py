"""A Ray cluster: what it loses is done again, what it lacks is told or installed."""

from __future__ import annotations

import socket
import time
import zipfile
from collections.abc import Callable
from pathlib import Path

import anyio
import psutil
import pytest

from benchmarks.loopback.ray_cluster import RayCluster
from montage_ai.errors import AccessDeniedError, CrashError, RuntimeLostError, UnreachableError, UnsuitedError
from montage_ai.media.files import sha256
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.ray.executor import RayExecutor
from montage_ai.tasks.task import InputFile, Needs
from montage_ai.tasks.trial import OUTPUT, Trial
from tests.offload.conftest import arguments, attempted, expected_output, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.ray,
]  # a cluster takes its time; what every executor must do is tried in executors/


def folders(cluster: RayCluster) -> list[Path]:
    """Of jobs that run on nodes, which are all on this machine."""
    return list(cluster.folder.glob("montage-ai-ray-*"))


def worker_of(folder: Path) -> psutil.Process:
    return psutil.Process(int(folder.name.split("-")[3]))


def driver_of_this_test() -> psutil.Process:
    """The last that was started."""
    drivers = [one for one in psutil.Process().children() if "montage_ai.offload.ray.driver" in arguments(one)]
    return max(drivers, key=lambda one: one.create_time())


async def until(there: Callable[[], bool]) -> None:
    while not there():
        await anyio.sleep(0.05)


def test_a_job_whose_worker_is_killed_is_run_again_by_ray(
    cluster: RayCluster, ray_executor: RayExecutor, payload: InputFile, tmp_path: Path
) -> None:
    task = Trial(source=payload, seconds=2, size=200_000)
    work = attempted(task, tmp_path / "attempt")

    async def kill() -> None:
        await until(lambda: len(folders(cluster)) == 1)
        await anyio.sleep(0.5)
        worker_of(folders(cluster)[0]).kill()

    async def main() -> None:
        await ray_executor.connect()
        await ray_executor.upload(work, lambda _: None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill)
            await ray_executor.compute(work, lambda _: None)
        await ray_executor.download(work, lambda _: None)
        assert sha256(work.directory.outputs / OUTPUT) == expected_output(task)
        await ray_executor.discard(work)

    run(main)
    assert folders(cluster) == []  # also that of the worker that was killed


def test_a_job_whose_workers_are_killed_again_and_again_fails_and_may_be_tried_anew(
    cluster: RayCluster, ray_executor: RayExecutor, payload: InputFile, tmp_path: Path
) -> None:
    work = attempted(Trial(source=payload, seconds=2, size=1000), tmp_path / "attempt")
    killing = True

    async def kill() -> None:
        killed = set[str]()
        while killing:
            for folder in folders(cluster):
                if folder.name not in killed:
                    killed.add(folder.name)
                    worker_of(folder).kill()
            await anyio.sleep(0.1)

    async def main() -> None:
        nonlocal killing
        await ray_executor.connect()
        await ray_executor.upload(work, lambda _: None)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill)
            with pytest.raises(CrashError, match="killed"):
                await ray_executor.compute(work, lambda _: None)
            killing = False
        await ray_executor.compute(work, lambda _: None)  # another attempt does not get the failure of the first
        await ray_executor.discard(work)

    run(main)


def test_a_cluster_on_this_machine_does_a_job(payload: InputFile, tmp_path: Path) -> None:
    executor, task = RayExecutor("box", "local"), Trial(source=payload, size=1000)
    work = attempted(task, tmp_path / "attempt")

    async def main() -> None:
        assert not await executor.connect()
        await executor.upload(work, lambda _: None)
        await executor.compute(work, lambda _: None)
        await executor.download(work, lambda _: None)
        await executor.close()

    run(main)
    assert sha256(work.directory.outputs / OUTPUT) == expected_output(task)


def test_what_no_node_has_is_told(
    ray_executor: RayExecutor, payload: InputFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ray itself would wait for such a node for ever."""
    work = attempted(Trial(source=payload), tmp_path / "attempt")
    monkeypatch.setattr(Trial, "needs", Needs(gpu=True))

    async def main() -> None:
        await ray_executor.connect()
        await ray_executor.upload(work, lambda _: None)
        with pytest.raises(UnsuitedError, match=r"No node of the cluster has .* a GPU"):
            await ray_executor.compute(work, lambda _: None)
        await ray_executor.discard(work)

    run(main)


def test_a_driver_that_ends_costs_its_jobs_but_not_this_program(
    cluster: RayCluster, payload: InputFile, tmp_path: Path
) -> None:
    executor = RayExecutor("box", cluster.address, token=cluster.token)
    task = Trial(source=payload, seconds=1, size=1000)
    work, other = attempted(task, tmp_path / "attempt"), attempted(task, tmp_path / "other")

    async def main() -> None:
        await executor.connect()
        await executor.upload(work, lambda _: None)
        driver_of_this_test().kill()
        with pytest.raises((UnreachableError, RuntimeLostError)):
            await executor.compute(work, lambda _: None)
        await executor.discard(other)
        await executor.connect()
        with pytest.raises(RuntimeLostError):  # so that it is sent again
            await executor.compute(work, lambda _: None)
        await executor.upload(work, lambda _: None)
        await executor.compute(work, lambda _: None)
        await executor.close()

    run(main)


def test_what_lay_there_is_discarded_where_the_driver_ends_meanwhile(
    cluster: RayCluster, payload: InputFile, tmp_path: Path
) -> None:
    """Its connections end a moment before it does: that it seems to run then is no failure."""
    executor = RayExecutor("box", cluster.address, token=cluster.token)
    work = attempted(Trial(source=payload), tmp_path / "attempt")

    async def kill(driver: psutil.Process) -> None:
        await anyio.sleep(0.3)
        driver.kill()

    async def main() -> None:
        await executor.connect()
        driver = driver_of_this_test()
        driver.suspend()  # it hears the request, and does not answer
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(kill, driver)
            await executor.discard(work)
        await executor.close()

    run(main)
    assert not work.folder.exists()


def test_nobody_at_the_address_is_told_soon() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]

    async def main() -> None:
        with pytest.raises(UnreachableError, match="No cluster answers"):
            await RayExecutor("box", f"127.0.0.1:{port}").connect()

    run(main)


def test_a_wrong_token_is_told(cluster: RayCluster) -> None:
    async def main() -> None:
        with pytest.raises(AccessDeniedError):
            await RayExecutor("box", cluster.address, token="0" * 32).connect()

    run(main)


@pytest.fixture
def package(tmp_path: Path) -> str:
    """A requirement that no node has, and the wheel for it."""
    name = "montage_ai_test_package"
    wheel = tmp_path / f"{name}-1.0-py3-none-any.whl"
    about = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(f"{name}.py", "")
        archive.writestr(f"{about}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        archive.writestr(f"{about}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        archive.writestr(f"{about}/RECORD", f"{name}.py,,\n{about}/METADATA,,\n{about}/WHEEL,,\n{about}/RECORD,,\n")
    return f"{name} @ {wheel.as_uri()}"


def test_packages_that_nodes_lack_are_installed_by_ray(
    cluster: RayCluster, payload: InputFile, tmp_path: Path, package: str
) -> None:
    executor = RayExecutor("box", cluster.address, token=cluster.token, requirements=[package])
    task = Trial(source=payload, size=1000)
    work = attempted(task, tmp_path / "attempt")

    async def main() -> None:
        assert await executor.connect()
        await executor.set_up()
        await executor.set_up()  # as after one that was given up
        assert not await executor.connect()
        await executor.upload(work, lambda _: None)
        await executor.compute(work, lambda _: None)
        await executor.close()

    run(main)


def test_a_node_that_dies_costs_time_and_no_job(
    cluster: RayCluster, ray_executor: RayExecutor, payload: InputFile
) -> None:
    tasks = [Trial(source=payload, seconds=1.5, size=1000, number=number) for number in range(8)]
    with Offloader("box", executors=[ray_executor]) as offloader:
        cluster.add_node(2)
        jobs = [offloader.submit(task) for task in tasks]
        began = time.monotonic()
        while len(folders(cluster)) < 2 and time.monotonic() < began + 60:
            time.sleep(0.05)
        cluster.kill_node()
        for job, task in zip(jobs, tasks, strict=True):
            assert sha256(job.result(120).files[OUTPUT]) == expected_output(task)
        ends = [one for job in jobs for one in offloader.store.attempts(job.id) if one.outcome == "done"]
    assert len(ends) == len(jobs)
