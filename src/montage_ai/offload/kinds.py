"""The kinds of executors that can be configured, and how each is reached.

Secrets never stand in the configuration: where one is needed, it names the environment variable or the file that holds
it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import shlex
from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, field_validator, model_validator

from montage_ai import config
from montage_ai.errors import ConfigError
from montage_ai.offload.ray.messages import MADE_HERE
from montage_ai.offload.transports.cgpu.client import CgpuClient
from montage_ai.offload.transports.cgpu.colab import TOKEN_URL, ColabAccess
from montage_ai.offload.transports.cgpu.command_line import CommandLineTransport
from montage_ai.offload.transports.cgpu.login import Login
from montage_ai.offload.transports.cgpu.transport import CgpuTransport
from montage_ai.offload.transports.jupyter.access import TokenAccess
from montage_ai.offload.transports.jupyter.transport import JupyterTransport
from montage_ai.offload.transports.local import LocalTransport
from montage_ai.offload.transports.ssh import SshAddress, SshTransport
from montage_ai.offload.transports.transport import Transport

Notice = Callable[[str], None]
"""Told what the user should know."""

VISIBLE = r"^/?([A-Za-z0-9_][A-Za-z0-9_.-]*/)*[A-Za-z0-9_][A-Za-z0-9_.-]*/?$"
"""A folder without names that begin with a dot: Jupyter Servers refuse those."""


INTERNET = "the Internet"
"""The connection to all that is not near."""

_NEAR = (".local", ".lan", ".home", ".internal", ".home.arpa")


Arguments = Annotated[
    tuple[str, ...],
    Field(min_length=1),
    BeforeValidator(lambda given: shlex.split(given) if isinstance(given, str) else given),
]
"""A command: a list of strings, or one as in a shell."""


class Settings(BaseModel):
    """A part of the configuration, in which nothing unknown may stand."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class PlaceSettings(Settings):
    """What all kinds have in common."""

    slots: int | None = Field(None, ge=1, le=1000)
    """Jobs that it computes at once; by default half its processors, or one where it is a machine with a GPU."""
    link: str | None = Field(None, min_length=1, max_length=100)
    """A name for the connection that leads there: payloads to all executors with the same name travel one after the
    other. By default all that lie in the Internet are behind one, and each in this network or machine has its own."""

    @property
    def connection(self) -> str:
        """The connection's name; empty where it is the executor's own."""
        return self.link or ("" if self.host_name is None or is_near(self.host_name) else INTERNET)

    @property
    def host_name(self) -> str | None:
        """The machine's name or address; None where it is this machine."""
        return None

    @property
    @abstractmethod
    def identity(self) -> str:
        """What consent is given to."""

    @property
    @abstractmethod
    def keeps_in(self) -> str:
        """Where it keeps what is sent to it."""

    def forget_secrets(self) -> None:
        """Remove our copies of secrets."""


class MachineSettings(PlaceSettings):
    """What the kinds have in common that are one machine, reached by a transport."""

    work_dir: str | Path
    """The folder there that all is kept in."""
    python: str | None = None
    """The Python to use there; by default the first of 3.11 or later that is found."""

    @property
    def keeps_in(self) -> str:
        return str(self.work_dir)

    @abstractmethod
    def transport(self, notice: Notice) -> Transport:
        """How it is reached; nothing is yet."""


class SshSettings(MachineSettings):
    """A machine with an SSH server; what is not set comes from ~/.ssh/config."""

    kind: Literal["ssh"]
    host: str = Field(min_length=1)
    user: str | None = None
    port: int | None = Field(None, ge=1, le=65535)
    identity_file: Path | None = None
    known_hosts: Path | None = None
    work_dir: str = "~/.montage-ai-worker"
    connect_timeout: float = Field(10.0, gt=0, le=600)
    proxy_command: Arguments | None = None
    """A program that speaks to the server on its stdin and stdout, in place of a connection to ``host``."""
    check_host_key: bool = True
    """Can be false where there is a ``proxy_command``, which knows itself whom it speaks to."""
    password_env: str | None = None
    password_file: Path | None = None
    passphrase_env: str | None = None
    passphrase_file: Path | None = None

    @property
    def host_name(self) -> str:
        return self.host

    @property
    def identity(self) -> str:
        user = f"{self.user}@" if self.user else ""
        through = f" through {shlex.join(self.proxy_command)}" if self.proxy_command else ""
        through += "" if self.check_host_key else ", whoever answers"
        return f"ssh {user}{self.host}{f':{self.port}' if self.port else ''}{through}"

    @model_validator(mode="after")
    def _checks_whom_it_reaches(self) -> Self:
        if not self.check_host_key and not self.proxy_command:
            raise ValueError("check_host_key can be false only where there is a proxy_command")
        return self

    def transport(self, notice: Notice) -> Transport:
        address = SshAddress(
            self.host,
            user=self.user,
            port=self.port,
            identity_file=_expanded(self.identity_file),
            known_hosts=_expanded(self.known_hosts),
            password=_secret(self.password_env, self.password_file),
            passphrase=_secret(self.passphrase_env, self.passphrase_file),
            connect_timeout=self.connect_timeout,
            proxy_command=self.proxy_command,
            check_host_key=self.check_host_key,
        )
        return SshTransport(address, self.work_dir)


