"""Where each waiting job should go, and in which order: the soonest end of all, by the flow of jobs through lanes.

Plans are built job by job. A few jobs are taken in every order that may matter: for each set of jobs the best states of
the lanes are kept, and each is continued with one more job (a beam search over sets of jobs; with one link, one slot
and one link back an executor is a three-machine flow shop, for which one order in all lanes is enough: Conway, Maxwell
and Miller, "Theory of Scheduling", 1967). Many jobs are taken longest first, and in Johnson's order ("Optimal two- and
three-stage production schedules", 1954), each where it ends first. The best of these plans is improved by moves of
single jobs, judged by the whole flow, which also knows that jobs on one machine slow each other down.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from montage_ai.offload.flow import Lanes, Operation, flow
from montage_ai.offload.options import Option

_STATES = 6000  # continued in a beam search, in all ...
_WIDEST = 60  # ... and of one set of jobs
_TRIED = 8  # plans that are found so and judged by the whole flow ...
_IMPROVED = 2  # ... of which so many are improved
_MOVES = 500  # flows that improving one may cost, divided by the number of jobs
_EARLY = 1e-3  # weight of the mean end: of plans that end together the one whose jobs end earlier

Begun = Sequence[Sequence[Operation]]
"""What is left of the jobs that have begun, the first to take a lane first."""


@dataclass(frozen=True)
class Ask:
    """A job that waits, and the ways to do it."""

    job: str
    options: tuple[Option, ...]


@dataclass(frozen=True)
class Placement:
    """Where a job goes; ``end`` is when its result is expected, in seconds from now."""

    job: str
    option: Option
    end: float


def plan(asks: Sequence[Ask], lanes: Lanes, begun: Begun = (), *, spare: float = 0.0) -> list[Placement]:
    """The placements of all jobs that have an option, in the order in which they should start.

    ``spare`` is what a second of this machine's processors costs in seconds of waiting.
    """
    open_asks = [ask for ask in asks if ask.options]
    if not open_asks:
        return []
    judge = _Judge(lanes, begun, spare)
    start = _start(lanes, begun)
    width = int(_STATES / (sum(len(ask.options) for ask in open_asks) * 2.0 ** (len(open_asks) - 1)))
    candidates = [_greedy(asks, start, spare) for asks in (_longest_first(open_asks), _johnson(open_asks))]
    if width > 1:
        candidates += _by_search(open_asks, start, min(width, _WIDEST), spare)[:_TRIED]
    candidates.sort(key=judge)
    best = min((_improved(order, judge) for order in candidates[:_IMPROVED]), key=judge)
    return [Placement(ask.job, option, end) for (ask, option), end in zip(best, judge.ends(best), strict=True)]


Order = list[tuple[Ask, Option]]


@dataclass(frozen=True)
class _Judge:
    """What a plan costs, in seconds."""

    lanes: Lanes
    begun: Begun
    spare: float

    def __call__(self, order: Order) -> float:
        ends = self._all_ends(order)
        return max(ends) + _EARLY * sum(ends) / len(ends) + self.spare * sum(option.here for _, option in order)

    def ends(self, order: Order) -> list[float]:
        """When each job of a plan ends."""
        return self._all_ends(order)[len(self.begun) :]

    def _all_ends(self, order: Order) -> list[float]:
        return flow([*self.begun, *(option.operations() for _, option in order)], self.lanes).ends


# Building


@dataclass(frozen=True)
class _State:
    """When the lanes' servers are free after some jobs, and when the last of those ends."""

    free: dict[str, tuple[float, ...]]
    last: float = 0.0
    total: float = 0.0
    """Of all ends."""
    here: float = 0.0
    order: tuple[tuple[int, Option], ...] = ()

    def then(self, option: Option, job: int = 0) -> _State:
        """With one more job, that goes through each lane behind the others."""
        free, time = dict(self.free), 0.0
        for operation in option.operations():
            if operation.seconds > 0:
                first, *others = free[operation.lane]
                time = max(time, first, operation.ready) + operation.seconds
                free[operation.lane] = tuple(sorted((*others, time)))
        last, here = max(self.last, time), self.here + option.here
        return _State(free, last, self.total + time, here, (*self.order, (job, option)))

    def cost(self, spare: float) -> float:
        return self.last + _EARLY * self.total / max(len(self.order), 1) + spare * self.here

    def beaten_by(self, other: _State) -> bool:
        """Whether nothing that follows can be better here than there."""
        return (
            other.last <= self.last
            and other.here <= self.here
            and all(a <= b for lane, mine in self.free.items() for a, b in zip(other.free[lane], mine, strict=True))
        )


