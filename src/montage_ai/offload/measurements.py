"""What steps of jobs took, as recorded: what the cost model learns from and the report is made of."""

from __future__ import annotations

import time
from dataclasses import dataclass

from montage_ai.media.database import Database
from montage_ai.offload.costs import CostModel, Key

_KEPT = 200  # of each curve


@dataclass(frozen=True)
class Measurement:
    """A step that took ``seconds`` where ``predicted`` had been expected (None: it was not a job's, but a trial)."""

    key: Key
    units: float
    seconds: float
    predicted: float | None
    at: float


class Measurements:
    """The measurements in a database."""

    def __init__(self, database: Database) -> None:
        self._db = database

    def add(self, key: Key, units: float, seconds: float, predicted: float | None) -> None:
        """Record one, and forget the oldest of its curve."""
        insert = "INSERT INTO measurements (at, what, place, units, seconds, predicted) VALUES (?, ?, ?, ?, ?, ?)"
        surplus = (
            "DELETE FROM measurements WHERE what = ? AND place = ? AND id <= "
            "(SELECT id FROM measurements WHERE what = ? AND place = ? ORDER BY id DESC LIMIT 1 OFFSET ?)"
        )
        with self._db.transaction() as db:
            db.execute(insert, (time.time(), key.what, key.where, units, seconds, predicted))
            db.execute(surplus, (*key, *key, _KEPT))

    def all(self) -> list[Measurement]:
        """All that are kept, the oldest first."""
        rows = self._db.all("SELECT what, place, units, seconds, predicted, at FROM measurements ORDER BY id")
        return [Measurement(Key(what, place), *rest) for what, place, *rest in rows]

    def costs(self) -> CostModel:
        """A cost model that has learned from all of them."""
        model = CostModel()
        for one in self.all():
            model.observe(one.key, one.units, one.seconds)
        return model
