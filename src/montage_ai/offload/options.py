"""The ways in which a job can be done: where, how, and how long each step is thought to take."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any

from montage_ai.offload.executors.executor import Executor
from montage_ai.offload.flow import DESK, HERE, Lanes, Operation
from montage_ai.offload.states import State

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
    load: float = 0.0
    """Processors that computing keeps busy there, if nothing else runs; 0: it shares none."""
    link: str = ""
    """The connection that its payload and outputs travel over; empty: one of the executor's own."""
    ready: float = 0.0
    """Seconds from now until the executor can take a payload: it may have to be set up first."""

    @property
    def seconds(self) -> float:
        """From beginning to end, if no lane is busy."""
        return self.prepare + self.up + self.compute + self.down + self.finish

    @property
    def here(self) -> float:
        """Seconds of this machine's processors."""
        return self.prepare + self.finish + (self.compute if self.executor == LOCAL else 0.0)

    def at_best(self) -> Option:
        """The same as it may turn out: a guess may be wrong tenfold, a transfer that is measured is not."""
        return self if self.measured else replace(self, compute=0.1 * self.compute)

    def steps(self) -> dict[State, Operation]:
        """Its steps in their order, each in its lane."""
        if self.executor == LOCAL:
            seconds = {State.PREPARING: self.prepare, State.RUNNING: self.compute, State.FINISHING: self.finish}
            return {state: Operation(HERE, one, machine=LOCAL, load=self.load) for state, one in seconds.items()}
        link, here = self.link or self.executor, min(self.load, 1.0)
        return {
            State.PREPARING: Operation(DESK, self.prepare, machine=LOCAL, load=here),
            State.UPLOADING: Operation(uplink(link), self.up, self.ready),
            State.RUNNING: Operation(slots(self.executor), self.compute, self.ready, self.executor, self.load),
            State.DOWNLOADING: Operation(downlink(link), self.down),
            State.FINISHING: Operation(DESK, self.finish, machine=LOCAL, load=here),
        }

    def operations(self) -> list[Operation]:
        """The same, without the steps' names."""
        return list(self.steps().values())


def lanes(executors: Iterable[Executor[Any]]) -> Lanes:
    """The lanes that jobs at ``executors`` flow through."""
    servers: dict[str, int] = {}
    processors: dict[str, float] = {}
    for one in executors:
        processors[one.name] = one.processors
        if one.name == LOCAL:
            servers |= {HERE: one.slots, DESK: one.slots}
        else:
            link = one.link or one.name
            servers |= {uplink(link): 1, slots(one.name): one.slots, downlink(link): 1}
    return Lanes({HERE: 1, DESK: 1, **servers}, processors)


def uplink(link: str) -> str:
    """The lane that takes payloads away over a connection."""
    return f"{link}/up"


def slots(executor: str) -> str:
    """The lane in which ``executor`` computes."""
    return HERE if executor == LOCAL else f"{executor}/compute"


def downlink(link: str) -> str:
    """The lane that brings results here over a connection."""
    return f"{link}/down"
