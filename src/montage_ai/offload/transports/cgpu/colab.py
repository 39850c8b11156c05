"""The way that ``cgpu`` itself takes to its machine: from its login to the address of the Jupyter Server there.

The login's refresh token gives a bearer token; with it Colab lists the machines that are ours, and gives a token for
the proxy before one. That dies after an hour, and is renewed before.
"""

from __future__ import annotations

import contextlib
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import anyio
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from montage_ai.errors import RemoteError, UnreachableError
from montage_ai.offload.transports.cgpu.login import Login, lapsed
from montage_ai.offload.transports.jupyter.access import Access, Address

if TYPE_CHECKING:
    import httpx

M = TypeVar("M", bound=BaseModel)

TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105  (Google's, for everybody)

_GUARD = ")]}'\n"  # before Google's JSON
_TUNNEL = {"X-Colab-Tunnel": "Google"}
_AGENT = {"X-Colab-Client-Agent": "montage-ai"}
_PORT = "8080"
_TIMEOUT = 20.0  # seconds
_EARLY = 120.0  # seconds before its end that a token is renewed
_KEEP_ALIVE = 60.0  # seconds


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)


class _Bearer(_Model):
    access_token: str = Field(repr=False)
    expires_in: float = 3600.0


class _Assignment(_Model):
    endpoint: str


class _Assignments(_Model):
    assignments: list[_Assignment] = []


class _Proxy(_Model):
    token: str = Field(repr=False)
    expires: float = Field(3600.0, alias="tokenExpiresInSeconds")
    url: str


class ColabAccess(Access):
    """``assign`` has a machine made ours, where none is."""

    name = "Colab"

    def __init__(self, login: Login, assign: Callable[[], Awaitable[None]], token_url: str = TOKEN_URL) -> None:
        self._login, self._assign, self._token_url = login, assign, token_url
        self._lock = anyio.Lock()
        self._client: httpx.AsyncClient | None = None
        self._bearer: tuple[str, float] = ("", 0.0)  # and when it dies
        self._endpoint = ""
        self._address: tuple[Address, float] | None = None  # and when its token dies
        self._alive = 0.0  # when Colab last heard that the machine is in use

    async def address(self) -> Address:
        async with self._lock:
            if self._address is None or anyio.current_time() > self._address[1] - _EARLY:
                self._address = await self._exchange()
            await self._keep_alive()
            return self._address[0]

    async def renewed(self, refused: Address) -> Address:
        """A refused token, or an empty 404, is no dead machine: perhaps the token has died, or the machine changed."""
        async with self._lock:
            if self._address is None or self._address[0] == refused:
                self._address = None
                self._address = await self._exchange()
            return self._address[0]

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.aclose()

    # Inside

    async def _exchange(self) -> tuple[Address, float]:
        now = anyio.current_time()
        self._endpoint = await self._first_endpoint()
        path = f"/tun/m/runtime-proxy-token?endpoint={quote(self._endpoint)}&port={_PORT}"
        proxy = await self._colab(_Proxy, path)
        if urlsplit(proxy.url).scheme != urlsplit(self._domain()).scheme:  # never from https to less
            raise UnreachableError("Colab named a machine that is not reached over https.")
        headers = {"X-Colab-Runtime-Proxy-Token": proxy.token, **_AGENT}
        return Address(proxy.url.rstrip("/") + "/", headers), now + proxy.expires

    async def _first_endpoint(self) -> str:
        """The machine that ``cgpu`` uses, too: the first of the list."""
        for last in (False, True):
            found = (await self._colab(_Assignments, "/tun/m/assignments")).assignments
            if found:
                return found[0].endpoint
            if not last:
                await self._assign()
        raise UnreachableError("Colab lists no machine.")

    async def _keep_alive(self) -> None:
        """Machines that nobody uses are taken away; that this one is in use must be told."""
        now = anyio.current_time()
        if now - self._alive > _KEEP_ALIVE:
            self._alive = now
            with contextlib.suppress(RemoteError):
                await self._ask("GET", f"{self._domain()}/tun/m/{quote(self._endpoint)}/keep-alive/")

    async def _colab(self, kind: type[M], path: str) -> M:
        text = await self._ask("GET", self._domain() + path)
        return _parsed(kind, text.removeprefix(_GUARD))

    def _domain(self) -> str:
        return self._login.client().colabApiDomain.rstrip("/")

    async def _ask(self, method: str, url: str) -> str:
        headers = {"Authorization": f"Bearer {await self._bearer_token()}", **_TUNNEL, **_AGENT}
        response = await self._send(method, url, headers=headers)
        if response.status_code == 401:
            self._bearer = ("", 0.0)
        if response.status_code != 200:
            raise UnreachableError(f"Colab answered with code {response.status_code}.")
        return response.text

    async def _bearer_token(self) -> str:
        now = anyio.current_time()
        if now > self._bearer[1] - _EARLY:
            client = self._login.client()
            form = {
                "grant_type": "refresh_token",
                "client_id": client.clientId,
                "client_secret": client.clientSecret,
                "refresh_token": self._login.session().refreshToken,
            }
            response = await self._send("POST", self._token_url, data=form)
            if response.status_code in (400, 401):
                raise lapsed()
            if response.status_code != 200:
                raise UnreachableError(f"Google answered with code {response.status_code} to the login of cgpu.")
            told = _parsed(_Bearer, response.text)
            self._bearer = (told.access_token, now + told.expires_in)
        return self._bearer[0]

    async def _send(self, method: str, url: str, **arguments: Any) -> httpx.Response:
        import httpx

        if self._client is None:
            self._client = httpx.AsyncClient(timeout=_TIMEOUT)
        try:
            return await self._client.request(method, url, **arguments)
        except (httpx.TransportError, httpx.InvalidURL) as error:
            host = urlsplit(url).hostname
            raise UnreachableError(f"{host} cannot be reached: {str(error) or type(error).__name__}.") from error


def _parsed(kind: type[M], text: str) -> M:
    try:
        return kind.model_validate_json(text)
    except ValidationError:
        raise UnreachableError("Colab said what cannot be understood.") from None
