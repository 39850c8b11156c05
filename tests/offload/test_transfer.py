"""Files arrive whole or not at all, whatever the line does; and what has arrived is not sent again."""

from __future__ import annotations

import errno
import os
import random
import tempfile
from pathlib import Path

import anyio
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from benchmarks.loopback.link import Link
from benchmarks.loopback.sshd import Sshd
from montage_ai.errors import DiskFullError, TaskError, UnreachableError, UnsuitedError
from montage_ai.media.files import sha256
from montage_ai.offload import transfer
from montage_ai.offload.transfer import Parcel, fetch, parts, send
from montage_ai.offload.transports.chaos import Chaos, Fault
from montage_ai.offload.transports.decorators import Recording
from montage_ai.offload.transports.local import LocalTransport
from montage_ai.offload.transports.transport import Transport
from tests.offload.conftest import run, ssh_transport

SMALL = 64 * 1024


@pytest.fixture(autouse=True)
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Parts of 64 KiB, so that small files have many."""
    import montage_ai.offload.transfer.fetching as fetching
    import montage_ai.offload.transfer.sending as sending

    big = str(parts.PART)
    for module in (parts, fetching, sending):
        monkeypatch.setattr(module, "PART", SMALL)
    monkeypatch.setattr(sending, "_APPEND", sending._APPEND.replace(big, str(SMALL)))
    monkeypatch.setattr(fetching, "_NOTED", 8192)
    monkeypatch.setattr(parts, "PAUSES", (0.0, 0.0, 0.0))


def parcel(folder: Path, size: int, name: str = "file") -> Parcel:
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / name
    path.write_bytes(os.urandom(size))
    return Parcel(path, sha256(path), size)


def there(far: Path, one: Parcel) -> Path:
    return far / transfer.BLOBS / one.sha256


def test_files_of_any_size_go_there_and_come_back(transport: Transport, far: Path, tmp_path: Path) -> None:
    sizes = [0, 1, SMALL - 1, SMALL, SMALL + 1, 5 * SMALL, 10 * SMALL + 17]

    async def there_and_back(one: Parcel) -> None:
        told = list[int]()
        assert await send(transport, [one], told.append) == one.size
        assert there(far, one).read_bytes() == one.path.read_bytes()
        assert told[-1:] in ([one.size], [])
        back = Parcel(tmp_path / "back", one.sha256, one.size)
        assert await fetch(transport, f"blobs/{one.sha256}", back) == one.size
        assert back.path.read_bytes() == one.path.read_bytes()
        assert not (tmp_path / "back.journal").exists()
        back.path.unlink()

    async def main() -> None:
        files = [parcel(tmp_path, size, str(size)) for size in sizes]
        for one in files:
            await there_and_back(one)
        assert await send(transport, files) == 0
        assert {path.name for path in (far / "blobs").iterdir()} == {one.sha256 for one in files}
        await transport.close()

    run(main)


def test_several_files_go_together_and_the_same_content_once(transport: Transport, far: Path, tmp_path: Path) -> None:
    files = [parcel(tmp_path, 3 * SMALL + n, f"{n}") for n in range(5)]
    twin = Parcel(tmp_path / "twin", files[0].sha256, files[0].size)
    twin.path.write_bytes(files[0].path.read_bytes())

    async def main() -> None:
        assert await send(transport, [*files, twin]) == sum(one.size for one in files)
        assert all(there(far, one).read_bytes() == one.path.read_bytes() for one in files)
        await transport.close()

    run(main)


@pytest.mark.parametrize("way", ["up", "down"])
def test_a_transfer_that_was_cut_at_nine_tenths_moves_at_most_a_part_again(
    ssh_server: Sshd, far: Path, tmp_path: Path, way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a reset of the connection, with all streams under way; then another program goes on."""
    size = 40 * SMALL
    one, back = parcel(tmp_path, size), Parcel(tmp_path / "back", "", size)
    back = Parcel(back.path, one.sha256, size)
    monkeypatch.setattr(parts, "PAUSES", ())

    async def main() -> None:
        if way == "down":
            await send(ssh_transport(ssh_server, far), [one])
        with Link(ssh_server.port, mbit=40) as link:
            (link.up if way == "up" else link.down).reset_after = int(0.9 * size)
            transport = ssh_transport(ssh_server, far, link.port)

            async def move() -> int:
                if way == "up":
                    return await send(transport, [one])
                return await fetch(transport, f"blobs/{one.sha256}", back)

            with pytest.raises(UnreachableError):
                await move()
            moved = await move()
            # What was in flight, in the line's and the systems' buffers, is lost too: far less than a real part.
            assert moved <= 0.1 * size + parts.TRIES * 16 * SMALL
            await transport.close()
        assert there(far, one).read_bytes() == one.path.read_bytes()
        assert way == "up" or back.path.read_bytes() == one.path.read_bytes()

    run(main)


FAULTS = st.builds(
    Fault,
    st.sampled_from(["refused", "reset", "truncated", "wrong bytes", "timeout after"]),
    st.integers(0, 2 * SMALL),
)


