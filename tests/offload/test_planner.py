"""Plans against exhaustive search, and the flow of jobs through lanes."""

from __future__ import annotations

import itertools
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from montage_ai.offload.flow import DESK, HERE, Operation, flow
from montage_ai.offload.options import LOCAL, Option, downlink, slots, uplink
from montage_ai.offload.planner import Ask, plan

NAMES = (LOCAL, "box", "cloud")


def free_lanes(*names: str, here: int = 1) -> dict[str, list[float]]:
    lanes = {HERE: [0.0] * here, DESK: [0.0] * here}
    for name in names:
        lanes |= {uplink(name): [0.0], slots(name): [0.0], downlink(name): [0.0]}
    return lanes


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
    placed = plan(asks, free_lanes("box", "cloud"))
    assert sorted(one.job for one in placed) == sorted(ask.job for ask in asks)
    assert max(one.end for one in placed) == pytest.approx(best_by_exhaustion(asks, NAMES))


@given(st.lists(st.tuples(*[SECONDS] * 4), min_size=8, max_size=25))
def test_many_jobs_end_no_later_than_all_here_or_all_there(jobs: list[tuple[float, ...]]) -> None:
    asks = [Ask(str(n), (local(t[0]), remote("box", *t[1:4]))) for n, t in enumerate(jobs)]
    lanes = free_lanes("box")
    ends = []
    for name in (None, LOCAL, "box"):
        some = [Ask(a.job, tuple(o for o in a.options if name in (None, o.executor))) for a in asks]
        ends.append(max(one.end for one in plan(some, lanes)))
    assert ends[0] <= 1.001 * min(ends[1:])


def test_what_a_lane_has_to_do_already_is_waited_for() -> None:
    asks = [Ask("a", (local(10), remote("box", 1, 2, 1)))]
    lanes = free_lanes("box")
    assert plan(asks, lanes)[0].option.executor == "box"
    assert plan(asks, lanes | {uplink("box"): [60.0]})[0].option.executor == LOCAL
    assert plan(asks, lanes | {slots("box"): [60.0]})[0].option.executor == LOCAL


def test_sparing_this_machine_sends_what_would_be_quicker_here() -> None:
    asks = [Ask("a", (local(10), remote("box", 5, 10, 5)))]
    assert plan(asks, free_lanes("box"))[0].option.executor == LOCAL
    assert plan(asks, free_lanes("box"), spare=3.0)[0].option.executor == "box"


def test_the_better_variant_is_taken() -> None:
    whole, small = remote("box", 30, 2, 1), remote("box", 1, 2, 1, prepare=3)
    assert plan([Ask("a", (local(100), whole, small))], free_lanes("box"))[0].option is small


def test_a_job_that_nobody_can_do_is_left_out() -> None:
    assert plan([Ask("a", ()), Ask("b", (local(1),))], free_lanes())[0].job == "b"
    assert plan([], free_lanes()) == []


class TestFlow:
    def test_equal_jobs_overlap_in_three_lanes(self) -> None:
        jobs = [remote("box", 2, 3, 1).operations() for _ in range(50)]
        assert max(flow(jobs, free_lanes("box")).ends) == pytest.approx(2 + 3 + 1 + 49 * 3)

    def test_a_lane_with_two_servers_does_two_at_once(self) -> None:
        jobs = [[Operation(HERE, 5.0)] for _ in range(4)]
        found = flow(jobs, {HERE: [0.0, 0.0]})
        assert found.ends == [5, 5, 10, 10]
        assert found.free == {HERE: [10, 10]}

    def test_a_job_without_operations_ends_at_once(self) -> None:
        assert flow([[], [Operation(HERE, 0.0)]], {HERE: [7.0]}).ends == [0, 0]

    @given(st.lists(st.lists(st.tuples(st.sampled_from("xyz"), st.floats(0, 9)), max_size=4), max_size=6))
    def test_no_lane_works_more_than_it_can(self, jobs: list[list[tuple[str, float]]]) -> None:
        found = flow([[Operation(*one) for one in job] for job in jobs], {lane: [0.0] for lane in "xyz"})
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
    placed = plan(asks, free_lanes(*(f"r{k}" for k in range(4)), here=2))
    assert len({one.option.executor for one in placed}) == 5  # all machines are used