class LocalSettings(MachineSettings):
    """A folder of this machine, treated like another machine: to try things out."""

    kind: Literal["local"]
    work_dir: Path

    @property
    def identity(self) -> str:
        return f"local {self.work_dir}"

    def transport(self, notice: Notice) -> Transport:
        return LocalTransport(self.work_dir.expanduser().absolute())


class JupyterSettings(MachineSettings):
    """A Jupyter Server, also one of a hub."""

    kind: Literal["jupyter"]
    url: str = Field(pattern=r"^https?://[^\s?#]+$")
    """As in the browser, with the prefix that it has: on a hub it ends with /user/NAME/."""
    token_env: str | None = None
    token_file: Path | None = None
    kernel: str | None = None
    """The kernel to use, which must be one for Python; by default the server's own choice."""
    work_dir: str = Field("montage-ai-worker", pattern=VISIBLE)
    """Below the server's root."""

    @field_validator("url")
    @classmethod
    def _holds_no_secret(cls, url: str) -> str:
        if urlsplit(url).username is not None or urlsplit(url).password is not None:
            raise ValueError("url must hold no user or password: put a token into token_env or token_file")
        return url

    @property
    def host_name(self) -> str:
        return urlsplit(self.url).hostname or ""

    @property
    def identity(self) -> str:
        return f"jupyter {self.url}"

    def transport(self, notice: Notice) -> Transport:
        access = TokenAccess(self.url, _secret(self.token_env, self.token_file))
        return JupyterTransport(access, self.work_dir, self.kernel)


class CgpuSettings(MachineSettings):
    """A machine of Google Colab, as whom ``cgpu`` is logged in."""

    kind: Literal["cgpu"]
    program: str = "cgpu"
    road: Literal["auto", "commands"] = "auto"
    """``commands``: by the commands of ``cgpu`` alone, though they are slower."""
    work_dir: str = Field("/content/montage-ai", pattern=VISIBLE)
    token_url: str = Field(TOKEN_URL, pattern=r"^https?://[^\s?#]+$")
    """Where Google renews the login; another one where a company has its own way there."""

    @property
    def host_name(self) -> str:
        return "colab.research.google.com"

    @property
    def identity(self) -> str:
        return "cgpu (Google Colab)"

    @property
    def _login(self) -> Login:
        return Login(config.data_dir() / "cgpu" / "session.json")

    def forget_secrets(self) -> None:
        self._login.forget()

    def transport(self, notice: Notice) -> Transport:
        client = CgpuClient(self.program, self._login, config.data_dir() / "cgpu" / "lock")
        commands = CommandLineTransport(client, self.work_dir)
        if self.road == "commands":
            return commands
        access = ColabAccess(client.login, client.warm_up, self.token_url)
        return CgpuTransport(commands, JupyterTransport(access, self.work_dir), notice)


class RaySettings(PlaceSettings):
    """A Ray cluster."""

    kind: Literal["ray"]
    address: str = Field(pattern=r"^(local|(ray://)?[A-Za-z0-9_.\[\]:-]+:[0-9]+)$")
    """As Ray has it: HOST:PORT from one of its nodes, ray://HOST:PORT from elsewhere, or ``local``: one that is made on
    this machine."""
    token_env: str | None = None
    token_file: Path | None = None

    @property
    def host_name(self) -> str | None:
        return None if self.address == MADE_HERE else self.address.removeprefix("ray://").rpartition(":")[0].strip("[]")

    @property
    def identity(self) -> str:
        return f"ray {self.address}"

    @property
    def keeps_in(self) -> str:
        return "the memory of its nodes, and their folders for temporary files"

    @property
    def token(self) -> str | None:
        return _secret(self.token_env, self.token_file)


AnyMachine = SshSettings | LocalSettings | JupyterSettings | CgpuSettings
AnyPlace = AnyMachine | RaySettings
ExecutorSettings = Annotated[AnyPlace, Field(discriminator="kind")]

KINDS: dict[str, type[PlaceSettings]] = {
    "ssh": SshSettings,
    "local": LocalSettings,
    "jupyter": JupyterSettings,
    "cgpu": CgpuSettings,
    "ray": RaySettings,
}


def is_near(host: str) -> bool:
    """Whether a machine is in this network, as far as its name or address tells."""
    with contextlib.suppress(ValueError):
        return not ipaddress.ip_address(host).is_global
    return host == "localhost" or host.endswith(_NEAR)


def _secret(variable: str | None, file: Path | None) -> str | None:
    """What an environment variable or a file holds. Raises ``ConfigError`` where that is not there."""
    if variable is not None:
        if variable not in os.environ:
            raise ConfigError(f"The environment variable {variable} is not set.", hint="Set it, or name another.")
        return os.environ[variable]
    if file is not None:
        try:
            return file.expanduser().read_text("utf-8").strip()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigError(f"cannot be read ({error}).", file=file, hint="It should hold the secret.") from error
    return None


def _expanded(path: Path | None) -> str | None:
    return None if path is None else str(path.expanduser())
