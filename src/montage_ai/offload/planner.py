"""Where each waiting job should go, and in which order: the soonest end of all, by the flow of jobs through lanes.

Up to ``EXACT`` jobs all divisions among the executors are compared, each executor's order found by dynamic programming
over sets of jobs. (With one slot an executor is a three-machine flow shop, for which one order in all lanes is enough:
Conway, Maxwell and Miller, "Theory of Scheduling", 1967.) Beyond that each job goes where it ends first, longest first
or in Johnson's order ("Optimal two- and three-stage production schedules", 1954). Either plan is then improved by
moves, judged by the whole flow, which also knows the steps on this machine before and after the lanes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from montage_ai.offload.flow import HERE, flow
from montage_ai.offload.options import LOCAL, Option, downlink, slots, uplink

EXACT = 7
"""Jobs up to which every division is compared."""

_FRONT = 12  # states kept a set of jobs
_MOVES = 400  # flows that improving may cost, divided by the number of jobs
_EARLY = 1e-3  # weight of the mean end: of plans that end together the one whose jobs end earlier

Free = Mapping[str, Sequence[float]]
"""When each server of each lane is free, in seconds from now."""


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


def plan(asks: Sequence[Ask], free: Free, *, spare: float = 0.0) -> list[Placement]:
    """The placements of all jobs that have an option, in the order in which they should start.

    ``spare`` is what a second of this machine's processors costs in seconds of waiting.
    """
    open_asks = [ask for ask in asks if ask.options]
    if not open_asks:
        return []
    judge = _Judge(free, spare)
    candidates = [_by_earliest_end(open_asks, free, spare)]
    if len(open_asks) <= EXACT:
        candidates.append(_by_search(open_asks, free, spare))
    best = _improved(min(candidates, key=judge), open_asks, judge)
    ends = flow([option.operations() for _, option in best], free).ends
    return [Placement(ask.job, option, end) for (ask, option), end in zip(best, ends, strict=True)]


Order = list[tuple[Ask, Option]]


@dataclass(frozen=True)
class _Judge:
    """What a plan costs, in seconds."""

    free: Free
    spare: float

    def __call__(self, order: Order) -> float:
        ends = flow([option.operations() for _, option in order], self.free).ends
        return max(ends) + _EARLY * sum(ends) / len(ends) + self.spare * sum(option.here for _, option in order)


# Beyond a few jobs


def _by_earliest_end(asks: Sequence[Ask], free: Free, spare: float) -> Order:
    """The better of two orders in which each job takes the option that ends first."""
    longest = sorted(asks, key=lambda ask: -min(option.seconds for option in ask.options))
    judge = _Judge(free, spare)
    return min((_greedy(order, free, spare) for order in (longest, _johnson(asks))), key=judge)


def _johnson(asks: Sequence[Ask]) -> list[Ask]:
    """Short uploads first, then short rests last: two-machine order of (up, compute and down)."""

    def lengths(ask: Ask) -> tuple[float, float]:
        quickest = min(ask.options, key=lambda option: option.seconds)
        return quickest.prepare + quickest.up, quickest.compute + quickest.down

    first = sorted((ask for ask in asks if lengths(ask)[0] <= lengths(ask)[1]), key=lambda ask: lengths(ask)[0])
    last = sorted((ask for ask in asks if lengths(ask)[0] > lengths(ask)[1]), key=lambda ask: -lengths(ask)[1])
    return [*first, *last]


def _greedy(asks: Sequence[Ask], free: Free, spare: float) -> Order:
    states = {name: _start(name, free) for name in _executors(asks)}
    order: Order = []
    for ask in asks:
        after = [(option, states[option.executor].then(option)) for option in ask.options]
        option, state = min(after, key=lambda pair: pair[1].last + spare * pair[0].here)
        states[option.executor] = state
        order.append((ask, option))
    return order


# A few jobs


@dataclass(frozen=True)
class _State:
    """An executor's lanes after some jobs: when the links and slots are free, the last job's and all jobs' end."""

    up: float
    servers: tuple[float, ...]
    down: float
    last: float = 0.0
    end: float = 0.0
    here: float = 0.0
    order: tuple[tuple[int, Option], ...] = ()

    def then(self, option: Option, job: int = 0) -> _State:
        """With one more job behind the others."""
        servers = list(self.servers)
        if option.executor == LOCAL:
            up, down = self.up, self.down
            last = servers[0] = servers[0] + option.here
        else:
            up = self.up + option.prepare + option.up
            servers[0] = max(servers[0], up) + option.compute
            down = max(self.down, servers[0]) + option.down
            last = down + option.finish
        end, here = max(self.end, last), self.here + option.here
        return _State(up, tuple(sorted(servers)), down, last, end, here, (*self.order, (job, option)))

    def beaten_by(self, other: _State) -> bool:
        """Whether nothing that follows can be better here than there."""
        return (
            other.end <= self.end
            and other.here <= self.here
            and other.up <= self.up
            and other.down <= self.down
            and all(a <= b for a, b in zip(other.servers, self.servers, strict=True))
        )


