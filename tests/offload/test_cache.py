"""Results are remembered whole and verified; the least recently used go first."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from montage_ai.errors import MontageError
from montage_ai.offload.cache import ResultCache, in_use, prune
from montage_ai.tasks.task import Payload


@pytest.fixture
def cache(tmp_path: Path) -> ResultCache:
    return ResultCache(tmp_path / "results")


def made(folder: Path, content: bytes = b"content", name: str = "out.bin") -> Payload:
    folder.mkdir(exist_ok=True)
    path = folder / name
    path.write_bytes(content)
    return Payload(files={name: path}, data={"frames": 3})


def test_what_is_kept_is_found(cache: ResultCache, tmp_path: Path) -> None:
    assert cache.find("key") is None
    kept = cache.keep("key", made(tmp_path / "job"))
    shutil.rmtree(tmp_path / "job")
    assert cache.find("key") == kept
    assert kept.files["out.bin"].read_bytes() == b"content"
    assert kept.data == {"frames": 3}
    assert cache.find("another") is None


def contents(kept: Payload | None) -> dict[str, bytes]:
    return {name: path.read_bytes() for name, path in kept.files.items()} if kept else {}


def test_a_good_result_stays_when_another_is_kept(cache: ResultCache, tmp_path: Path) -> None:
    cache.keep("key", made(tmp_path / "one", b"one", "one.bin"))
    kept = cache.keep("key", made(tmp_path / "two", b"two", "two.bin"))
    assert contents(kept) == contents(cache.find("key")) == {"one.bin": b"one"}
    assert [p.name for p in cache.folder.iterdir()] == ["key"]


@pytest.mark.parametrize("damaged", ["result.json", "outputs/one.bin"])
def test_a_damaged_result_makes_room_for_another(cache: ResultCache, tmp_path: Path, damaged: str) -> None:
    cache.keep("key", made(tmp_path / "one", b"one", "one.bin"))
    (cache.folder / "key" / damaged).write_text("damaged")
    kept = cache.keep("key", made(tmp_path / "two", b"two", "two.bin"))
    assert contents(kept) == contents(cache.find("key")) == {"two.bin": b"two"}
    assert [p.name for p in cache.folder.iterdir()] == ["key"]


@pytest.mark.parametrize("content", [b"tampered", b"", None])
def test_a_result_that_was_touched_is_not_found(cache: ResultCache, tmp_path: Path, content: bytes | None) -> None:
    path = cache.keep("key", made(tmp_path / "job")).files["out.bin"]
    path.unlink() if content is None else path.write_bytes(content)
    assert cache.find("key") is None


@pytest.mark.parametrize("content", ["", "{", '{"unknown": 1}'])
def test_an_entry_that_cannot_be_read_is_not_found(cache: ResultCache, tmp_path: Path, content: str) -> None:
    cache.keep("key", made(tmp_path / "job"))
    (cache.folder / "key" / "result.json").write_text(content)
    assert cache.find("key") is None


def test_what_could_not_be_kept_leaves_nothing_behind(cache: ResultCache, tmp_path: Path) -> None:
    outputs = made(tmp_path / "job")
    outputs.files["out.bin"].unlink()
    with pytest.raises(FileNotFoundError):
        cache.keep("key", outputs)
    assert list(cache.folder.iterdir()) == []


def test_several_may_keep_the_same_result_at_once(cache: ResultCache, tmp_path: Path) -> None:
    outputs = made(tmp_path / "job")
    errors: list[Exception] = []

    def keep() -> None:
        try:
            for _ in range(100):
                cache.keep("key", outputs)
        except (MontageError, OSError) as error:
            errors.append(error)

    threads = [threading.Thread(target=keep) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


SIZES = st.lists(st.tuples(st.integers(0, 400), st.booleans()), max_size=8)


@settings(max_examples=40)
@given(entries=SIZES, limit=st.integers(0, 1500))
def test_pruning_keeps_as_many_of_the_latest_as_the_limit_allows(entries: list[tuple[int, bool]], limit: int) -> None:
    with tempfile.TemporaryDirectory() as name:
        folders = [Path(name) / "a", Path(name) / "b", Path(name) / "missing"]
        for folder in folders[:2]:
            folder.mkdir()
        paths = []
        for age, (size, is_folder) in enumerate(entries):
            path = folders[age % 2] / str(age)
            if is_folder:
                (path / "outputs").mkdir(parents=True)
                (path / "outputs" / "file").write_bytes(b"x" * size)
            else:
                path.write_bytes(b"x" * size)
            os.utime(path, (1e9 + age, 1e9 + age))
            paths.append(path)
        freed = prune(Path(name), folders, limit)
        left = [path.exists() for path in paths]
        sizes = [size for size, _ in entries]
        assert sum(size for size, there in zip(sizes, left, strict=True) if there) <= limit
        assert freed == sum(size for size, there in zip(sizes, left, strict=True) if not there)
        assert left == sorted(left)  # what is gone is older than all that is left
        gone = left.count(False)
        assert gone == 0 or sum(sizes[gone - 1 :]) > limit  # and not one more than had to


def test_a_result_that_was_used_is_recent(cache: ResultCache, tmp_path: Path) -> None:
    for age, key in enumerate(("one", "two", "three")):
        cache.keep(key, made(tmp_path / "job", os.urandom(5000)))
        os.utime(cache.folder / key, (1e9 + age, 1e9 + age))
    assert cache.find("one") is not None
    prune(tmp_path, [cache.folder], 12_000)
    assert sorted(p.name for p in cache.folder.iterdir()) == ["one", "three"]


def put(path: Path, used: float, size: int = 1000) -> Path:
    path.write_bytes(b"x" * size)
    os.utime(path, (used, used))
    return path


def test_what_a_running_program_uses_stays(tmp_path: Path) -> None:
    old, used = put(tmp_path / "old", 1e9), put(tmp_path / "used", 1e9)
    (tmp_path / "cache").mkdir()
    with in_use(tmp_path / "cache"):
        used.touch()
        assert prune(tmp_path / "cache", [tmp_path], 0) == 1000
        assert (used.exists(), old.exists()) == (True, False)
    prune(tmp_path / "cache", [tmp_path], 0)
    assert not used.exists()


def test_a_program_that_was_killed_holds_nothing_back(tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    code = "import os, sys; from pathlib import Path; from montage_ai.offload.cache import in_use\n"
    code += "with in_use(Path(sys.argv[1])): os.kill(os.getpid(), 9)"
    subprocess.run([sys.executable, "-c", code, str(cache)], check=False)
    folder = tmp_path / "entries"
    folder.mkdir()
    entry = put(folder / "entry", time.time() + 5)
    prune(cache, [folder], 0)
    assert not entry.exists()
    assert list((cache / "runs").iterdir()) == []


def test_drafts_in_flight_stay_and_abandoned_ones_go(tmp_path: Path) -> None:
    fresh, abandoned = put(tmp_path / ".a.part.mp4", time.time()), put(tmp_path / ".b.part.mp4", time.time() - 90_000)
    prune(tmp_path / "cache", [tmp_path], 10**9)
    assert (fresh.exists(), abandoned.exists()) == (True, False)


def test_entries_may_vanish_meanwhile(tmp_path: Path) -> None:
    """Another program renames its drafts and removes its own entries all the time."""
    stop = threading.Event()

    def churn() -> None:
        while not stop.is_set():
            draft = put(tmp_path / ".x.part", time.time(), 10)
            draft.replace(tmp_path / "x")
            (tmp_path / "x").unlink(missing_ok=True)

    with ThreadPoolExecutor() as pool:
        run = pool.submit(churn)
        for _ in range(300):
            prune(tmp_path / "cache", [tmp_path], 0)
        stop.set()
        run.result()
