"""Jobs flowing through lanes: when each ends, if every lane takes the first waiting job in order as soon as it is free.

A lane is a resource that serves as many jobs at once as it has servers: a link in one direction, the processors of this
machine, the slots of another. What is predicted here is what the scheduler does.
"""

from __future__ import annotations

import heapq
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

HERE = "here"
"""The lane of jobs that this machine computes."""

DESK = "desk"
"""The lane of the small steps on this machine, before and after what others compute: they do not wait for its jobs."""


class Operation(NamedTuple):
    """``seconds`` of a lane's time."""

    lane: str
    seconds: float


@dataclass(frozen=True)
class Flow:
    """When each job ends, and when each lane's servers are free again: seconds from now."""

    ends: list[float]
    free: dict[str, list[float]]


@dataclass
class _Lane:
    servers: list[float]  # when each is free; a heap
    queue: list[int] = field(default_factory=list)  # jobs that wait, the first in order first; a heap


def flow(jobs: Sequence[Sequence[Operation]], free: Mapping[str, Sequence[float]]) -> Flow:
    """Let ``jobs`` flow, each through its operations in order; ``free`` says when the servers of each lane are.

    Event by event: at every moment each free server takes the waiting job that is first in ``jobs``.
    """
    lanes = {name: _Lane(sorted(times)) for name, times in free.items()}
    ends = [0.0] * len(jobs)
    events: list[tuple[float, int, int]] = []  # when, which job, its operation that it is then ready for
    for index in range(len(jobs)):
        heapq.heappush(events, (0.0, index, 0))
    for lane in lanes.values():
        for time in lane.servers:
            if time > 0:
                heapq.heappush(events, (time, -1, 0))
    positions = [0] * len(jobs)
    while events:
        now = events[0][0]
        while events and events[0][0] <= now:
            _, index, position = heapq.heappop(events)
            if index < 0:
                continue
            operations = jobs[index]
            while position < len(operations) and operations[position].seconds <= 0:
                position += 1
            positions[index] = position
            if position == len(operations):
                ends[index] = now
            else:
                heapq.heappush(lanes[operations[position].lane].queue, index)
        for lane in lanes.values():
            while lane.queue and lane.servers[0] <= now:
                index = heapq.heappop(lane.queue)
                end = now + jobs[index][positions[index]].seconds
                heapq.heapreplace(lane.servers, end)
                heapq.heappush(events, (end, index, positions[index] + 1))
    return Flow(ends, {name: sorted(lane.servers) for name, lane in lanes.items()})
