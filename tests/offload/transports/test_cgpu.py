"""Colab: each hazard of the real client survived, its login kept, and the faster road left and taken again."""

from __future__ import annotations

import json
import os
import sys
import time
from pathlib import Path

import anyio
import pytest

from benchmarks.loopback.cgpu import Cgpu
from benchmarks.loopback.colab import Colab
from montage_ai import config
from montage_ai.errors import AccessDeniedError, UnreachableError, UnsuitedError
from montage_ai.offload.transports.cgpu.command_line import CommandLineTransport
from montage_ai.offload.transports.cgpu.framing import SLICE
from montage_ai.offload.transports.cgpu.transport import CgpuTransport
from montage_ai.offload.transports.decorators import Retrying
from tests.offload.conftest import command_line, run
from tests.offload.transports.test_conformance import read, stream


@pytest.fixture
def commands(cgpu_double: Cgpu, far: Path) -> CommandLineTransport:
    return command_line(far)


class TestOutput:
    @pytest.mark.parametrize("length", [10, 60_000])
    def test_it_is_exact_with_every_hazard_on(self, commands: CommandLineTransport, length: int) -> None:
        """Also of a script that is too long to be typed."""
        text = "\r\n\n\x1b[31mexit\nlogout\nPS1=\n/# half" + os.urandom(length).hex()

        async def main() -> None:
            done = await commands.run(f"printf '%s' '{text}'; printf '%s' '{text}x' >&2; exit 7")
            assert (done.code, done.out, done.err) == (7, text, f"{text}x")

        run(main)

    def test_a_part_of_many_slices_arrives_as_it_is(self, commands: CommandLineTransport, far: Path) -> None:
        """The shell there ignores a broken pipe, as terminals of Jupyter do, so that tools complain of it."""
        far.mkdir()
        content = os.urandom(3 * SLICE)
        (far / "large.bin").write_bytes(content)

        async def main() -> None:
            assert await read(commands, "large.bin", 1000, 2 * SLICE) == content[1000 : 1000 + 2 * SLICE]

        run(main)

    def test_a_script_may_end_its_shell_in_any_way(self, commands: CommandLineTransport) -> None:
        async def main() -> None:
            assert (await commands.run("set -e; false; echo not here")).code == 1
            assert (await commands.run("kill -9 $$")).code == 137

        run(main)


