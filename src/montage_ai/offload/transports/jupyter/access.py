"""Where a Jupyter Server is and what lets us in."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field

from montage_ai.errors import AccessDeniedError


@dataclass(frozen=True)
class Address:
    """The server's URL, which ends with a slash, and the headers that every request carries: they hold secrets."""

    url: str
    headers: Mapping[str, str] = field(default_factory=dict, repr=False)

    @property
    def socket_url(self) -> str:
        """The same for a websocket."""
        return self.url.replace("http", "ws", 1)


class Access(ABC):
    """How a server is reached, now."""

    name: str
    """As messages call the server."""

    @abstractmethod
    async def address(self) -> Address:
        """Where it is. Raises ``RemoteError``."""

    @abstractmethod
    async def renewed(self, refused: Address) -> Address:
        """After ``refused`` was: another one. Raises ``AccessDeniedError`` where there is none."""

    async def close(self) -> None:
        """Let go of what it holds."""
        return


class TokenAccess(Access):
    """A server with a URL and a token that stay."""

    def __init__(self, url: str, token: str | None) -> None:
        self.name = url
        self._address = Address(url.rstrip("/") + "/", {"Authorization": f"token {token}"} if token else {})

    async def address(self) -> Address:
        return self._address

    async def renewed(self, refused: Address) -> Address:
        hint = "Check the token (token_env or token_file) and the URL, which on a hub ends with /user/NAME/."
        raise AccessDeniedError(f"{self.name} does not let us in.", hint=hint)