@settings(max_examples=30)
@given(st.integers(0, 6 * SMALL), st.dictionaries(st.integers(0, 25), FAULTS, max_size=3))
def test_whatever_the_line_does_the_file_is_right_or_there_is_an_error(size: int, faults: dict[int, Fault]) -> None:
    with tempfile.TemporaryDirectory() as name:
        folder, calls = Path(name), iter(range(10_000))
        one = parcel(folder, size)
        back = Parcel(folder / "back", one.sha256, size)
        transport = Chaos(LocalTransport(folder / "far"), lambda what, about: faults.get(next(calls)))

        async def main() -> None:
            await send(transport, [one])
            assert there(folder / "far", one).read_bytes() == one.path.read_bytes()
            await fetch(transport, f"blobs/{one.sha256}", back)
            assert back.path.read_bytes() == one.path.read_bytes()

        run(main)


def test_bytes_that_are_always_wrong_are_an_error_that_says_so(far: Path, tmp_path: Path) -> None:
    spoiling = Chaos(LocalTransport(far), lambda what, about: Fault("wrong bytes", 5) if what != "run" else None)
    one = parcel(tmp_path, 3 * SMALL)

    async def main() -> None:
        with pytest.raises(UnreachableError, match="other bytes"):
            await send(spoiling, [one])
        assert not there(far, one).exists()
        await send(LocalTransport(far), [one])
        with pytest.raises(UnreachableError, match="other bytes"):
            await fetch(spoiling, f"blobs/{one.sha256}", Parcel(tmp_path / "back", one.sha256, one.size))

    run(main)


def test_only_wrong_parts_are_moved_again(far: Path, tmp_path: Path) -> None:
    one = parcel(tmp_path, 20 * SMALL)
    faults = iter([Fault("wrong bytes", 9)])

    def once(what: str, about: str) -> Fault | None:
        return next(faults, None) if what == "get" else None

    async def main() -> None:
        await send(LocalTransport(far), [one])
        moved = await fetch(
            Chaos(LocalTransport(far), once), f"blobs/{one.sha256}", Parcel(tmp_path / "back", one.sha256, one.size)
        )
        assert moved == one.size + SMALL

    run(main)


def test_a_full_disk_there_is_told_as_that(far: Path, tmp_path: Path) -> None:
    full = Chaos(LocalTransport(far), lambda what, about: Fault("full", 100) if what == "put" else None)

    async def main() -> None:
        with pytest.raises(UnsuitedError, match="full"):
            await send(full, [parcel(tmp_path, 5 * SMALL)])

    run(main)


def test_a_full_disk_here_is_told_as_that(far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import montage_ai.offload.transfer.fetching as fetching

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    async def main() -> None:
        one = parcel(tmp_path, SMALL)
        await send(LocalTransport(far), [one])
        monkeypatch.setattr(fetching._Journal, "note", full)
        with pytest.raises(DiskFullError):
            await fetch(LocalTransport(far), f"blobs/{one.sha256}", Parcel(tmp_path / "back", one.sha256, one.size))

    run(main)


def test_a_source_that_shrinks_meanwhile_is_an_error(far: Path, tmp_path: Path) -> None:
    one = parcel(tmp_path, 3 * SMALL)
    one.path.write_bytes(b"short")

    async def main() -> None:
        with pytest.raises(TaskError, match="shorter"):
            await send(LocalTransport(far), [one])

    run(main)


def test_an_append_that_was_interrupted_is_repaired(far: Path, tmp_path: Path) -> None:
    one = parcel(tmp_path, 5 * SMALL + 5)
    content = one.path.read_bytes()
    folder = far / "blobs" / f"{one.sha256}.parts"
    folder.mkdir(parents=True)
    (folder / "joined").write_bytes(content[: 2 * SMALL + 777])  # the third part was being appended
    (folder / "2").write_bytes(content[2 * SMALL : 3 * SMALL])
    (folder / "3.new").write_bytes(content[3 * SMALL : 3 * SMALL + 100])

    async def main() -> None:
        recording = Recording(LocalTransport(far))
        assert await send(recording, [one]) == 2 * SMALL + 5 - 100
        assert there(far, one).read_bytes() == content

    run(main)


def test_progress_is_told_and_never_more_than_all(far: Path, tmp_path: Path) -> None:
    one, told, rng = parcel(tmp_path, 30 * SMALL), list[int](), random.Random(1)
    faults = {rng.randrange(20): Fault("reset", rng.randrange(SMALL)) for _ in range(2)}
    calls = iter(range(10_000))

    async def main() -> None:
        await send(Chaos(LocalTransport(far), lambda *_: faults.get(next(calls))), [one], told.append)
        assert max(told) == told[-1] == one.size
        assert min(told) >= 0

    run(main)


def test_two_programs_may_send_the_same_file_at_once(far: Path, tmp_path: Path) -> None:
    one = parcel(tmp_path, 40 * SMALL)

    async def main() -> None:
        async with anyio.create_task_group() as tasks:
            for _ in range(2):
                tasks.start_soon(send, LocalTransport(far), [one])
        assert there(far, one).read_bytes() == one.path.read_bytes()

    run(main)
