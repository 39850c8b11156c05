"""SSH as people have it: hosts of their configuration, keys, proxies, chatty logins, and lines that break."""

from __future__ import annotations

import os
import socket
import sys
from pathlib import Path

import asyncssh
import pytest

from benchmarks.loopback.link import Link
from benchmarks.loopback.sshd import Sshd, sshd, sshd_path
from montage_ai.errors import AccessDeniedError, UnreachableError
from montage_ai.offload.kinds import SshSettings
from montage_ai.offload.remote.executor import RemoteExecutor
from montage_ai.offload.transports.decorators import Retrying
from montage_ai.offload.transports.ssh import SshAddress, SshTransport
from montage_ai.tasks.task import InputFile
from montage_ai.tasks.trial import Trial
from tests.offload.conftest import attempted, run, ssh_transport
from tests.offload.executors.test_conformance import check, opened, through
from tests.offload.transports.test_conformance import read, stream


def test_the_run_says_which_server_it_is(ssh_server: Sshd) -> None:
    if ssh_server.kind != "OpenSSH":
        pytest.skip("OpenSSH's server is not installed: the SSH tests ran against asyncssh's own")


def test_a_key_that_is_not_known_there_is_refused(ssh_server: Sshd, tmp_path: Path) -> None:
    key = tmp_path / "other"
    asyncssh.generate_private_key("ssh-ed25519").write_private_key(key)
    address = SshAddress("127.0.0.1", ssh_server.user, ssh_server.port, str(key), str(ssh_server.known_hosts))

    async def main() -> None:
        with pytest.raises(AccessDeniedError, match="does not let us in") as caught:
            await SshTransport(address, "x").run("true")
        assert caught.value.hint

    run(main)


def test_a_host_that_is_not_known_here_is_refused(ssh_server: Sshd, tmp_path: Path) -> None:
    (tmp_path / "known_hosts").write_text("")
    address = SshAddress(
        "127.0.0.1", ssh_server.user, ssh_server.port, str(ssh_server.key), str(tmp_path / "known_hosts")
    )

    async def main() -> None:
        with pytest.raises(AccessDeniedError, match="not a known host"):
            await SshTransport(address, "x").run("true")

    run(main)


def test_a_host_whose_key_has_changed_is_refused_and_that_is_told(ssh_server: Sshd, tmp_path: Path) -> None:
    other = asyncssh.generate_private_key("ssh-ed25519").export_public_key().decode().split()[:2]
    known = tmp_path / "known_hosts"
    known.write_text(f"[127.0.0.1]:{ssh_server.port} {' '.join(other)}\n")
    address = SshAddress("127.0.0.1", ssh_server.user, ssh_server.port, str(ssh_server.key), str(known))

    async def main() -> None:
        with pytest.raises(AccessDeniedError, match="another host key") as caught:
            await SshTransport(address, "x").run("true")
        assert "ssh-keygen -R 127.0.0.1" in (caught.value.hint or "")

    run(main)


@pytest.mark.skipif(sshd_path() is None, reason="needs OpenSSH's server")
@pytest.mark.parametrize("sessions", [1, 2])
def test_a_server_that_allows_few_sessions_does_the_job(
    sessions: int, tmp_path: Path, payload: InputFile, far: Path
) -> None:
    task = Trial(source=payload, size=3_000_000)
    work = attempted(task, tmp_path / "attempt")

    async def main() -> None:
        executor = RemoteExecutor("box", Retrying(ssh_transport(server, far)), python=sys.executable)
        await opened(executor)
        await through(executor, work)
        check(work, task)
        await executor.discard(work)
        await executor.close()

    with sshd(tmp_path / "server", sessions=sessions) as server:
        run(main)


