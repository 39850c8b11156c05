"""The ways in which a job can be done: where, how, and how long each step is thought to take."""

from __future__ import annotations

from dataclasses import dataclass

from montage_ai.offload.flow import DESK, HERE, Operation

LOCAL = "local"
"""The name of the executor on this machine."""


@dataclass(frozen=True)
class Option:
    """A job's ``variant`` at an ``executor``, with the seconds of its steps.

    ``measured`` says whether computing there was ever measured, or is a guess. ``bytes_up`` and ``bytes_down`` are
    the predicted sizes of its payload and its outputs. ``continued`` marks steps that an earlier attempt has paid for.
    """

    executor: str
    variant: str
    prepare: float
    up: float
    compute: float
    down: float
    finish: float
    measured: bool = True
    bytes_up: float = 0.0
    bytes_down: float = 0.0
    continued: bool = False
    whole_compute: float = 0.0
    """Where it is continued: the seconds of computing that were predicted for all of it."""

    @property
    def seconds(self) -> float:
        """From beginning to end, if no lane is busy."""
        return self.prepare + self.up + self.compute + self.down + self.finish

    @property
    def here(self) -> float:
        """Seconds of this machine's processors."""
        return self.prepare + self.finish + (self.compute if self.executor == LOCAL else 0.0)

    @property
    def at_best(self) -> float:
        """The seconds that are possible: a guess may be wrong tenfold, a transfer that is measured is not."""
        return self.seconds if self.measured else self.seconds - 0.9 * self.compute

    def operations(self) -> list[Operation]:
        """Its steps, each in its lane."""
        if self.executor == LOCAL:
            return [Operation(HERE, self.prepare + self.compute + self.finish)]
        return [
            Operation(DESK, self.prepare),
            Operation(uplink(self.executor), self.up),
            Operation(slots(self.executor), self.compute),
            Operation(downlink(self.executor), self.down),
            Operation(DESK, self.finish),
        ]


def uplink(executor: str) -> str:
    """The lane that takes payloads to ``executor``."""
    return f"{executor}/up"


def slots(executor: str) -> str:
    """The lane in which ``executor`` computes."""
    return HERE if executor == LOCAL else f"{executor}/compute"


def downlink(executor: str) -> str:
    """The lane that brings results from ``executor``."""
    return f"{executor}/down"