def _start(executor: str, free: Free) -> _State:
    if executor == LOCAL:
        return _State(0.0, tuple(sorted(free[HERE])), 0.0)
    up, down = free[uplink(executor)][0], free[downlink(executor)][0]
    return _State(up, tuple(sorted(free[slots(executor)])), down)


def _by_search(asks: Sequence[Ask], free: Free, spare: float) -> Order:
    """All divisions of the jobs among the executors."""
    everything = (1 << len(asks)) - 1
    best: dict[int, tuple[float, float, tuple[_State, ...]]] = {0: (0.0, 0.0, ())}  # by set: end, seconds here
    for name in _executors(asks):
        alone = _best_states(asks, name, free, spare)
        best = _shared(everything, best, alone, spare)
    states = best[everything][2]
    steps = [(state.order, position) for state in states for position in range(len(state.order))]
    steps.sort(key=lambda step: step[1])
    return [(asks[order[position][0]], order[position][1]) for order, position in steps]


def _best_states(asks: Sequence[Ask], executor: str, free: Free, spare: float) -> dict[int, _State]:
    """For each set of jobs that ``executor`` can do: the state after it with the least cost."""
    fronts: dict[int, list[_State]] = {0: [_start(executor, free)]}
    offers = [[option for option in ask.options if option.executor == executor] for ask in asks]
    for jobs in range(1, 1 << len(asks)):
        front: list[_State] = []
        for job in _members(jobs):
            for before in fronts.get(jobs & ~(1 << job), ()):
                for option in offers[job]:
                    _add(front, before.then(option, job))
        if front:
            fronts[jobs] = sorted(front, key=lambda state: state.end + spare * state.here)[:_FRONT]
    return {jobs: front[0] for jobs, front in fronts.items()}


def _add(front: list[_State], state: _State) -> None:
    if not any(state.beaten_by(other) for other in front):
        front[:] = [other for other in front if not other.beaten_by(state)]
        front.append(state)


def _shared(
    everything: int,
    others: Mapping[int, tuple[float, float, tuple[_State, ...]]],
    alone: Mapping[int, _State],
    spare: float,
) -> dict[int, tuple[float, float, tuple[_State, ...]]]:
    """For each set of jobs: the best division between the executors before and one more."""
    best: dict[int, tuple[float, float, tuple[_State, ...]]] = {}
    for jobs in range(everything + 1):
        for mine in _subsets(jobs):
            if mine in alone and (jobs & ~mine) in others:
                end, here, states = others[jobs & ~mine]
                state = alone[mine]
                joined = (max(end, state.end), here + state.here, (*states, state))
                if jobs not in best or joined[0] + spare * joined[1] < best[jobs][0] + spare * best[jobs][1]:
                    best[jobs] = joined
    return best


def _members(jobs: int) -> Iterator[int]:
    return (index for index in range(jobs.bit_length()) if jobs >> index & 1)


def _subsets(jobs: int) -> Iterator[int]:
    some = jobs
    while True:
        yield some
        if not some:
            return
        some = (some - 1) & jobs


def _executors(asks: Sequence[Ask]) -> list[str]:
    """All that occur, this machine first: of equal plans the one that moves less is kept."""
    names = {option.executor for ask in asks for option in ask.options}
    return sorted(names, key=lambda name: (name != LOCAL, name))


# Improving


def _improved(order: Order, asks: Sequence[Ask], judge: _Judge) -> Order:
    """Moves of single jobs, to another option or to another place in the order, as long as they help."""
    best, cost, flows = order, judge(order), _MOVES // len(asks)
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
        if index + 1 < len(order):
            yield [*order[:index], order[index + 1], order[index], *order[index + 2 :]]