def test_a_port_where_nobody_listens_is_unreachable(ssh_server: Sshd, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = int(free.getsockname()[1])

    async def main() -> None:
        with pytest.raises(UnreachableError, match="cannot be reached"):
            await ssh_transport(ssh_server, tmp_path, port).run("true")

    run(main)


def relay(folder: Path) -> Path:
    """A program that speaks to a port of this machine, as proxy commands do."""
    path = folder / "relay.py"
    path.write_text(
        "import os, socket, sys, threading\n"
        "server = socket.create_connection(('127.0.0.1', int(sys.argv[1])))\n"
        "if len(sys.argv) > 2:\n"
        "    print('a warning', file=sys.stderr, flush=True)\n"
        "def up():\n"
        "    while block := os.read(0, 65536):\n"
        "        server.sendall(block)\n"
        "threading.Thread(target=up, daemon=True).start()\n"
        "while block := server.recv(65536):\n"
        "    os.write(1, block)\n"
    )
    return path


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_hosts_and_proxy_commands_of_the_users_configuration_are_used(
    encoding: str, ssh_server: Sshd, far: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also with comments behind settings, and bytes that are no UTF-8: OpenSSH takes both."""
    home = tmp_path / "me"
    (home / ".ssh").mkdir(parents=True)
    (home / ".ssh" / "config").write_text(
        f"# im B\u00fcro\nHost studio  # the one below\n  HostName 127.0.0.1 # or its name\n  HostKeyAlias 127.0.0.1\n"
        f"  User {ssh_server.user}\n"
        f'  IdentityFile "{ssh_server.key}"\t# mine\n  UserKnownHostsFile {ssh_server.known_hosts}\n'
        f"  ProxyCommand {sys.executable} {relay(tmp_path)} {ssh_server.port}\n",
        encoding,
    )
    monkeypatch.setenv("HOME", str(home))

    async def main() -> None:
        transport = SshTransport(SshAddress("studio"), str(far))
        assert (await transport.run("echo through the proxy")).out == "through the proxy\n"
        await transport.close()

    run(main)


def test_a_chatty_login_shell_spoils_nothing(ssh_server: Sshd, far: Path, tmp_path: Path) -> None:
    """Some .bashrc prints a line in every session: that once corrupted downloads."""
    shell = tmp_path / "chatty.sh"
    shell.write_text("#!/bin/sh\necho 'Welcome! You have mail.'\n")
    content = os.urandom(100_000)

    class Chatty(SshTransport):
        def _process(self, command: str):  # type: ignore[no-untyped-def]
            return super()._process(f"sh {shell}; {command}")

        async def _begin(self, connection: asyncssh.SSHClientConnection, command: str):  # type: ignore[no-untyped-def]
            return await super()._begin(connection, f"sh {shell}; {command}")

    plain = ssh_transport(ssh_server, far)
    chatty = Chatty(plain._address, str(far))

    async def main() -> None:
        assert (await chatty.run("echo said")).out == "said\n"
        await chatty.put(stream(content), "file")
        assert (far / "file").read_bytes() == content
        assert await read(chatty, "file") == content
        await chatty.close()

    run(main)


def test_a_connection_that_was_reset_is_made_again(ssh_server: Sshd, far: Path) -> None:
    with Link(ssh_server.port) as link:
        transport = ssh_transport(ssh_server, far, link.port)

        async def main() -> None:
            assert (await transport.run("echo one")).out == "one\n"
            link.reset()
            with pytest.raises(UnreachableError):
                await transport.run("sleep 2; echo lost")
            assert (await transport.run("echo two")).out == "two\n"
            await transport.close()

        run(main)


def test_no_secret_is_shown() -> None:
    address = SshAddress("host", "me", password="hunter2", passphrase="swordfish")
    assert "hunter2" not in f"{address} {address!r}"
    assert "swordfish" not in f"{address} {address!r}"


def test_a_relative_folder_lies_in_the_user_s_home(ssh_server: Sshd, tmp_path: Path) -> None:
    name = f"montage-test-{os.getpid()}"
    address = ssh_transport(ssh_server, tmp_path)._address
    transport = SshTransport(address, f"{name}/with space")
    content = os.urandom(1000)

    async def main() -> None:
        where = (await transport.run("pwd")).out.strip()
        assert where.endswith(f"{name}/with space")
        for _ in range(2):
            await transport.put(stream(content), "file")
            await transport.put(stream(content), "file", 1000)
            assert await read(transport, "file") == content * 2
        await transport.run(f"cd ../.. && rm -rf {name}")
        await transport.close()

    run(main)


def test_a_consumer_that_fails_leaves_no_channel_open(ssh_server: Sshd, far: Path) -> None:
    from contextlib import aclosing

    from montage_ai.offload.transports.decorators import Retrying

    transport = Retrying(ssh_transport(ssh_server, far))

    async def main() -> None:
        await transport.run("true")
        await transport.put(stream(bytes(3_000_000)), "file")
        for _ in range(12):  # more than there are channels
            async with aclosing(transport.get("file", 0, 3_000_000)) as blocks:
                async for _block in blocks:
                    break
        assert (await transport.run("echo still here")).out == "still here\n"
        await transport.close()

    run(main)


def test_a_proxy_command_speaks_for_a_host_that_nobody_knows(ssh_server: Sshd, far: Path, tmp_path: Path) -> None:
    """As Google's client does for Colab."""
    settings = SshSettings(
        kind="ssh",
        host="no-such-host",
        user=ssh_server.user,
        identity_file=ssh_server.key,
        work_dir=str(far),
        proxy_command=(sys.executable, str(relay(tmp_path)), str(ssh_server.port), "chatty"),
        check_host_key=False,
    )

    async def main() -> None:
        transport = settings.transport(lambda _: None)
        done = await transport.run("echo there")
        await transport.close()
        assert done.out == "there\n"

    run(main)


@pytest.mark.slow
def test_a_file_that_is_not_there_is_never_taken_for_a_lost_connection(ssh_server: Sshd, far: Path) -> None:
    """A command's code may come after the end of its output."""

    async def main() -> None:
        transport = ssh_transport(ssh_server, far)
        for _ in range(30):
            with pytest.raises(UnreachableError, match="nothing could not be moved"):
                await read(transport, "nothing")
        await transport.close()

    run(main)
