"""The login that ``cgpu`` keeps in session.json: read, kept safe, and put back where ``cgpu`` has lost it.

``cgpu`` deletes its session when renewing its token fails for whatever reason: an answer 400, which means that the
login has lapsed, but also a server's error or a dropped connection, which mean nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, ValidationError

from montage_ai.errors import AccessDeniedError

M = TypeVar("M", bound=BaseModel)

_LAPSED = "The login of cgpu has lapsed, or was never made: run `cgpu connect` in a terminal and log in."


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Client(_Model):
    """config.json: what identifies the program to Google, and where Colab is."""

    clientId: str  # noqa: N815  (the file's names)
    clientSecret: str  # noqa: N815
    colabApiDomain: str  # noqa: N815
    storageDir: str | None = None  # noqa: N815

    def __repr__(self) -> str:
        return "Client()"  # no secrets


class Session(_Model):
    """session.json: what a login is remembered by."""

    refreshToken: str  # noqa: N815

    def __repr__(self) -> str:
        return "Session()"


def lapsed() -> AccessDeniedError:
    """What is told when somebody has to log in."""
    return AccessDeniedError(_LAPSED)


class Login:
    """``backup`` is our copy of the session: it holds a secret, and only its owner can read it."""

    def __init__(self, backup: Path) -> None:
        self._backup = backup

    @property
    def folder(self) -> Path:
        """Where ``cgpu`` keeps its configuration."""
        if chosen := os.environ.get("CGPU_CONFIG_DIR"):
            return Path(chosen)
        return Path(os.environ.get("XDG_CONFIG_HOME") or Path.home() / ".config") / "cgpu"

    @property
    def session_file(self) -> Path:
        client = self._read(Client, self.folder / "config.json")
        folder = Path(client.storageDir) if client is not None and client.storageDir else self.folder / "state"
        return folder / "session.json"

    @property
    def is_there(self) -> bool:
        """Whether there is a session that ``cgpu`` can use."""
        return self._read(Session, self.session_file) is not None

    def client(self) -> Client:
        """What identifies ``cgpu`` to Google. Raises ``AccessDeniedError`` where nobody ever logged in."""
        found = self._read(Client, self.folder / "config.json")
        if found is None:
            raise lapsed()
        return found

    def session(self) -> Session:
        """What the login is remembered by. Raises ``AccessDeniedError`` where there is none."""
        found = self._read(Session, self.session_file)
        if found is None:
            raise lapsed()
        return found

    def keep(self) -> None:
        """Copy the session as it is now. Raises ``AccessDeniedError`` where there is none."""
        self.session()
        content = self.session_file.read_bytes()
        if not self._backup.exists() or self._backup.read_bytes() != content:
            self._backup.parent.mkdir(parents=True, exist_ok=True)
            _write_privately(self._backup, content)

    def restore(self) -> bool:
        """Put our copy where the session has gone, and only there. Returns whether there is a session now."""
        if not self._backup.exists() or not self.session_file.parent.is_dir():
            return self.is_there
        with tempfile.TemporaryDirectory(dir=self.session_file.parent) as folder:
            copy = Path(folder) / "session.json"
            _write_privately(copy, self._backup.read_bytes())
            with contextlib.suppress(FileExistsError):  # a newer login
                os.link(copy, self.session_file)
        return self.is_there

    def forget(self) -> None:
        """The login has lapsed: our copy is worth nothing any more."""
        self._backup.unlink(missing_ok=True)

    @staticmethod
    def _read(kind: type[M], path: Path) -> M | None:
        try:
            return kind.model_validate(json.loads(path.read_bytes()))
        except (OSError, ValueError, ValidationError):
            return None


def _write_privately(path: Path, content: bytes) -> None:
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    with os.fdopen(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
    new.replace(path)
