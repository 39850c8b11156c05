"""A far side that answers wrongly, with right digests: nothing is kept, it is named, the work is done elsewhere."""

from __future__ import annotations

import json
import math
import os
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import numpy as np
import pytest

from montage_ai.errors import WrongResultError
from montage_ai.events import Event, Notice
from montage_ai.media.ffmpeg import run_ffmpeg
from montage_ai.media.files import sha256
from montage_ai.offload.attempted import Attempted, remove_attempt
from montage_ai.offload.executors.executor import OnDone
from montage_ai.offload.executors.far import FarExecutor
from montage_ai.offload.executors.local import LocalExecutor
from montage_ai.offload.offloader import Offloader
from montage_ai.offload.workshop import _check, _prepare
from montage_ai.tasks.caption import Caption
from montage_ai.tasks.embed import VECTORS, Embed
from montage_ai.tasks.pictures import write_pack
from montage_ai.tasks.stabilize import CLIP, MOTIONS, Stabilize
from montage_ai.tasks.task import InputFile, Payload, Task
from montage_ai.tasks.trial import OUTPUT, Trial
from montage_ai.tasks.weights import Weights
from montage_ai.worker.jobdir import JobDir
from montage_ai.worker.machine import Machine
from montage_ai.worker.run import run_job
from scripts.demo import passing_cars, turning_wheel, write_clip

Way = Callable[[Payload, Path], Payload]


