"""The executors that the user has configured, from one TOML file.

    objective = "time"                  # or "spare-this-machine"
    [executors.big-box]
    kind = "ssh"
    host = "big-box.local"

Secrets never stand in it: where one is needed, the file names the environment variable or the file that holds it.
"""

from __future__ import annotations

import os
import re
import tomllib
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from montage_ai import config
from montage_ai.errors import ConfigError, UserError
from montage_ai.offload.options import LOCAL
from montage_ai.offload.transports.local import LocalTransport
from montage_ai.offload.transports.ssh import SshAddress, SshTransport
from montage_ai.offload.transports.transport import Transport

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,40}")
_RESERVED = (LOCAL, "never", "auto")


class _Settings(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class _Machine(_Settings):
    python: str | None = None
    """The Python to use there; by default the first of 3.11 or later that is found."""
    slots: int | None = Field(None, ge=1, le=64)
    """Jobs that it computes at once; by default half its processors, or one where it has a GPU."""


class SshSettings(_Machine):
    """A machine with an SSH server; what is not set comes from ~/.ssh/config."""

    kind: Literal["ssh"]
    host: str = Field(min_length=1)
    user: str | None = None
    port: int | None = Field(None, ge=1, le=65535)
    identity_file: Path | None = None
    known_hosts: Path | None = None
    work_dir: str = "~/.montage-ai-worker"
    connect_timeout: float = Field(10.0, gt=0, le=120)
    password_env: str | None = None
    password_file: Path | None = None
    passphrase_env: str | None = None
    passphrase_file: Path | None = None

    @property
    def identity(self) -> str:
        """What consent is given to."""
        user = f"{self.user}@" if self.user else ""
        return f"ssh {user}{self.host}{f':{self.port}' if self.port else ''}"

    def transport(self) -> Transport:
        address = SshAddress(
            self.host,
            user=self.user,
            port=self.port,
            identity_file=_expanded(self.identity_file),
            known_hosts=_expanded(self.known_hosts),
            password=_secret(self.password_env, self.password_file),
            passphrase=_secret(self.passphrase_env, self.passphrase_file),
            connect_timeout=self.connect_timeout,
        )
        return SshTransport(address, self.work_dir)


class LocalSettings(_Machine):
    """A folder of this machine, treated like another machine: to try things out."""

    kind: Literal["local"]
    work_dir: Path

    @property
    def identity(self) -> str:
        """What consent is given to."""
        return f"local {self.work_dir}"

    def transport(self) -> Transport:
        return LocalTransport(self.work_dir.expanduser().absolute())


ExecutorSettings = Annotated[SshSettings | LocalSettings, Field(discriminator="kind")]


class OffloadSettings(_Settings):
    """All of the file."""

    objective: Literal["time", "spare-this-machine"] = "time"
    spare_factor: float = Field(3.0, ge=0, le=100)
    """What a second of this machine's processors costs in seconds of waiting, for ``spare-this-machine``."""
    executors: dict[str, ExecutorSettings] = {}

    @property
    def spare(self) -> float:
        return self.spare_factor if self.objective == "spare-this-machine" else 0.0

    def executor(self, name: str) -> SshSettings | LocalSettings:
        """The executor called ``name``. Raises ``UserError`` where there is none."""
        if name not in self.executors:
            known = ", ".join(self.executors) or "none yet"
            raise UserError(
                f"There is no executor {name!r} (there are: {known}).", hint=f"Describe it in {settings_file()}."
            )
        return self.executors[name]


def settings_file() -> Path:
    """Where the file is, or would be."""
    return config.settings_dir() / "executors.toml"


def load_settings(path: Path | None = None) -> OffloadSettings:
    """What the file says; nothing where there is none.

    Raises ``ConfigError`` that names the line, what is wrong with it, and what may stand there.
    """
    path = path or settings_file()
    if not path.exists():
        return OffloadSettings()
    try:
        text = path.read_text("utf-8")
        content = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(f"is not valid TOML: {error}.", file=path, hint="Repair that line.") from error
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError(f"cannot be read ({error}).", file=path) from error
    for name in content.get("executors", {}) if isinstance(content.get("executors"), dict) else {}:
        if not _NAME.fullmatch(name) or name in _RESERVED:
            where = _line(text, ("executors", name))
            hint = f"Use letters, digits, - and _, and none of {', '.join(_RESERVED)}."
            raise ConfigError(f"line {where}: {name!r} cannot be an executor's name.", file=path, hint=hint)
    try:
        return OffloadSettings.model_validate(content)
    except ValidationError as error:
        raise _explained(path, text, content, error) from error


def _explained(path: Path, text: str, content: dict[str, Any], error: ValidationError) -> ConfigError:
    """The first fault, in words, with its line and what is allowed."""
    fault = error.errors()[0]
    place = tuple(str(part) for part in fault["loc"] if part not in ("ssh", "local") or fault["loc"][-1] == part)
    allowed = _allowed(content, place)
    name = place[-1]
    if fault["type"] == "extra_forbidden":
        what, hint = f"there is no setting {name!r}.", f"Allowed are: {', '.join(allowed)}."
    elif fault["type"] == "missing":
        what, hint = f"{name!r} is missing.", f"Allowed are: {', '.join(allowed)}."
    elif fault["type"].startswith("union_tag"):
        what, hint = f"{'.'.join(place)} has no valid kind.", "Set kind to one of: ssh, local."
    else:
        what, hint = f"{name} is {fault['input']!r}: {fault['msg'].lower()}.", "Change it."
    return ConfigError(f"line {_line(text, place)}: {what}", file=path, hint=hint)


def _allowed(content: dict[str, Any], place: tuple[str, ...]) -> list[str]:
    if place[0] == "executors" and len(place) > 1:
        entry = content["executors"].get(place[1])
        kind = entry.get("kind") if isinstance(entry, dict) else None
        model: type[BaseModel] = LocalSettings if kind == "local" else SshSettings
        return list(model.model_fields)
    return list(OffloadSettings.model_fields)


def _line(text: str, place: tuple[str, ...]) -> int:
    """The line of a setting, or of its table where it is not there."""
    table, inside, found = ".".join(place[:2]) if place[0] == "executors" else "", place[0] != "executors", 1
    for number, line in enumerate(text.splitlines(), 1):
        header = re.fullmatch(r"\s*\[([^\]]*)\]\s*(#.*)?", line)
        if header:
            inside = header[1].replace('"', "").replace(" ", "") == table
            found = number if inside else found
        elif inside and re.match(rf"\s*\"?{re.escape(place[-1])}\"?\s*=", line):
            return number
    return found


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
