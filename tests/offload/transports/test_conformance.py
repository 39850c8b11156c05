"""What every transport must do; each runs against its real server."""

from __future__ import annotations

import contextlib
import os
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import anyio
import pytest

from montage_ai.errors import MontageError, UnreachableError, UnsuitedError
from montage_ai.offload.transports.decorators import Recording, Retrying, Throttled
from montage_ai.offload.transports.transport import BLOCK, LONGEST_ANSWER, Stream, Transport
from tests.offload.conftest import TRANSPORTS, make_transport, run

DECORATORS = (Retrying, Throttled, Recording)


def stream(*blocks: bytes) -> Stream:
    async def blocks_again() -> AsyncIterator[bytes]:
        for block in blocks:
            yield block

    return blocks_again


async def read(transport: Transport, path: str, offset: int = 0, size: int = 1 << 30) -> bytes:
    return b"".join([block async for block in transport.get(path, offset, size)])


EACH = [*((kind, None) for kind in TRANSPORTS), *(("local", one) for one in DECORATORS)]


@pytest.fixture(params=EACH, ids=lambda one: one[1].__name__ if one[1] else one[0])
def any_transport(request: pytest.FixtureRequest, tmp_path: Path) -> Transport:
    """Each as it is, and the decorators around the quickest."""
    kind, decorator = request.param
    transport = make_transport(kind, request, tmp_path / "far")
    return decorator(transport) if decorator else transport  # type: ignore[no-any-return]


class TestRunning:
    def test_a_script_runs_in_the_folder_and_its_code_and_words_come_back(
        self, any_transport: Transport, far: Path
    ) -> None:
        async def main() -> None:
            done = await any_transport.run("pwd; echo 'two words'; echo wrong >&2; exit 3")
            assert done.code == 3
            assert done.out.splitlines() == [str(far.resolve()), "two words"]
            assert done.err.strip() in ("wrong", "")
            await any_transport.close()

        run(main)

    def test_a_script_finds_nothing_to_read(self, any_transport: Transport) -> None:
        async def main() -> None:
            for reader in ("cat", "read x; echo $x", "python3 -c 'input()' 2>/dev/null; true"):
                done = await any_transport.run(f"{reader}; echo end")
                assert done.out.strip() == "end", reader

        run(main)

    def test_odd_text_comes_back_as_it_is(self, any_transport: Transport) -> None:
        text = "ünï ☃ 'quote' \"double\" $HOME `x` \\ back\n\n  \ttab\r\nlast"

        async def main() -> None:
            quoted = "'" + text.replace("'", "'\\''") + "'"
            assert (await any_transport.run(f"printf %s {quoted}")).out == text

        run(main)

    def test_scripts_that_run_at_once_do_not_mix(self, any_transport: Transport) -> None:
        async def main() -> None:
            answers: dict[int, str] = {}

            async def ask(number: int) -> None:
                answers[number] = (await any_transport.run(f"sleep 0.0{number % 5}; echo {number}")).out

            async with anyio.create_task_group() as tasks:
                for number in range(20):
                    tasks.start_soon(ask, number)
            assert answers == {number: f"{number}\n" for number in range(20)}

        run(main)

    def test_one_that_takes_too_long_is_unreachable_and_the_next_works(self, any_transport: Transport) -> None:
        transport = Retrying(any_transport.inner, pauses=()) if isinstance(any_transport, Retrying) else any_transport

        async def main() -> None:
            with pytest.raises(UnreachableError):
                await transport.run("sleep 30", timeout=0.5)
            assert (await transport.run("echo next")).out == "next\n"

        run(main)


class TestMoving:
    def test_bytes_arrive_as_they_were_sent(self, any_transport: Transport, far: Path) -> None:
        content = os.urandom(3_000_000) + bytes(range(256)) * 10

        async def main() -> None:
            await any_transport.run("mkdir -p deep")
            await any_transport.put(stream(content[:1_000_000], content[1_000_000:]), "deep/file")
            assert (far / "deep" / "file").read_bytes() == content
            assert await read(any_transport, "deep/file") == content

        run(main)

    def test_a_file_is_written_again_from_an_offset(self, any_transport: Transport, far: Path) -> None:
        async def main() -> None:
            await any_transport.run("true")
            await any_transport.put(stream(b"0123456789"), "file")
            await any_transport.put(stream(b"abc"), "file", 4)
            assert (far / "file").read_bytes() == b"0123abc"
            await any_transport.put(stream(), "file")
            assert (far / "file").read_bytes() == b""

        run(main)

    def test_any_part_can_be_read(self, any_transport: Transport) -> None:
        content = os.urandom(600_000)

        async def main() -> None:
            await any_transport.run("true")
            await any_transport.put(stream(content), "file")
            for offset, size in ((0, 10), (7, 100), (250_000, 300_000), (599_999, 50), (600_000, 5), (0, 0)):
                part = await read(any_transport, "file", offset, size)
                assert part == content[offset : offset + size], (offset, size)

        run(main)

    def test_a_file_that_is_not_there_is_told(self, any_transport: Transport) -> None:
        transport = Retrying(any_transport.inner, pauses=()) if isinstance(any_transport, Retrying) else any_transport

        async def main() -> None:
            await transport.run("true")
            with pytest.raises(MontageError, match="nothing"):
                await read(transport, "nothing")
            with pytest.raises(UnreachableError, match="nowhere"):  # its folder may have gone with the machine's life
                await transport.put(stream(b"x"), "nowhere/file")

        run(main)

    def test_several_files_move_at_once(self, any_transport: Transport) -> None:
        contents = {f"file{n}": os.urandom(400_000) for n in range(8)}

        async def main() -> None:
            await any_transport.run("true")
            found: dict[str, bytes] = {}

            async def there_and_back(name: str) -> None:
                await any_transport.put(stream(contents[name]), name)
                found[name] = await read(any_transport, name)

            async with anyio.create_task_group() as tasks:
                for name in contents:
                    tasks.start_soon(there_and_back, name)
            assert found == contents

        run(main)


def test_what_does_not_stop_talking_is_not_listened_to(any_transport: Transport) -> None:
    async def main() -> None:
        with pytest.raises(UnreachableError):
            await any_transport.run(f"yes | head -c {5 * LONGEST_ANSWER}")
        assert (await any_transport.run("echo well")).out.strip() == "well"
        await any_transport.close()

    run(main)


def test_a_full_disk_there_is_told_as_that(any_transport: Transport, far: Path) -> None:
    """And not as a machine that does not answer, which would be tried again and again."""

    async def main() -> None:
        await any_transport.run("mkdir -p full")
        with small_disk(far / "full"):
            with pytest.raises(UnsuitedError, match="disk"):
                await any_transport.put(stream(*[os.urandom(BLOCK)] * 40), "full/part")
            await any_transport.close()  # nothing may be open below when it is taken down

    run(main)


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A disk of 1 MB in ``folder``, where the system lets us."""
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1m", "none", folder], capture_output=True, check=False
    )
    if mounted.returncode != 0:
        pytest.skip("a disk that is full needs the right to mount one")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", folder], check=True)


def test_after_closing_a_call_connects_again(any_transport: Transport) -> None:
    async def main() -> None:
        for _ in range(2):
            assert (await any_transport.run("echo hello")).out == "hello\n"
            await any_transport.close()

    run(main)
