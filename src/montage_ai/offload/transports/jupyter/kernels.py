"""Shell scripts through Jupyter's kernels.

A script's output comes back as the value of an expression, in the reply to its request: printing is limited to 1 MB/s,
and what exceeds that is lost without a word. A kernel does one thing at a time, so there are several.
"""

from __future__ import annotations

import ast
import base64
import contextlib
import json
import secrets
import uuid
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import anyio

from montage_ai.errors import RemoteError, UnreachableError, UnsuitedError
from montage_ai.offload.transports.jupyter.server import AnsweredError, JupyterServer
from montage_ai.offload.transports.transport import Completed

if TYPE_CHECKING:
    from websockets.asyncio.client import ClientConnection

_KERNELS = 5
_STARTING = 90.0  # seconds that a kernel may need until it answers
_MARGIN = 10.0  # seconds that an answer may need beyond its script
_OPENING = 20.0  # seconds
_GONE = 404
_LARGEST = 32 * 1024 * 1024  # bytes of an answer

# What the kernel is given once. A script may be longer than an argument may be, so it goes into a file; what it starts
# detached is none of its children any more, and outlives the kernel.
_SOURCE = """
def _montage_ai_run(script, folder, seconds):
    import base64, json, os, signal, subprocess, tempfile
    with tempfile.NamedTemporaryFile("wb", suffix=".sh") as file:
        file.write(base64.b64decode(script))
        file.flush()
        process = subprocess.Popen(
            ["/bin/sh", file.name], cwd=folder, env={**os.environ, "CDPATH": ""}, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True,
        )
        try:
            out, err = process.communicate(timeout=seconds)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
            return ""
    said = [process.returncode, *(base64.b64encode(text).decode() for text in (out, err))]
    return base64.b64encode(json.dumps(said).encode()).decode()

def _montage_ai_find(folder, name):
    import os
    here = os.getcwd()
    above = [here]
    while above[-1] != os.path.dirname(above[-1]):
        above.append(os.path.dirname(above[-1]))
    for place in [here, *(os.path.join(one, folder) for one in above)]:
        if os.path.isfile(os.path.join(place, name)):
            os.remove(os.path.join(place, name))
            return place
    return ""
"""


class Kernels:
    """Kernels of our own on ``server``, started as they are needed; ``folder`` is our folder as the server names it."""

    def __init__(self, server: JupyterServer, folder: str, kernel: str | None = None) -> None:
        self._server, self._folder, self._kernel = server, folder, kernel
        self._limit = anyio.CapacityLimiter(_KERNELS)
        self._preparing = anyio.Lock()
        self._place = ""  # our folder as the kernels name it
        self._idle: list[_Kernel] = []
        self._sessions: set[str] = set()
        self._ending: set[str] = set()

    async def run(self, script: str, timeout: float) -> Completed:
        """Have a kernel run a script in our folder. Raises ``UnreachableError``, also for one that takes too long."""
        async with self._limit:
            kernel = await self._take()
            try:
                encoded = base64.b64encode(script.encode()).decode()
                call = f"_montage_ai_run({encoded!r}, {self._place!r}, {timeout!r})"
                answer = await kernel.value(call, timeout + _MARGIN)
            except BaseException:  # it may still be busy with it
                await self._end(kernel)
                raise
            self._idle.append(kernel)
        if not answer:
            raise AnsweredError(f"A script on {self._server.name} did not end within {timeout:g} s.")
        return _completed(answer)

    async def close(self) -> None:
        """End the kernels. What they have started detached goes on."""
        while self._idle:
            await self._end(self._idle.pop())
        self._place = ""

    async def _take(self) -> _Kernel:
        while self._idle:
            kernel = self._idle.pop()
            if kernel.is_open:
                return kernel
            await self._end(kernel)
        async with self._preparing:
            if not self._place:
                await self._sweep()
                await self._make_folder()
            kernel = await self._start()
            try:
                await kernel.run(_SOURCE, _STARTING)
                self._place = self._place or await self._find(kernel)
            except BaseException:
                await self._end(kernel)
                raise
        return kernel

    async def _start(self) -> _Kernel:
        name = f"montage-ai-{secrets.token_hex(4)}"
        wanted = {"path": f"{self._folder}/{name}", "name": name, "type": "console", "kernel": {"name": self._kernel}}
        told = (await self._server.request("POST", "api/sessions", json=wanted)).json()
        session, kernel = str(told["id"]), str(told["kernel"]["id"])
        self._sessions.add(session)
        return _Kernel(self._server, session, kernel)

    async def _find(self, kernel: _Kernel) -> str:
        """Our folder as a kernel sees it: a file that was put there through the server is found there."""
        name = f"here-{secrets.token_hex(8)}"
        path = f"api/contents/{self._folder}/{name}"
        await self._server.request("PUT", path, json={"type": "file", "format": "text", "content": ""})
        found = await kernel.value(f"_montage_ai_find({self._folder!r}, {name!r})", _STARTING)
        if not found:
            await self._server.request("DELETE", path)
            hint = "Name a kernel that runs on the server itself (kernel = ...)."
            raise UnsuitedError(f"The kernels of {self._server.name} do not see its files.", hint=hint)
        return found

    async def _make_folder(self) -> None:
        parts = self._folder.split("/")
        for depth in range(1, len(parts) + 1):
            path = "/".join(parts[:depth])
            try:
                await self._server.request("GET", f"api/contents/{path}", params={"content": "0"})
            except UnreachableError:
                await self._server.request("PUT", f"api/contents/{path}", json={"type": "directory"})

    async def _sweep(self) -> None:
        """End kernels that an earlier program of ours has left behind: nobody is connected to them."""
        for session in (await self._server.request("GET", "api/sessions")).json():
            mine = str(session.get("path", "")).startswith(f"{self._folder}/montage-ai-")
            left = mine and session.get("kernel", {}).get("connections") == 0
            if left and str(session.get("id")) not in self._sessions:
                await self._server.request("DELETE", f"api/sessions/{session['id']}")

    async def _end(self, kernel: _Kernel) -> None:
        """End a kernel, and those that could not be ended before: one that has died cannot while it is restarted."""
        self._ending.add(kernel.session)
        with anyio.move_on_after(5, shield=True):
            await kernel.close()
            for session in list(self._ending):
                with contextlib.suppress(RemoteError):  # what is left for good, the next program of ours sweeps
                    async with self._server.stream("DELETE", f"api/sessions/{session}", also=_GONE):
                        pass
                    self._ending.discard(session)
                    self._sessions.discard(session)