@pytest.fixture(scope="module")
def shaky(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("shaky") / "shaky.mp4"
    write_clip(path, (320, 240), 2, passing_cars, seed=4, shakes=True)
    return path


@pytest.fixture(scope="module")
def other(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Another clip of the same size and length."""
    path = tmp_path_factory.mktemp("other") / "other.mp4"
    write_clip(path, (320, 240), 2, turning_wheel, seed=9)
    return path


def task_of(path: Path, **parameters: Any) -> Stabilize:
    return Stabilize(source=InputFile(path=path, sha256=sha256(path)), always=True, **parameters)


def computed(task: Task, name: str, folder: Path) -> tuple[Attempted, Payload]:
    """An attempt of a variant elsewhere, and what it came to."""
    work = Attempted("a" * 36, "key", task, task.variant(name), folder, executor="liar")
    _prepare(work)
    result = run_job(work.directory)
    result.raise_error()
    return work, work.directory.output_payload(result)


@pytest.fixture(scope="module")
def clip_job(shaky: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Attempted, Payload]:
    return computed(task_of(shaky, deliver="clip"), "there", tmp_path_factory.mktemp("clip"))


@pytest.fixture(scope="module")
def proxy_job(shaky: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Attempted, Payload]:
    return computed(task_of(shaky), "proxy", tmp_path_factory.mktemp("proxy"))


def with_file(name: str, content: Callable[[bytes], bytes]) -> Way:
    def change(payload: Payload, folder: Path) -> Payload:
        path = folder / name
        path.write_bytes(content(payload.files[name].read_bytes() if name in payload.files else b""))
        return replace(payload, files={**payload.files, name: path})

    return change


def without(name: str) -> Way:
    return lambda payload, _: replace(payload, files={k: v for k, v in payload.files.items() if k != name})


def motions(change: Callable[[dict[str, Any]], Any]) -> Way:
    def changed(content: bytes) -> bytes:
        told = json.loads(content)
        return json.dumps(change(told) or told).encode()

    return with_file(MOTIONS, changed)


def encoded(*arguments: str) -> Way:
    """The clip through FFmpeg once more."""

    def change(payload: Payload, folder: Path) -> Payload:
        run_ffmpeg(["-i", f"file:{payload.files[CLIP]}", *arguments, f"file:{folder / CLIP}"])
        return replace(payload, files={**payload.files, CLIP: folder / CLIP})

    return change


MOTION_LIES: dict[str, Way] = {
    "no motions": without(MOTIONS),
    "empty": with_file(MOTIONS, lambda _: b""),
    "text": with_file(MOTIONS, lambda _: b"steadied, trust me"),
    "bytes": with_file(MOTIONS, lambda _: os.urandom(500)),
    "another shape": motions(lambda told: {"steps": told}),
    "a third of the frames": motions(lambda told: told.update(steps=told["steps"][: len(told["steps"]) // 3])),
    "twice the frames": motions(lambda told: told.update(steps=told["steps"] * 2)),
    "no frame": motions(lambda told: told.update(steps=[])),
    "of a larger picture": motions(lambda told: told.update(width=told["width"] * 2)),
    "of no size": motions(lambda told: told.update(width=0, height=0)),
    "moves of a thousand widths": motions(lambda told: told.update(steps=[[1e6, 0, 0, 0]] * len(told["steps"]))),
    "infinite": motions(lambda told: told.update(steps=[[math.inf, 0, 0, 0]] * len(told["steps"]))),
    "words for numbers": motions(lambda told: told.update(steps=[["a", "b", "c", "d"]] * len(told["steps"]))),
    "an unknown file": with_file("run.sh", lambda _: b"rm -rf ~"),
    "too many bytes": with_file(MOTIONS, lambda content: content + b" " * 20_000_000),
}

CLIP_LIES: dict[str, Way] = {
    "no clip": without(CLIP),
    "text as a clip": with_file(CLIP, lambda _: b"a video" * 100),
    "an empty clip": with_file(CLIP, lambda _: b""),
    "a photo": encoded("-frames:v", "1", "-f", "image2", "-c:v", "png", "-update", "1"),
    "half of the clip": encoded("-frames:v", "30", "-c:v", "libx264"),
    "another size": encoded("-vf", "scale=160:120", "-c:v", "libx264"),
    "another rate": encoded("-r", "10", "-c:v", "libx264"),
    "black": encoded("-vf", "drawbox=c=black:t=fill", "-c:v", "libx264"),
    "upside down": encoded("-vf", "vflip", "-c:v", "libx264"),
    "negative": encoded("-vf", "negate", "-c:v", "libx264"),
    "sound alone": encoded("-f", "lavfi", "-i", "sine=d=2", "-map", "1:a", "-c:a", "aac"),
    "cut off": with_file(CLIP, lambda content: content[: len(content) * 2 // 3]),
    "damaged": with_file(CLIP, lambda c: c[: len(c) // 2] + os.urandom(3000) + c[len(c) // 2 + 3000 :]),
}


def refused(work: Attempted, payload: Payload, lie: Way) -> None:
    with tempfile.TemporaryDirectory() as folder, pytest.raises(WrongResultError, match="liar gave a result"):
        _check(work, lie(payload, Path(folder)))


def test_the_truth_is_accepted(clip_job: tuple[Attempted, Payload], proxy_job: tuple[Attempted, Payload]) -> None:
    for work, payload in (clip_job, proxy_job):
        _check(work, payload)


@pytest.mark.parametrize("lie", MOTION_LIES)
def test_wrong_motions_are_refused(
    clip_job: tuple[Attempted, Payload], proxy_job: tuple[Attempted, Payload], lie: str
) -> None:
    for work, payload in (clip_job, proxy_job):
        refused(work, payload, MOTION_LIES[lie])


@pytest.mark.parametrize("lie", CLIP_LIES)
def test_wrong_clips_are_refused(clip_job: tuple[Attempted, Payload], lie: str) -> None:
    refused(*clip_job, CLIP_LIES[lie])


def test_another_video_of_the_same_size_and_length_is_refused(clip_job: tuple[Attempted, Payload], other: Path) -> None:
    refused(*clip_job, with_file(CLIP, lambda _: other.read_bytes()))


def test_what_is_said_beside_the_motions_is_not_believed(clip_job: tuple[Attempted, Payload], tmp_path: Path) -> None:
    work, payload = clip_job
    truth = work.variant.finish(payload, tmp_path).data
    for data in ({}, {"shake": "much"}, {"frames": -1, "shake": 99.0, "missing": 1e9}):
        finished = work.variant.finish(replace(payload, data=data), tmp_path)
        assert finished.data == truth


@pytest.fixture
def pack(tmp_path: Path) -> InputFile:
    import cv2

    jpeg = cv2.imencode(".jpg", np.zeros((32, 32, 3), np.uint8))[1].tobytes()
    return write_pack(tmp_path, [jpeg] * 3)


@pytest.mark.parametrize("rows", [np.zeros((3, 8)), np.eye(3, 8)[:2], np.full((3, 8), np.nan), np.eye(3, 8) * 2])
def test_wrong_vectors_are_refused(pack: InputFile, tmp_path: Path, rows: np.ndarray) -> None:
    task = Embed(pack=pack, count=3, weights=Weights(repository="a/b", revision="c"), effort=1.0)
    (tmp_path / VECTORS).write_bytes(rows.astype(np.float16).tobytes())
    work = Attempted("a" * 36, "key", task, task.variants()[0], tmp_path / "job", executor="liar")
    with pytest.raises(WrongResultError):
        _check(work, Payload(files={VECTORS: tmp_path / VECTORS}, data={"width": 8}))
    with pytest.raises(WrongResultError):
        _check(work, Payload(data={"width": 8}))


@pytest.mark.parametrize("captions", [None, [], ["a", "b"], [1, 2, 3], ["a" * 2000] * 3, {"a": 1}])
def test_wrong_captions_are_refused(pack: InputFile, tmp_path: Path, captions: object) -> None:
    task = Caption(pack=pack, count=3, weights=Weights(repository="a/b", revision="c"), effort=1.0)
    work = Attempted("a" * 36, "key", task, task.variants()[0], tmp_path / "job", executor="liar")
    with pytest.raises(WrongResultError):
        _check(work, Payload(data={"captions": captions}))


class Liar(FarExecutor):
    """Does the work, and answers with something else."""

    name = "liar"
    slots = 1

    def __init__(self, lie: Way) -> None:
        self._lie = lie

    async def connect(self) -> bool:
        return False

    async def set_up(self) -> None:
        pass

    async def examine(self) -> Machine | None:
        return None

    async def upload(self, work: Attempted, on_done: OnDone) -> int:
        return 0

    async def compute(self, work: Attempted, on_done: OnDone) -> float | None:
        began = anyio.current_time()
        there = work.folder / "there"
        shutil.copytree(work.folder, there, dirs_exist_ok=True)
        result = await anyio.to_thread.run_sync(run_job, JobDir(there))
        with tempfile.TemporaryDirectory() as folder:
            told = self._lie(JobDir(there).output_payload(result), Path(folder))
            shutil.rmtree(work.directory.outputs, ignore_errors=True)
            work.directory.outputs.mkdir()
            for name, path in told.files.items():
                shutil.copyfile(path, work.directory.outputs / name)
        result = result.model_copy(update={"outputs": work.directory.measure_outputs(), "data": dict(told.data)})
        return self.accept(work, result, began)

    async def download(self, work: Attempted, on_done: OnDone) -> int:
        work.directory.write_result(self.expected(work))
        return 0

    async def discard(self, work: Attempted) -> None:
        remove_attempt(work.folder)

    async def close(self) -> None:
        pass


@pytest.mark.parametrize("lie", ["a third of the frames", "too many bytes", "text"])
def test_the_work_is_done_elsewhere_and_the_liar_named(shaky: Path, tmp_path: Path, lie: str) -> None:
    told: list[Event] = []
    task = task_of(shaky)
    executors = [LocalExecutor(1), Liar(MOTION_LIES[lie])]
    with Offloader("liar", cache=tmp_path / "cache", executors=executors, emit=told.append) as offloader:
        found = offloader.submit(task).result()
    with Offloader("never", cache=tmp_path / "fresh") as offloader:
        true = offloader.submit(task).result()
    assert found.files[MOTIONS].read_bytes() == true.files[MOTIONS].read_bytes()
    assert found.data == true.data
    texts = [event.text for event in told if isinstance(event, Notice)]
    assert any("liar" in text and "cannot be right" in text for text in texts)
    with Offloader("never", cache=tmp_path / "cache") as offloader:
        known = offloader.known(task)
    assert known is not None
    assert known.data == true.data


def test_a_trial_that_does_not_follow_from_its_input_is_refused(tmp_path: Path) -> None:
    (tmp_path / "source.bin").write_bytes(b"abc")
    source = InputFile(path=tmp_path / "source.bin", sha256=sha256(tmp_path / "source.bin"))
    work, payload = computed(Trial(source=source, size=100_000), "only", tmp_path / "job")
    _check(work, payload)
    for content in (b"", bytes(100_000), payload.files[OUTPUT].read_bytes() + b"x"):
        refused(work, payload, with_file(OUTPUT, lambda _, content=content: content))
