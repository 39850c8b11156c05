"""Any machine with an SSH server, as the user's own ``ssh`` reaches it: ~/.ssh/config, known_hosts, agent, proxies."""

from __future__ import annotations

import contextlib
import itertools
import secrets
import shlex
import sys
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio

from montage_ai.errors import AccessDeniedError, MissingExtraError, UnreachableError, UnsuitedError
from montage_ai.offload.transports.answers import raise_if_full
from montage_ai.offload.transports.ssh_config import readable_config
from montage_ai.offload.transports.transport import BLOCK, LONGEST_ANSWER, Completed, Stream, Transport

if TYPE_CHECKING:
    import asyncssh

_STALL = 45.0  # seconds without a byte after which a stream is given up
_KEEP_ALIVE = 10.0
_WINDOW = 8 * 1024 * 1024  # of what the machine may send us before we have read it
_QUICK_CIPHERS = "^aes128-gcm@openssh.com,aes256-gcm@openssh.com"  # first of all: processors have them built in
_PAUSES = (0.1, 0.2, 0.4, 0.8, 1.6)  # before a channel that was refused is asked for again
_WAITING = 600.0  # seconds that a channel is waited for while others are in use
_CHANNELS = 8  # at once; servers allow 10 by default


@dataclass(frozen=True)
class SshAddress:
    """Where and as whom. What is None comes from ~/.ssh/config or is SSH's default.

    ``proxy_command`` is a program, with its arguments, that speaks to the server on its stdin and stdout. Without
    ``check_host_key`` the server is whoever answers: for proxies that have made sure of that themselves.
    """

    host: str
    user: str | None = None
    port: int | None = None
    identity_file: str | None = None
    known_hosts: str | None = None
    password: str | None = None
    passphrase: str | None = None
    connect_timeout: float = 10.0
    proxy_command: tuple[str, ...] | None = None
    check_host_key: bool = True

    def __str__(self) -> str:
        return f"{self.user}@{self.host}" if self.user else self.host

    def __repr__(self) -> str:
        return f"SshAddress({self})"  # no secrets


def _quiet(command: Sequence[str]) -> Sequence[str]:
    """A proxy command whose complaints are dropped: asyncssh would take them for what the server says.

    The pipe for them stays open, as its end would be taken for that of the connection.
    """
    if sys.platform == "win32":
        return command
    return ["sh", "-c", 'exec 3>&2 2>/dev/null; exec "$@"', "sh", *command]


async def _read_until(stream: Any, mark: bytes, read: bytearray) -> None:
    """Read whole lines until one holds ``mark``, or to the end."""
    while not (mark in read and read.endswith(b"\n")):
        block = await stream.read(BLOCK)
        if not block:
            return
        read += block
        if len(read) > LONGEST_ANSWER:
            raise UnreachableError("The other machine does not stop talking.")


