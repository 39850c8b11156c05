"""Requests to a Jupyter Server: access renewed where it has run out, and what is refused told as what it means."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from montage_ai.errors import AccessDeniedError, MissingExtraError, UnreachableError
from montage_ai.offload.transports.answers import raise_if_full
from montage_ai.offload.transports.jupyter.access import Access, Address
from montage_ai.offload.transports.transport import BLOCK

if TYPE_CHECKING:
    import httpx

_CONNECT, _STALL = 15.0, 45.0  # seconds
_SAID = 300  # characters of an answer that are told
_REFUSED = (301, 302, 303, 307, 401, 403)  # a hub sends to its page for logging in
_AWAY = (424, 502, 503, 504)  # what a hub and proxies say of a server that does not run


class AnsweredError(UnreachableError):
    """The server is reached and answers, but not with what was asked for."""


class TooLargeError(AnsweredError):
    """A proxy before the server takes no bodies of that size."""


class JupyterServer:
    """One server over plain HTTP. Paths are below its URL."""

    def __init__(self, access: Access) -> None:
        self.access = access
        self._client: httpx.AsyncClient | None = None

    @property
    def name(self) -> str:
        return self.access.name

    async def request(self, method: str, path: str, **arguments: Any) -> httpx.Response:
        """Ask, and read the whole answer, which is a success. Raises ``RemoteError``."""
        async with self.stream(method, path, **arguments) as response:
            with self._telling():
                await response.aread()
            return response

    @contextlib.asynccontextmanager
    async def stream(
        self, method: str, path: str, *, also: int | None = None, **arguments: Any
    ) -> AsyncIterator[httpx.Response]:
        """Ask, and leave the answer to be read; it is a success, or has the code ``also``."""
        client = self._opened()
        address = await self.access.address()
        response = await self._send(client, address, method, path, arguments)
        try:
            if await self._is_access_refused(response):
                await response.aclose()
                address = await self.access.renewed(address)
                if isinstance(arguments.get("content"), AsyncIterator):
                    raise AnsweredError(f"The access to {self.name} had run out, and was renewed.")
                response = await self._send(client, address, method, path, arguments)
            if response.status_code >= 300 and response.status_code != also:
                await self._refuse(response, path)
            yield response
        finally:
            await response.aclose()

    async def blocks(self, response: httpx.Response) -> AsyncGenerator[bytes, None]:
        """The bytes of an answer as they come."""
        with self._telling():
            async for block in response.aiter_raw(BLOCK):
                yield block

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()
        await self.access.close()

    # Inside

    async def _send(
        self, client: httpx.AsyncClient, address: Address, method: str, path: str, arguments: Mapping[str, Any]
    ) -> httpx.Response:
        given = dict(arguments)
        headers = {**address.headers, **given.pop("headers", {})}
        request = client.build_request(method, address.url + quote(path), headers=headers, **given)
        with self._telling():
            return await client.send(request, stream=True)

    def _opened(self) -> httpx.AsyncClient:
        if self._client is None:
            try:
                import httpx
                import websockets  # noqa: F401  (for the kernels: better told now)
            except ModuleNotFoundError as error:
                hint = "pip install 'montage-ai[jupyter]'"
                raise MissingExtraError(f"Jupyter needs the package {error.name}.", hint=hint) from error
            timeout = httpx.Timeout(_STALL, connect=_CONNECT, pool=None)
            # No gzip: films do not shrink, and ranges would be of the packed bytes.
            self._client = httpx.AsyncClient(timeout=timeout, headers={"Accept-Encoding": "identity"})
        return self._client

    async def _is_access_refused(self, response: httpx.Response) -> bool:
        """Whether it was our access that was refused: a proxy says so with an empty 404, a server never does."""
        if response.status_code != 404:
            return response.status_code in _REFUSED
        with self._telling():
            return not (await response.aread()).strip()

    async def _refuse(self, response: httpx.Response, path: str) -> None:
        code = response.status_code
        with self._telling():
            text = (await response.aread()).decode("utf-8", "replace")
        if await self._is_access_refused(response):
            raise AccessDeniedError(f"{self.name} does not let us in (code {code}).", hint="Check the token.")
        raise_if_full(text, self.name)
        if code == 413:
            raise TooLargeError(f"A proxy before {self.name} takes no files of this size.")
        if code in _AWAY:
            raise UnreachableError(f"{self.name} does not run (code {code}).", hint="Start it.")
        said = " ".join(text.split())[:_SAID]
        raise AnsweredError(f"{self.name} answered with code {code} for {path}: {said or 'nothing more'}")

    @contextlib.contextmanager
    def _telling(self) -> Iterator[None]:
        """Turn httpx's errors into ours."""
        import httpx

        try:
            yield
        except (httpx.TransportError, httpx.StreamError) as error:
            why = str(error) or type(error).__name__
            raise UnreachableError(f"{self.name} cannot be reached: {why}.") from error