def _start(lanes: Lanes, begun: Begun) -> _State:
    free = flow(begun, lanes).free
    return _State({lane: tuple(times) for lane, times in free.items()})


def _by_search(asks: Sequence[Ask], start: _State, width: int, spare: float) -> list[Order]:
    """For each set of jobs the ``width`` best states, each reached from those of the sets with one job less."""
    fronts: list[list[_State]] = [[start]]
    for jobs in range(1, 1 << len(asks)):
        reached = [
            before.then(option, job)
            for job in _members(jobs)
            for before in fronts[jobs & ~(1 << job)]
            for option in asks[job].options
        ]
        reached.sort(key=lambda state: state.cost(spare))
        front: list[_State] = []
        for state in reached:
            if len(front) == width:
                break
            if not any(state.beaten_by(other) for other in front):
                front.append(state)
        fronts.append(front)
    return [[(asks[job], option) for job, option in state.order] for state in fronts[-1]]


def _members(jobs: int) -> Iterator[int]:
    return (index for index in range(jobs.bit_length()) if jobs >> index & 1)


def _longest_first(asks: Sequence[Ask]) -> list[Ask]:
    return sorted(asks, key=lambda ask: -min(option.seconds for option in ask.options))


def _johnson(asks: Sequence[Ask]) -> list[Ask]:
    """Short uploads first, then short rests last: two-machine order of (up, compute and down)."""

    def lengths(ask: Ask) -> tuple[float, float]:
        quickest = min(ask.options, key=lambda option: option.seconds)
        return quickest.prepare + quickest.up, quickest.compute + quickest.down

    first = sorted((ask for ask in asks if lengths(ask)[0] <= lengths(ask)[1]), key=lambda ask: lengths(ask)[0])
    last = sorted((ask for ask in asks if lengths(ask)[0] > lengths(ask)[1]), key=lambda ask: -lengths(ask)[1])
    return [*first, *last]


def _greedy(asks: Sequence[Ask], state: _State, spare: float) -> Order:
    order: Order = []
    for ask in asks:
        after = [(option, state.then(option)) for option in ask.options]
        before = state
        option, state = min(after, key=lambda one: one[1].total - before.total + spare * one[0].here)
        order.append((ask, option))
    return order


# Improving


def _improved(order: Order, judge: _Judge) -> Order:
    """Moves of single jobs, to another option or to another place in the order, as long as they help."""
    best, cost, flows = order, judge(order), _MOVES // len(order)
    better = len(order) > 1 or len(order[0][0].options) > 1
    while better and flows > 0:
        better = False
        for candidate in _neighbours(best):
            flows -= 1
            if (found := judge(candidate)) < cost - 1e-9:
                best, cost, better = candidate, found, True
                break
            if flows <= 0:
                break
    return best


def _neighbours(order: Order) -> Iterator[Order]:
    for index, (ask, option) in enumerate(order):
        for other in ask.options:
            if other is not option:
                yield [*order[:index], (ask, other), *order[index + 1 :]]
    for index, moved in enumerate(order):
        others = [*order[:index], *order[index + 1 :]]
        for place in range(len(order)):
            if place not in (index, index - 1):  # the place before has done the same with its neighbour
                yield [*others[:place], moved, *others[place:]]