class _Kernel:
    """A kernel and the websocket to it."""

    def __init__(self, server: JupyterServer, session: str, kernel: str) -> None:
        self._server, self.session, self._id = server, session, kernel
        self._socket: ClientConnection | None = None

    @property
    def is_open(self) -> bool:
        return self._socket is not None and self._socket.state.name == "OPEN"

    async def run(self, code: str, seconds: float) -> None:
        await self._execute(code, {}, seconds)

    async def value(self, expression: str, seconds: float) -> str:
        """The value of an expression that is text."""
        found = (await self._execute("", {"value": expression}, seconds)).get("user_expressions", {}).get("value", {})
        try:
            text = ast.literal_eval(found["data"]["text/plain"])
        except (KeyError, TypeError, ValueError, SyntaxError):
            said = f"{found.get('ename')}: {found.get('evalue')}" if isinstance(found, dict) else "nothing"
            raise UnreachableError(f"A kernel of {self._server.name} answered with {said[:300]}.") from None
        return str(text)

    async def close(self) -> None:
        if self._socket is not None:
            await self._socket.close()

    async def _execute(self, code: str, expressions: Mapping[str, str], seconds: float) -> dict[str, Any]:
        from websockets.exceptions import WebSocketException

        message = _request(code, expressions)
        try:
            with anyio.fail_after(seconds):
                if self._socket is None:
                    self._socket = await self._connect()
                await self._socket.send(json.dumps(message))
                return await self._reply(self._socket, message["header"]["msg_id"])
        except TimeoutError:
            raise UnreachableError(f"A kernel of {self._server.name} did not answer in time.") from None
        except (OSError, WebSocketException, ValueError) as error:
            why = str(error) or type(error).__name__
            raise UnreachableError(f"The connection to a kernel of {self._server.name} broke: {why}") from error

    async def _connect(self) -> ClientConnection:
        from websockets.asyncio.client import connect

        address = await self._server.access.address()
        url = f"{address.socket_url}api/kernels/{self._id}/channels?session_id={uuid.uuid4().hex}"
        return await connect(
            url, additional_headers=dict(address.headers), max_size=_LARGEST, open_timeout=_OPENING, close_timeout=2
        )

    @staticmethod
    async def _reply(socket: ClientConnection, message: str) -> dict[str, Any]:
        async for text in socket:
            told = json.loads(text)
            if told.get("msg_type") == "status" and told["content"].get("execution_state") in ("restarting", "dead"):
                raise ValueError("it has died")
            if told.get("msg_type") != "execute_reply" or told.get("parent_header", {}).get("msg_id") != message:
                continue
            content = told["content"]
            if content.get("status") != "ok":
                raise ValueError(f"{content.get('ename')}: {content.get('evalue')}")
            return dict(content)
        raise ValueError("it was closed")


def _request(code: str, expressions: Mapping[str, str]) -> dict[str, Any]:
    """A request of Jupyter's messaging protocol."""
    header = {"msg_id": uuid.uuid4().hex, "username": "", "session": uuid.uuid4().hex, "date": "", "version": "5.3"}
    return {
        "channel": "shell",
        "header": header | {"msg_type": "execute_request"},
        "parent_header": {},
        "metadata": {},
        "buffers": [],
        "content": {
            "code": code,
            "silent": True,
            "store_history": False,
            "user_expressions": dict(expressions),
            "allow_stdin": False,
            "stop_on_error": True,
        },
    }


def _completed(answer: str) -> Completed:
    try:
        code, out, err = json.loads(base64.b64decode(answer))
        texts = [base64.b64decode(text).decode("utf-8", "replace") for text in (out, err)]
    except ValueError as error:
        raise UnreachableError("A kernel's answer cannot be read.") from error
    return Completed(int(code), *texts)
