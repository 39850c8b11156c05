"""Outputs appear whole or not at all."""

from __future__ import annotations

import hashlib
import sys
import tempfile
import threading
from contextlib import nullcontext
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from montage_ai.errors import DiskFullError, UserError
from montage_ai.media.files import publishing, sha256, write_atomically


@settings(max_examples=20)
@given(st.binary(max_size=3000))
def test_the_digest_is_the_sha256_of_the_bytes(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        assert sha256(path) == hashlib.sha256(content).hexdigest()


class Odd(BaseException):
    pass


@settings(max_examples=40)
@given(
    error=st.sampled_from([None, ValueError, KeyboardInterrupt, Odd]),
    before=st.none() | st.binary(max_size=9),
    written=st.lists(st.binary(max_size=9), max_size=3),
)
def test_publishing_is_all_or_nothing_and_leaves_nothing_behind(
    error: type[BaseException] | None, before: bytes | None, written: list[bytes]
) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "film.mp4"
        if before is not None:
            path.write_bytes(before)
        with pytest.raises(error) if error else nullcontext(), publishing(path) as draft:
            with draft.open("wb") as file:
                file.writelines(written)
            assert (path.read_bytes() if path.exists() else None) == before
            if error:
                raise error
        after = before if error else b"".join(written)
        assert {p.name: p.read_bytes() for p in folder.iterdir()} == ({} if after is None else {path.name: after})


def test_a_draft_has_the_suffix_that_tells_ffmpeg_the_format(tmp_path: Path) -> None:
    with publishing(tmp_path / "a.mp4") as draft:
        assert (draft.suffix, draft.parent) == (".mp4", tmp_path)
        draft.touch()


def test_two_who_publish_at_once_do_not_meet(tmp_path: Path) -> None:
    with publishing(tmp_path / "a") as one, publishing(tmp_path / "a") as two:
        one.write_text("one")
        two.write_text("two")
    assert [p.read_text() for p in tmp_path.iterdir()] == ["one"]  # the outer block ends last


@pytest.mark.parametrize("where", ["missing/a.txt", "file/a.txt", "folder"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, where: str) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="cannot be written") as caught:
        write_atomically(tmp_path / where, "text")
    assert caught.value.file == str(tmp_path / where)
    assert sorted(p.name for p in tmp_path.rglob("*")) == ["file", "folder"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_a_full_disk_is_told_as_such(tmp_path: Path) -> None:
    with pytest.raises(DiskFullError) as caught, publishing(tmp_path / "a.txt"):
        Path("/dev/full").write_text("text")
    assert caught.value.file == str(tmp_path / "a.txt")


def test_a_missing_input_is_not_blamed_on_the_output(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError), publishing(tmp_path / "out.txt") as draft:
        draft.write_bytes((tmp_path / "input.txt").read_bytes())


@pytest.mark.skipif(sys.platform == "win32", reason="Windows refuses to replace what is being read")
def test_readers_see_the_old_text_or_the_new_never_a_part(tmp_path: Path) -> None:
    path = tmp_path / "status.json"
    texts = {"a" * 100_000, "b" * 90_000}
    write_atomically(path, "a" * 100_000)
    done = threading.Event()

    def write() -> None:
        for _ in range(40):
            for text in texts:
                write_atomically(path, text)
        done.set()

    thread = threading.Thread(target=write)
    thread.start()
    while not done.is_set():
        assert path.read_text() in texts
    thread.join()


def test_text_is_the_same_bytes_on_every_system(tmp_path: Path) -> None:
    write_atomically(tmp_path / "a", "ä\n")
    assert (tmp_path / "a").read_bytes() == "ä\n".encode()
