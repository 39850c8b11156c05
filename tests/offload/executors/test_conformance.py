"""What every executor must do: a job goes through all its steps, each of which may be called again."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import anyio
import numpy as np
import pytest

from benchmarks.tiny_clip import HELD_OUT, described, draw
from montage_ai.errors import MediaError, MontageError, TaskError
from montage_ai.media.files import sha256
from montage_ai.media.stills import encode_jpeg
from montage_ai.models.image_text import ImageTextModel
from montage_ai.offload.attempted import Attempted
from montage_ai.offload.executors.executor import Executor
from montage_ai.offload.executors.local import LocalExecutor
from montage_ai.offload.ray.executor import RayExecutor
from montage_ai.offload.remote.executor import RemoteExecutor
from montage_ai.offload.transports.decorators import Retrying
from montage_ai.tasks.embed import Embed, read_vectors
from montage_ai.tasks.pictures import read_pack, read_picture, write_pack
from montage_ai.tasks.stabilize import Stabilize
from montage_ai.tasks.task import InputFile
from montage_ai.tasks.trial import OUTPUT, Trial
from montage_ai.tasks.weights import WeightFile, Weights
from tests.offload.conftest import attempted, expected_output, far_processes, make_transport, run, transport_params

AnyExecutor = Executor[Attempted]


@pytest.fixture(params=transport_params("here", "ray"))
def executor(request: pytest.FixtureRequest, far: Path) -> AnyExecutor:
    """Every executor there is, the remote one over each transport; a new one joins here."""
    if request.param == "here":
        return LocalExecutor(2)
    if request.param == "ray":
        return request.getfixturevalue("ray_executor")  # type: ignore[no-any-return]
    return RemoteExecutor("box", Retrying(make_transport(request.param, request, far)), python=sys.executable)


async def opened(executor: AnyExecutor) -> None:
    if await executor.connect():
        await executor.set_up()


async def through(executor: AnyExecutor, work: Attempted, told: Callable[[float], None] = lambda _: None) -> None:
    await executor.upload(work, told)
    await executor.compute(work, told)
    await executor.download(work, told)


def check(work: Attempted, task: Trial) -> None:
    result = work.directory.result()
    assert result is not None
    assert result.error is None
    assert sha256(work.directory.outputs / OUTPUT) == expected_output(task)
    assert result.data == {"source": task.source.sha256}


@pytest.mark.parametrize("size", [0, 3_000_000])
def test_a_job_is_done_and_its_result_is_here(
    executor: AnyExecutor, payload: InputFile, tmp_path: Path, size: int
) -> None:
    task = Trial(source=payload, size=size)
    work = attempted(task, tmp_path / "attempt")

    async def main() -> None:
        await opened(executor)
        await through(executor, work)
        check(work, task)
        await executor.close()

    run(main)


def test_every_step_may_be_called_again(executor: AnyExecutor, payload: InputFile, tmp_path: Path) -> None:
    """As after a lost connection, or a restart of this program."""
    task = Trial(source=payload, size=100_000)
    work = attempted(task, tmp_path / "attempt")

    async def main() -> None:
        await opened(executor)
        for step in (executor.upload, executor.compute, executor.download):
            for _ in range(3):
                await step(work, lambda _: None)
        check(work, task)
        await executor.close()

    run(main)


def test_progress_is_told(executor: AnyExecutor, payload: InputFile, tmp_path: Path) -> None:
    work, told = attempted(Trial(source=payload, seconds=3), tmp_path / "attempt"), list[float]()

    async def main() -> None:
        await opened(executor)
        await executor.upload(work, lambda _: None)
        await executor.compute(work, told.append)
        await executor.close()

    run(main)
    thrifty = isinstance(executor, RemoteExecutor) and executor.looks.first > 3  # looks at the job every 30 s
    assert thrifty or any(0.1 < fraction < 0.9 for fraction in told)
    assert all(0 <= fraction <= 1 for fraction in told)
    assert told == sorted(told)


def test_an_error_of_the_work_is_raised_as_it_was_there(executor: AnyExecutor, tmp_path: Path) -> None:
    broken = tmp_path / "broken.mp4"
    broken.write_bytes(b"no video at all" * 1000)
    task = Stabilize(source=InputFile(path=broken, sha256=sha256(broken)))
    from montage_ai.offload.workshop import _spec

    work = Attempted("a" * 36, "key", task, task.variants()[0], tmp_path / "attempt")
    work.folder.mkdir()
    work.directory.create(_spec(work, work.variant.prepare(work.folder)))

    async def main() -> None:
        await opened(executor)
        await executor.upload(work, lambda _: None)
        with pytest.raises(MediaError):
            await executor.compute(work, lambda _: None)
        await executor.close()

    run(main)


def test_several_jobs_run_at_once(executor: AnyExecutor, payload: InputFile, tmp_path: Path) -> None:
    tasks = [Trial(source=payload, size=1000 + n, seconds=0.5, number=n) for n in range(3)]
    works = [attempted(task, tmp_path / f"attempt{n}") for n, task in enumerate(tasks)]

    async def main() -> None:
        await opened(executor)
        async with anyio.create_task_group() as group:
            for work in works:
                group.start_soon(through, executor, work)
        for work, task in zip(works, tasks, strict=True):
            check(work, task)
        await executor.close()

    run(main)


def test_what_is_given_up_leaves_nothing(
    request: pytest.FixtureRequest, executor: AnyExecutor, payload: InputFile, tmp_path: Path, far: Path
) -> None:
    work = attempted(Trial(source=payload, seconds=60), tmp_path / "attempt")

    async def main() -> None:
        await opened(executor)
        await executor.upload(work, lambda _: None)
        with anyio.move_on_after(2):
            await executor.compute(work, lambda _: None)
        await executor.discard(work)
        await executor.discard(work)  # also twice
        await executor.close()

    run(main)
    assert not work.folder.exists()
    assert far_processes(far) == []
    assert [path for name in ("jobs", "blobs") for path in (far / name).glob("*")] == []
    if isinstance(executor, RayExecutor):
        assert list(request.getfixturevalue("cluster").folder.glob("montage-ai-ray-*")) == []


def test_an_input_that_changed_is_refused(executor: AnyExecutor, payload: InputFile, tmp_path: Path) -> None:
    work = attempted(Trial(source=payload), tmp_path / "attempt")
    payload.path.write_bytes(b"changed")

    async def main() -> None:
        await opened(executor)
        with pytest.raises((TaskError, MontageError)):
            await through(executor, work)
        await executor.close()

    run(main)


@pytest.mark.slow
def test_pictures_are_embedded_and_ranked_alike_everywhere(
    executor: AnyExecutor, shapes_model: Path, tmp_path: Path
) -> None:
    """What a model says of what it has never seen, on every executor: right, and the same as here."""
    drawn = []
    for colour, shape in HELD_OUT:
        picture = np.full((256, 456, 3), 128, np.uint8)
        draw(picture, colour, shape, (228, 128), 75)
        drawn.append(picture)
    pack = write_pack(tmp_path, [encode_jpeg(np.ascontiguousarray(picture[:, :, ::-1])) for picture in drawn])
    files = tuple(
        WeightFile(name=path.name, file=InputFile(path=path, sha256=sha256(path))) for path in shapes_model.iterdir()
    )
    task = Embed(pack=pack, count=len(drawn), weights=Weights(files=files), effort=0.01)
    work = attempted(task, tmp_path / "attempt")

    async def main() -> None:
        await opened(executor)
        await through(executor, work)
        await executor.close()

    run(main)
    result = work.directory.result()
    assert result is not None
    vectors = read_vectors(work.directory.output_payload(result), len(drawn)).astype(np.float32)
    model = ImageTextModel(shapes_model)
    here = model.embed_images([read_picture(jpeg) for jpeg in read_pack(pack.path)])
    products = model.embed_texts([described(*one) for one in HELD_OUT]) @ vectors.T
    assert np.abs(vectors - here).max() < 2e-3
    assert (products.argmax(axis=1) == np.arange(len(drawn))).mean() >= 0.85
