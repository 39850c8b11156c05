"""Plans against exhaustive search, and the flow of jobs through lanes."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from montage_ai.offload.flow import DESK, HERE, Lanes, Operation, flow
from montage_ai.offload.options import LOCAL, Option, downlink, slots, uplink
from montage_ai.offload.planner import Ask, plan

NAMES = (LOCAL, "box", "cloud")


def lanes(*names: str, here: int = 1) -> Lanes:
    servers = {HERE: here, DESK: here}
    for name in names:
        servers |= {uplink(name): 1, slots(name): 1, downlink(name): 1}
    return Lanes(servers)


def local(compute: float) -> Option:
    return Option(LOCAL, "here", 0, 0, compute, 0, 0)


def remote(name: str, up: float, compute: float, down: float, prepare: float = 0, finish: float = 0) -> Option:
    return Option(name, "there", prepare, up, compute, down, finish)


def best_by_exhaustion(asks: list[Ask], names: tuple[str, ...]) -> float:
    """Every division of the jobs, every order on every executor."""
    best: dict[tuple[str, frozenset[int]], float] = {}
    for name in names:
        for count in range(len(asks) + 1):
            for order in itertools.permutations(range(len(asks)), count):
                up = compute = down = 0.0
                for job in order:
                    option = next(option for option in asks[job].options if option.executor == name)
                    up += option.up
                    compute = max(compute, up) + option.compute
                    down = max(down, compute) + option.down
                key = (name, frozenset(order))
                best[key] = min(best.get(key, float("inf")), down)
    divisions = itertools.product(names, repeat=len(asks))
    return min(
        max(best[name, frozenset(j for j, n in enumerate(division) if n == name)] for name in names)
        for division in divisions
    )


SECONDS = st.floats(0.1, 50)
JOBS = st.lists(st.tuples(*[SECONDS] * 7), min_size=1, max_size=4)


@given(JOBS)
def test_a_few_jobs_are_placed_as_well_as_can_be(jobs: list[tuple[float, ...]]) -> None:
    asks = [Ask(str(n), (local(t[0]), remote("box", *t[1:4]), remote("cloud", *t[4:7]))) for n, t in enumerate(jobs)]
    placed = plan(asks, lanes("box", "cloud"))
    assert sorted(one.job for one in placed) == sorted(ask.job for ask in asks)
    assert max(one.end for one in placed) == pytest.approx(best_by_exhaustion(asks, NAMES))


@given(st.lists(st.tuples(*[SECONDS] * 4), min_size=8, max_size=25))
def test_many_jobs_end_no_later_than_all_here_or_all_there(jobs: list[tuple[float, ...]]) -> None:
    asks = [Ask(str(n), (local(t[0]), remote("box", *t[1:4]))) for n, t in enumerate(jobs)]
    ends = []
    for name in (None, LOCAL, "box"):
        some = [Ask(a.job, tuple(o for o in a.options if name in (None, o.executor))) for a in asks]
        ends.append(max(one.end for one in plan(some, lanes("box"))))
    assert ends[0] <= 1.001 * min(ends[1:])


def test_what_a_lane_has_to_do_already_is_waited_for() -> None:
    asks = [Ask("a", (local(10), remote("box", 1, 2, 1)))]
    assert plan(asks, lanes("box"))[0].option.executor == "box"
    for lane in (uplink("box"), slots("box")):
        assert plan(asks, lanes("box"), [[Operation(lane, 60.0)]])[0].option.executor == LOCAL


def test_sparing_this_machine_sends_what_would_be_quicker_here() -> None:
    asks = [Ask("a", (local(10), remote("box", 5, 10, 5)))]
    assert plan(asks, lanes("box"))[0].option.executor == LOCAL
    assert plan(asks, lanes("box"), spare=3.0)[0].option.executor == "box"


def test_the_better_variant_is_taken() -> None:
    whole, small = remote("box", 30, 2, 1), remote("box", 1, 2, 1, prepare=3)
    assert plan([Ask("a", (local(100), whole, small))], lanes("box"))[0].option is small


def test_a_job_that_nobody_can_do_is_left_out() -> None:
    assert plan([Ask("a", ()), Ask("b", (local(1),))], lanes())[0].job == "b"
    assert plan([], lanes()) == []


class TestFlow:
    def test_equal_jobs_overlap_in_three_lanes(self) -> None:
        jobs = [remote("box", 2, 3, 1).operations() for _ in range(50)]
        assert max(flow(jobs, lanes("box")).ends) == pytest.approx(2 + 3 + 1 + 49 * 3)

    def test_a_lane_with_two_servers_does_two_at_once(self) -> None:
        jobs = [[Operation(HERE, 5.0)] for _ in range(4)]
        found = flow(jobs, Lanes({HERE: 2}))
        assert found.ends == [5, 5, 10, 10]
        assert found.free == {HERE: [10, 10]}

    def test_a_job_without_operations_ends_at_once(self) -> None:
        assert flow([[], [Operation(HERE, 0.0)]], Lanes({HERE: 1})).ends == [0, 0]

    def test_jobs_on_one_machine_share_its_processors(self) -> None:
        machine = Lanes({HERE: 3, DESK: 1}, {LOCAL: 2.0})
        alone = Operation(HERE, 6.0, machine=LOCAL, load=2.0)
        assert flow([[alone]], machine).ends == [6]
        assert flow([[alone], [alone]], machine).ends == pytest.approx([12, 12])
        half = Operation(HERE, 3.0, machine=LOCAL, load=1.0)
        assert flow([[half], [half]], machine).ends == pytest.approx([3, 3])  # both have a processor
        # Until the half ends, both have two thirds of their pace.
        assert flow([[alone], [half]], machine).ends == pytest.approx([7.5, 4.5])
        assert flow([[alone], [Operation(DESK, 3.0, machine=LOCAL, load=1.0)]], machine).ends == pytest.approx(
            [7.5, 4.5]
        )

    @pytest.mark.parametrize("scale", [1e-6, 1.0, 1e7, 1e12])
    def test_it_comes_to_an_end_whatever_times_are_predicted(self, scale: float) -> None:
        rng = random.Random(2)
        for _ in range(20):
            loads = [rng.uniform(0.1, 60) for _ in range(6)]
            seconds = [scale * rng.random() for _ in loads]
            jobs = [[Operation(HERE, s, machine=LOCAL, load=load)] for s, load in zip(seconds, loads, strict=True)]
            assert max(flow(jobs, Lanes({HERE: 3}, {LOCAL: 4.0})).ends) >= max(seconds)

    def test_what_is_not_ready_lets_others_pass(self) -> None:
        late, other = [Operation("up", 2.0, ready=5.0)], [Operation("up", 3.0)]
        assert flow([late, other], Lanes({"up": 1})).ends == [7, 3]

    @given(st.lists(st.tuples(st.floats(0.1, 9), st.floats(0.1, 4)), min_size=1, max_size=6), st.integers(1, 3))
    def test_processors_do_no_more_than_they_can_and_do_not_idle(
        self, work: list[tuple[float, float]], servers: int
    ) -> None:
        jobs = [[Operation(HERE, seconds, machine=LOCAL, load=load)] for seconds, load in work]
        end = max(flow(jobs, Lanes({HERE: servers}, {LOCAL: 2.0})).ends)
        total = sum(seconds * min(load, 2.0) for seconds, load in work)
        assert end >= total / 2.0 - 1e-6
        assert end <= sum(seconds * max(load / 2.0, 1.0) for seconds, load in work) + 1e-6

    @given(st.lists(st.lists(st.tuples(st.sampled_from("xyz"), st.floats(0, 9)), max_size=4), max_size=6))
    def test_no_lane_works_more_than_it_can(self, jobs: list[list[tuple[str, float]]]) -> None:
        found = flow([[Operation(*one) for one in job] for job in jobs], Lanes(dict.fromkeys("xyz", 1)))
        for lane in "xyz":
            assert found.free[lane][0] >= sum(s for job in jobs for name, s in job if name == lane) - 1e-6
        for job, end in zip(jobs, found.ends, strict=True):
            assert end >= sum(seconds for _, seconds in job) - 1e-6


def test_planning_is_quick_enough_to_be_done_at_every_event() -> None:
    rng = random.Random(1)
    asks = [
        Ask(
            str(n),
            (local(rng.uniform(5, 50)), *(remote(f"r{k}", *(rng.uniform(1, 20) for _ in range(3))) for k in range(4))),
        )
        for n in range(40)
    ]
    placed = plan(asks, lanes(*(f"r{k}" for k in range(4)), here=2))
    assert len({one.option.executor for one in placed}) == 5  # all machines are used
