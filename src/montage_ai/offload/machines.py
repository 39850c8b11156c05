"""What is remembered of the machines that executors reach: their owner's consent, what they are, how they answer."""

from __future__ import annotations

import time
from dataclasses import dataclass

from pydantic import ValidationError

from montage_ai.media.database import Database
from montage_ai.worker.machine import Machine

_LONGEST_PAUSE = 3600.0


@dataclass(frozen=True)
class MachineRow:
    """An executor's machine as remembered. Times are Unix seconds; ``enabled`` is what consent was given to."""

    name: str
    enabled: str
    machine: Machine | None
    silences: int
    away_until: float
    error: str
    seen: float


class Machines:
    """The machines in a database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def get(self, name: str) -> MachineRow:
        """What is remembered; an empty row where nothing is."""
        row = self._db.one("SELECT * FROM executors WHERE name = ?", name)
        if row is None:
            return MachineRow(name, "", None, 0, 0.0, "", 0.0)
        _, enabled, machine, *rest = row
        return MachineRow(name, enabled, _machine(machine), *rest)

    def enable(self, name: str, identity: str) -> None:
        """Remember that files may go to the machine that ``identity`` says."""
        self._set(name, enabled=identity, silences=0, away_until=0.0, error="")

    def disable(self, name: str) -> None:
        self._set(name, enabled="")

    def forget(self, name: str) -> None:
        """Forget what a machine is: it is as if it had never been set up."""
        self._set(name, enabled="", machine="", silences=0, away_until=0.0, error="")

    def remember(self, name: str, machine: Machine) -> None:
        """Remember what a machine is."""
        self._set(name, machine=machine.model_dump_json(), seen=time.time())

    def answered(self, name: str) -> None:
        self._set(name, silences=0, away_until=0.0, error="", seen=time.time())

    def did_not_answer(self, name: str, silences: int, pause: float, error: str) -> None:
        """It did not answer for the ``silences``-th time in a row: for ``pause`` seconds nobody tries it again."""
        self._set(name, silences=silences, away_until=time.time() + pause, error=error)

    def pause(self, name: str) -> tuple[int, float]:
        """Silences in a row, and the seconds left of the pause; none where they cannot be (a clock has jumped)."""
        row, now = self.get(name), time.time()
        left = row.away_until - now
        return row.silences, left if 0 < left <= _LONGEST_PAUSE else 0.0

    def _set(self, name: str, **values: object) -> None:
        settings = ", ".join(f"{column} = ?" for column in values)
        with self._db.transaction() as db:
            db.execute("INSERT OR IGNORE INTO executors (name) VALUES (?)", (name,))
            db.execute(f"UPDATE executors SET {settings} WHERE name = ?", (*values.values(), name))  # noqa: S608


def _machine(text: str) -> Machine | None:
    try:
        return Machine.model_validate_json(text) if text else None
    except ValidationError:  # of another version: it is asked again
        return None
