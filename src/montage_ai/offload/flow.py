"""Jobs flowing through lanes: when each ends, if every lane takes the first waiting job in order as soon as it is free.

A lane is a resource that serves as many jobs at once as it has servers: a link in one direction, the processors of this
machine, the slots of another. Jobs that compute on one machine share its processors, whatever their lanes. What is
predicted here is what the scheduler does.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from montage_ai.offload.sharing import ProcessorSharing

HERE = "here"
"""The lane of jobs that this machine computes."""

DESK = "desk"
"""The lane of the small steps on this machine, before and after what others compute: they do not wait for its jobs."""

_TOGETHER = 1e-9  # of the time until then, or seconds: what happens within them is one event


class Operation(NamedTuple):
    """``seconds`` of a lane's time, which do not begin before ``ready``.

    On a ``machine`` it keeps ``load`` processors busy, and takes longer where others run beside it.
    """

    lane: str
    seconds: float
    ready: float = 0.0
    machine: str = ""
    load: float = 0.0


@dataclass(frozen=True)
class Lanes:
    """How many ``servers`` each lane has, and how many ``processors`` each machine (none named: enough)."""

    servers: Mapping[str, int]
    processors: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Flow:
    """When each job ends, and when each lane's servers are free again: seconds from now."""

    ends: list[float]
    free: dict[str, list[float]]


class _Turn(NamedTuple):
    """A job that is at one of its operations; jobs come first as they stand in order."""

    job: int
    position: int


class _Lane:
    def __init__(self, servers: int) -> None:
        self.free = [0.0] * servers  # since when those that are free are
        self.queue: list[_Turn] = []


class _Machine(ProcessorSharing):
    def __init__(self, processors: float) -> None:
        super().__init__(processors)
        self.running: list[tuple[float, _Turn]] = []  # by the seconds of work at which each ends; a heap

    def next_end(self, now: float) -> float:
        """When the first of what runs ends, if nothing changes before."""
        return now + max(self.running[0][0] - self.worked(now), 0.0) / self.pace if self.running else math.inf


def flow(jobs: Sequence[Sequence[Operation]], lanes: Lanes) -> Flow:
    """Let ``jobs`` flow, each through its operations in order.

    Event by event: at every moment each free server takes the waiting job that is first in ``jobs``.
    """
    return _Run(jobs, lanes).to_its_end()


class _Run:
    def __init__(self, jobs: Sequence[Sequence[Operation]], lanes: Lanes) -> None:
        self._jobs = jobs
        self._lanes = {name: _Lane(servers) for name, servers in lanes.servers.items()}
        self._machines: dict[str, _Machine] = {}
        self._processors = lanes.processors
        self._coming = [(0.0, _Turn(job, 0)) for job in range(len(jobs))]  # when each comes to an operation; a heap
        self._timed: list[tuple[float, _Turn]] = []  # what runs, and shares nothing, by its end; a heap
        self._ends = [0.0] * len(jobs)
        self._now = 0.0

    def to_its_end(self) -> Flow:
        while self._coming or self._timed or any(machine.running for machine in self._machines.values()):
            self._now = self._next()
            for turn in self._ended():
                lane = self._lanes[self._operation(turn).lane]
                heapq.heappush(lane.free, self._now)
                heapq.heappush(self._coming, (self._now, _Turn(turn.job, turn.position + 1)))
            while self._coming and self._coming[0][0] <= self._soon:
                self._arrive(heapq.heappop(self._coming)[1])
            for lane in self._lanes.values():
                while lane.queue and lane.free:
                    heapq.heappop(lane.free)
                    self._start(heapq.heappop(lane.queue))
        return Flow(self._ends, {name: sorted(lane.free) for name, lane in self._lanes.items()})

    @property
    def _soon(self) -> float:
        return self._now + _TOGETHER * max(1.0, self._now)

    def _operation(self, turn: _Turn) -> Operation:
        return self._jobs[turn.job][turn.position]

    def _next(self) -> float:
        times = [heap[0][0] for heap in (self._coming, self._timed) if heap]
        times += [machine.next_end(self._now) for machine in self._machines.values()]
        return max(min(times), self._now)

    def _ended(self) -> list[_Turn]:
        """What ends now."""
        ended = []
        while self._timed and self._timed[0][0] <= self._soon:
            ended.append(heapq.heappop(self._timed)[1])
        for machine in self._machines.values():
            worked = machine.worked(self._now) + (self._soon - self._now)
            while machine.running and machine.running[0][0] <= worked:
                turn = heapq.heappop(machine.running)[1]
                machine.add(-self._operation(turn).load, self._now)
                ended.append(turn)
        return ended

    def _arrive(self, turn: _Turn) -> None:
        """A job comes to an operation: it waits for it, or is past its last one."""
        operations, position = self._jobs[turn.job], turn.position
        while position < len(operations) and operations[position].seconds <= 0:
            position += 1
        if position == len(operations):
            self._ends[turn.job] = self._now
        elif operations[position].ready > self._soon:
            heapq.heappush(self._coming, (operations[position].ready, _Turn(turn.job, position)))
        else:
            heapq.heappush(self._lanes[operations[position].lane].queue, _Turn(turn.job, position))

    def _start(self, turn: _Turn) -> None:
        operation = self._operation(turn)
        if not operation.load:
            heapq.heappush(self._timed, (self._now + operation.seconds, turn))
            return
        if operation.machine not in self._machines:
            processors = self._processors.get(operation.machine, math.inf)
            self._machines[operation.machine] = _Machine(processors)
        machine = self._machines[operation.machine]
        machine.add(operation.load, self._now)
        heapq.heappush(machine.running, (machine.worked(self._now) + operation.seconds, turn))