class TestCalls:
    def test_the_first_is_alone_so_that_there_is_one_runtime(self, cgpu_double: Cgpu, far: Path) -> None:
        cgpu_double.set(cold=0.5)

        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                for transport in (command_line(far), command_line(far)):  # as in two programs
                    for _ in range(4):
                        tasks.start_soon(transport.run, "true")

        run(main)
        assert cgpu_double.runtimes == 1

    def test_at_most_four_run_at_once(self, cgpu_double: Cgpu, commands: CommandLineTransport) -> None:
        async def main() -> None:
            async with anyio.create_task_group() as tasks:
                for _ in range(12):
                    tasks.start_soon(commands.run, "sleep 0.2")

        run(main)
        calls = cgpu_double.calls
        assert max(sum(one["began"] <= at["began"] < one["ended"] for one in calls) for at in calls) <= 4

    def test_one_that_hangs_is_ended(
        self, cgpu_double: Cgpu, commands: CommandLineTransport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import montage_ai.offload.transports.cgpu.command_line as module

        monkeypatch.setattr(module, "_MARGIN", 0.5)

        async def main() -> None:
            await commands.run("true")
            cgpu_double.set(hang={"times": 1, "value": True})
            with pytest.raises(UnreachableError):
                await commands.run("true", timeout=0.5)
            assert (await commands.run("echo again")).out == "again\n"

        run(main)

    def test_a_dead_colab_is_waited_for_once(
        self, cgpu_double: Cgpu, commands: CommandLineTransport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        import montage_ai.offload.transports.cgpu.client as module

        monkeypatch.setattr(module, "_STARTING", 1.5)
        cgpu_double.set(hang=True)
        starts = list[object]()
        monkeypatch.setattr(
            module, "_process", lambda *given, real=module._process: starts.append(given) or real(*given)
        )
        with pytest.raises(UnreachableError):
            run(lambda: Retrying(commands, (0.0, 0.0)).run("true"))
        assert len(starts) == 1

    def test_a_connection_that_breaks_is_no_exit_code(self, cgpu_double: Cgpu, commands: CommandLineTransport) -> None:
        async def main() -> None:
            await commands.run("true")
            cgpu_double.set(lost=True)
            with pytest.raises(UnreachableError):
                await commands.run("sleep 2")

        run(main)

    def test_without_capacity_it_is_said(self, cgpu_double: Cgpu, commands: CommandLineTransport) -> None:
        cgpu_double.set(capacity=True)
        with pytest.raises(UnreachableError, match="no machine now"):
            run(lambda: commands.run("true"))

    def test_without_the_program_it_is_said(self, commands: CommandLineTransport) -> None:
        commands.client._program = "no-such-cgpu"
        with pytest.raises(UnsuitedError, match="npm install"):
            run(lambda: commands.run("true"))


class TestLogin:
    @pytest.mark.parametrize("answer", [500, "dropped"])
    def test_it_is_put_back_when_cgpu_lost_it_to_a_fault(
        self, cgpu_double: Cgpu, commands: CommandLineTransport, answer: object
    ) -> None:
        before = cgpu_double.session.read_text()
        cgpu_double.set(refresh={"times": 1, "value": answer})

        async def main() -> None:
            with pytest.raises(UnreachableError):
                await commands.run("true")
            assert (await commands.run("echo well")).out == "well\n"

        run(main)
        assert cgpu_double.session.read_text() == before

    def test_it_is_not_put_back_when_it_has_lapsed(self, cgpu_double: Cgpu, commands: CommandLineTransport) -> None:
        cgpu_double.set(refresh=400)
        began = time.monotonic()
        for _ in range(2):
            with pytest.raises(AccessDeniedError, match="cgpu connect"):
                run(lambda: commands.run("true"))
        assert not cgpu_double.session.exists()
        assert time.monotonic() - began < 60  # nobody waited for the browser that cgpu waits for

    def test_a_newer_login_stays(self, cgpu_double: Cgpu, commands: CommandLineTransport) -> None:
        run(lambda: commands.run("true"))
        cgpu_double.log_in("newer")
        assert commands.client.login.restore()
        assert json.loads(cgpu_double.session.read_text())["refreshToken"] == "newer"

    def test_one_that_its_owner_ended_stays_ended(self, cgpu_double: Cgpu, commands: CommandLineTransport) -> None:
        run(lambda: commands.run("true"))
        cgpu_double.session.unlink()
        with pytest.raises(AccessDeniedError, match="cgpu connect"):
            run(lambda: commands.run("true"))
        assert not cgpu_double.session.exists()

    def test_only_its_owner_can_read_our_copy(self, commands: CommandLineTransport) -> None:
        run(lambda: commands.run("true"))
        copy = config.data_dir() / "cgpu" / "session.json"
        assert copy.stat().st_mode & 0o077 == 0


class TestFasterRoad:
    def test_it_is_taken_with_one_call_of_cgpu_at_most(
        self, cgpu_double: Cgpu, colab: Colab, both_roads: CgpuTransport
    ) -> None:
        colab.assigned = False  # there is no machine yet

        async def main() -> None:
            await both_roads.run("echo hello")
            await both_roads.put(stream(b"content"), "file")
            assert await read(both_roads, "file") == b"content"
            await both_roads.close()

        run(main)
        assert [call["arguments"] for call in cgpu_double.calls] == [["run", "--", "true"]]
        assert "/tun/m/m-s-abc/keep-alive/" in colab.asked

    def test_a_token_that_died_is_renewed(self, cgpu_double: Cgpu, colab: Colab, both_roads: CgpuTransport) -> None:
        async def main() -> None:
            await both_roads.run("echo content > file")
            for token in colab.tokens:
                colab.tokens[token] = 0.0
            assert await read(both_roads, "file") == b"content\n"
            await both_roads.close()

        run(main)
        assert cgpu_double.calls == []

    def test_where_it_is_closed_the_slower_one_is_taken_and_that_is_said(
        self, cgpu_double: Cgpu, colab: Colab, both_roads: CgpuTransport
    ) -> None:
        said = list[str]()
        both_roads._notice = said.append

        async def main() -> None:
            await both_roads.run("true")
            await both_roads.put(stream(b"content"), "file")
            colab.is_open = False
            assert await read(both_roads, "file") == b"content"
            assert (await both_roads.run("cat file")).out == "content"
            await both_roads.close()

        run(main)
        assert len(said) == 1
        assert "slower" in said[0]

    def test_without_its_packages_the_slower_one_is_taken(
        self, both_roads: CgpuTransport, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setitem(sys.modules, "websockets", None)
        said = list[str]()
        both_roads._notice = said.append
        assert run(lambda: both_roads.run("echo hello")).out == "hello\n"
        assert "pip install" in said[0]

    def test_what_is_not_there_does_not_close_it(self, cgpu_double: Cgpu, both_roads: CgpuTransport) -> None:
        async def main() -> None:
            await both_roads.run("true")
            with pytest.raises(UnreachableError):
                await read(both_roads, "nothing")
            await both_roads.run("true")
            await both_roads.close()

        run(main)
        assert cgpu_double.calls == []