class SshTransport(Transport):
    """A connection that is made when it is needed, and made again after it was lost.

    Every ``put`` and ``get`` is a channel of its own: one window of 2 MiB, the size that OpenSSH grants, gives 84
    Mbit/s at 200 ms. Scripts are given to shells that stay open: a round trip instead of three.
    """

    streams = 6

    def __init__(self, address: SshAddress, folder: str) -> None:
        self._address, self._folder = address, folder
        self._connection: asyncssh.SSHClientConnection | None = None
        self._connecting = anyio.Lock()
        self._idle: list[Any] = []  # shells
        self._channels = anyio.CapacityLimiter(_CHANNELS)
        self._fewer_shells = False

    async def run(self, script: str, *, timeout: float = 60.0) -> Completed:
        async with self._channels:
            shell = self._idle.pop() if self._idle else None
            if shell is None or shell.is_closing():
                shell = await self._shell()
            try:
                with anyio.fail_after(timeout), self._telling():
                    completed = await self._run(shell, script)
            except TimeoutError:
                shell.close()
                raise self._unreachable(f"did not answer within {timeout:g} s") from None
            except BaseException:
                shell.close()
                raise
            if self._fewer_shells:
                shell.close()
            else:
                self._idle.append(shell)
            return completed

    async def _run(self, shell: Any, script: str) -> Completed:
        """Have an open shell run the script: one round trip."""
        mark = secrets.token_hex(8)
        # The shell reads the whole group before it begins, so nothing in it can eat what follows; in a subshell, so
        # that it may end itself.
        shell.stdin.write(f"(\n{script}\n) </dev/null; code=$?; echo {mark} $code; echo {mark} >&2\n".encode())
        out, err = bytearray(), bytearray()
        await _read_until(shell.stdout, mark.encode(), out)
        await _read_until(shell.stderr, mark.encode(), err)
        if mark.encode() not in out or mark.encode() not in err:
            raise self._unreachable("ended the connection")
        said, _, code = out.decode("utf-8", "replace").rpartition(mark)
        return Completed(int(code), said, err.decode("utf-8", "replace").rpartition(mark)[0])

    async def _shell(self) -> Any:
        """A shell in the folder, past whatever a login says."""
        mark = secrets.token_hex(8)
        connection = await self._connected()
        with self._telling():
            shell = await self._begin(connection, "exec /bin/sh")
            shell.stdin.write(f"{{ {self._place()}; }} >/dev/null && echo {mark} || exit 9\n".encode())
            said = bytearray()
            with self._not_stalling():
                await _read_until(shell.stdout, mark.encode(), said)
        if mark.encode() not in said:
            shell.close()
            if shell.exit_status == 9:
                hint = "Set work_dir to a folder that can be written."
                raise UnsuitedError(f"The folder {self._folder} cannot be made on {self._address}.", hint=hint)
            raise self._unreachable("ended the connection")
        return shell

    async def put(self, data: Stream, path: str, offset: int = 0) -> None:
        name = shlex.quote(path)
        cut = f"dd of={name} bs=1 seek={offset} count=0 2>/dev/null && exec cat >> {name}"
        command = f"{{ {self._place()}; }} && {{ {cut if offset else f'exec cat > {name}'}; }}"
        async with self._process(f"/bin/sh -c {shlex.quote(command)}") as process:
            try:
                async for block in data():
                    with self._not_stalling():
                        process.stdin.write(block)
                        await process.stdin.drain()
                process.stdin.write_eof()
            except UnreachableError as error:
                if not isinstance(error.__cause__, BrokenPipeError):
                    raise
                # The command there has ended: its code and its words say why.
            with self._not_stalling():
                _, err = await process.communicate()
        if process.exit_status != 0:
            self._refuse(path, err, process.exit_status)

    async def get(self, path: str, offset: int, size: int) -> AsyncGenerator[bytes, None]:
        mark = secrets.token_hex(8)
        source = f"tail -c +{offset + 1} {shlex.quote(path)} | head -c {size}"
        command = f"{{ {self._place()}; }} && [ -r {shlex.quote(path)} ] && echo {mark} && {source}"
        async with self._process(f"/bin/sh -c {shlex.quote(command)}") as process:
            begun = b""
            while f"{mark}\n".encode() not in begun:  # a login shell may have said something first
                with self._not_stalling():
                    block = await process.stdout.read(BLOCK)
                if not block:
                    with self._not_stalling():
                        said = await process.stderr.read()
                        await process.wait_closed()  # its code may come after the end of what it says
                    self._refuse(path, said, process.exit_status)
                begun += block
                if len(begun) > LONGEST_ANSWER:
                    raise self._unreachable("does not stop talking")
            block = begun.split(f"{mark}\n".encode(), 1)[1]
            while True:
                if block:
                    yield block
                with self._not_stalling():
                    block = await process.stdout.read(BLOCK)
                if not block:
                    return

    async def close(self) -> None:
        self._idle.clear()
        if self._connection is not None:
            connection, self._connection = self._connection, None
            connection.close()
            with anyio.move_on_after(2, shield=True), contextlib.suppress(OSError):
                await connection.wait_closed()

    # Inside

    def _place(self) -> str:
        """How a script gets into the folder, which is made where it is not there."""
        if self._folder.startswith("~/"):
            quoted = '"$HOME"/' + shlex.quote(self._folder[2:])
        else:
            quoted = shlex.quote(self._folder)
        return f"unset CDPATH; cd {quoted} 2>/dev/null || {{ mkdir -p {quoted} && cd {quoted}; }}"

    @contextlib.asynccontextmanager
    async def _process(self, command: str) -> AsyncIterator[Any]:
        """A command there, in a channel of its own, ended with the block."""
        async with self._channels:
            connection = await self._connected()
            with self._telling():
                process = await self._begin(connection, command)
            try:
                yield process  # what happens to files here is not the machine's fault
            finally:
                process.close()

    async def _begin(self, connection: asyncssh.SSHClientConnection, command: str) -> Any:
        """A new channel. Servers limit their number, and count one until they have heard that it was closed.

        Where one is refused, shells that wait are closed, and from now on fewer channels are used at once: some servers
        allow one (``MaxSessions 1``).
        """
        import asyncssh

        deadline = anyio.current_time() + _WAITING
        for pause in itertools.chain(_PAUSES, itertools.repeat(_PAUSES[-1])):
            try:
                return await connection.create_process(command, encoding=None, window=_WINDOW)
            except asyncssh.ChannelOpenError:
                others = self._channels.borrowed_tokens - 1
                if connection.is_closed():
                    raise  # it is not the number of channels
                if anyio.current_time() > deadline or (pause == _PAUSES[-1] and not others):
                    raise
                self._channels.total_tokens = min(self._channels.total_tokens, max(1, others))
                self._fewer_shells = True
                while self._idle:
                    self._idle.pop().close()
                await anyio.sleep(pause)
        raise AssertionError("unreachable")

    async def _connected(self) -> asyncssh.SSHClientConnection:
        async with self._connecting:
            if self._connection is None or self._connection.is_closed():
                self._connection = await self._connect()
                self._channels.total_tokens, self._fewer_shells = _CHANNELS, False
            return self._connection

    async def _connect(self) -> asyncssh.SSHClientConnection:
        try:
            import asyncssh
        except ModuleNotFoundError as error:
            raise MissingExtraError("SSH needs asyncssh.", hint="pip install 'montage-ai[ssh]'") from error
        address = self._address
        chosen: dict[str, Any] = {
            "username": address.user,
            "port": address.port,
            "client_keys": [address.identity_file] if address.identity_file else None,
            "known_hosts": address.known_hosts,
            "password": address.password,
            "passphrase": address.passphrase,
            "proxy_command": _quiet(address.proxy_command) if address.proxy_command else None,
        }
        given = {name: value for name, value in chosen.items() if value is not None}
        if not address.check_host_key:
            given["known_hosts"] = None
        with self._telling(), readable_config() as config:
            return await asyncssh.connect(
                address.host,
                config=config,
                connect_timeout=address.connect_timeout,
                login_timeout=address.connect_timeout * 2,
                keepalive_interval=_KEEP_ALIVE,
                keepalive_count_max=3,
                encryption_algs=_QUICK_CIPHERS,
                **given,
            )

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn asyncssh's errors into ours."""
        import asyncssh

        try:
            yield
        except asyncssh.PermissionDenied as error:
            hint = "Try `ssh` with the same host: a key, an agent or a password is missing or has expired."
            raise AccessDeniedError(f"{self._address} does not let us in ({error.reason}).", hint=hint) from error
        except asyncssh.HostKeyNotVerifiable as error:
            if self._is_known():
                what = f"{self._address} has another host key than the one that is known of it"
                hint = (
                    f"Somebody may be in between. If the machine was set up anew: `ssh-keygen -R {self._address.host}`."
                )
                raise AccessDeniedError(f"{what}.", hint=hint) from error
            hint = f"Run `ssh {self._address}` once and check its key."
            raise AccessDeniedError(f"{self._address} is not a known host ({error.reason}).", hint=hint) from error
        except (asyncssh.KeyImportError, asyncssh.KeyEncryptionError) as error:
            hint = "Set identity_file, or passphrase_env."
            raise AccessDeniedError(f"The key for {self._address} cannot be read ({error}).", hint=hint) from error
        except asyncssh.ConfigParseError as error:
            raise AccessDeniedError(f"Your SSH configuration cannot be read ({error}).", hint="Repair it.") from error
        except asyncssh.Error as error:
            raise self._unreachable(error.reason or type(error).__name__) from error
        except (OSError, TimeoutError) as error:
            raise self._unreachable(str(error) or "no answer in time") from error

    @contextlib.contextmanager
    def _not_stalling(self) -> Iterator[None]:
        try:
            with anyio.fail_after(_STALL), self._telling():
                yield
        except TimeoutError:
            raise self._unreachable(f"moved nothing for {_STALL:g} s") from None

    def _is_known(self) -> bool:
        """Whether a key of the host is known: then it has changed."""
        import asyncssh

        known = Path(self._address.known_hosts or Path.home() / ".ssh" / "known_hosts")
        try:
            trusted, *_ = asyncssh.read_known_hosts(str(known)).match(self._address.host, "", self._address.port)
        except (OSError, ValueError):
            return False
        return bool(trusted)

    def _unreachable(self, why: str) -> UnreachableError:
        return UnreachableError(f"{self._address} cannot be reached: {why}.")

    def _refuse(self, path: str, err: bytes, code: int | None) -> None:
        said = err.decode("utf-8", "replace").strip()
        raise_if_full(said, str(self._address))
        if code is None:
            raise self._unreachable("ended the connection")
        raise UnreachableError(f"{path} could not be moved to or from {self._address}: {said or f'code {code}'}")
