"""Whether ``cgpu`` can be used: answered from memory at once, and asked again in the background."""

from __future__ import annotations

import contextlib
import shutil
import threading
import time
from pathlib import Path

import anyio
from pydantic import BaseModel, ConfigDict, ValidationError

from montage_ai.errors import MontageError, RemoteError
from montage_ai.media.files import write_atomically
from montage_ai.offload.transports.cgpu.client import CgpuClient
from montage_ai.offload.transports.cgpu.login import Login

_FRESH = 60.0  # seconds for which an answer is not asked for again
_TRUSTED = 600.0  # seconds for which a bad one counts: a short program may end before it has another

_asking = threading.Lock()


class _Health(BaseModel):
    """What ``cgpu`` said at ``asked``, in Unix time."""

    model_config = ConfigDict(frozen=True)

    available: bool
    asked: float


class CgpuHealth:
    """The health of ``program``, remembered in ``folder`` across programs."""

    def __init__(self, program: str, folder: Path) -> None:
        self._program, self._folder = program, folder
        self._login = Login(folder / "session.json")

    @property
    def available(self) -> bool:
        """Installed, logged in, and well when asked last; where that was long ago it is asked again meanwhile."""
        if shutil.which(self._program) is None or not self._login.is_there:
            return False
        last = self._last()
        age = time.time() - last.asked if last is not None else -1.0
        if not 0 <= age < _FRESH:
            threading.Thread(target=self.refresh, daemon=True).start()
        return last is None or last.available or not 0 <= age < _TRUSTED

    def refresh(self) -> None:
        """Ask it, unless somebody does already."""
        if not _asking.acquire(blocking=False):
            return
        try:
            health = _Health(available=anyio.run(self._ask), asked=time.time())
            with contextlib.suppress(OSError, MontageError):  # it is asked again next time
                self._folder.mkdir(parents=True, exist_ok=True)
                write_atomically(self._file, health.model_dump_json(), durable=False)
        finally:
            _asking.release()

    async def _ask(self) -> bool:
        try:
            await CgpuClient(self._program, self._login, self._folder / "lock").status()
        except (RemoteError, OSError):
            return False
        return True

    @property
    def _file(self) -> Path:
        return self._folder / "health.json"

    def _last(self) -> _Health | None:
        try:
            return _Health.model_validate_json(self._file.read_bytes())
        except (OSError, ValidationError):
            return None
