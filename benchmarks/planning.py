"""The planner and the scheduler against exhaustive search, in virtual time.

500 cases from seed 2026: 1 to 6 jobs, this machine and 0 to 2 others. Of each executor, pace and link are log-uniform
in 0.2 to 5; of each job, computing is log-uniform in 1 to 100 s, uploading in 0.5 to 50 s, downloading in 0.2 to 20
s, at pace 1. Half of the others are cold, and take log-uniform 5 to 60 s to be set up. Predictions are exact: what is
measured is what planning loses. The optimum is over all divisions of the jobs and all orders on every executor.

300 more cases from the same seed share: 2 to 4 jobs, this machine and two others behind one uplink and one downlink.
Each machine has 1 to 4 processors and runs up to so many jobs at once, each of which keeps uniformly 0.5 to as many
processors busy as there are. The optimum is over all divisions of the jobs and all orders in which they take the lanes.
"""

from __future__ import annotations

import itertools
import random
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import replace

import trio
import trio.testing

from benchmarks.row import Row, at_most
from montage_ai.offload.flow import Lanes, flow
from montage_ai.offload.options import LOCAL, Option, lanes
from montage_ai.offload.planner import Ask, plan
from montage_ai.offload.simulated import SimulatedExecutor, SimulatedLink, Times, World
from montage_ai.tasks.task import Line

SEED, CASES, SHARING_CASES = 2026, 500, 300
_NAMES = (LOCAL, "a", "b")

Jobs = dict[str, dict[str, Times]]


def rows(quick: bool = False) -> list[Row]:
    """All figures of the planner and the scheduler."""
    return [
        *_against_the_optimum(50 if quick else CASES),
        *_sharing(30 if quick else SHARING_CASES),
        _overlap(),
        *_wrong_priors(),
        _dead_remote(),
    ]


def carry_out(world: World) -> float:
    """The seconds that the scheduler takes, in virtual time."""
    seconds: float = trio.run(world.carry_out, clock=trio.testing.MockClock(autojump_threshold=0))
    return seconds


def _against_the_optimum(cases: int) -> list[Row]:
    rng = random.Random(SEED)
    ratios, against_simple = [], []
    for _ in range(cases):
        jobs, set_ups = _case(rng)
        executors = [SimulatedExecutor(name, set_up=set_ups.get(name, 0.0)) for name in next(iter(jobs.values()))]
        seconds = carry_out(World(jobs, executors, set_ups=set_ups))
        alone = _alone(jobs, set_ups)
        ratios.append(seconds / _optimum(jobs, alone))
        everything = frozenset(jobs)
        against_simple.append(seconds / min(times[everything] for times in alone.values()))
    about = f"exhaustive search, {cases} cases, seed {SEED}"
    return [
        at_most("total time, on average", statistics.mean(ratios), 1.03, reference=about, unit="x"),
        at_most("total time, at worst", max(ratios), 1.25, reference=about, unit="x"),
        at_most(
            "total time, on average",
            statistics.mean(against_simple),
            1.02,
            reference="the better of all here and all at one other",
            unit="x",
        ),
    ]


def _case(rng: random.Random) -> tuple[Jobs, dict[str, float]]:
    def log_uniform(low: float, high: float) -> float:
        return low * float((high / low) ** rng.random())

    names = _NAMES[: rng.randint(1, 3)]
    pace, link = ({name: log_uniform(0.2, 5) for name in names} for _ in range(2))
    set_ups = {name: log_uniform(5, 60) for name in names[1:] if rng.random() < 0.5}
    jobs: Jobs = {}
    for number in range(rng.randint(1, 6)):
        compute, up, down = log_uniform(1, 100), log_uniform(0.5, 50), log_uniform(0.2, 20)
        jobs[str(number)] = {
            name: Times(compute * pace[name])
            if name == LOCAL
            else Times(compute * pace[name], up=up * link[name], down=down * link[name])
            for name in names
        }
    return jobs, set_ups


def _alone(jobs: Jobs, set_ups: Mapping[str, float]) -> dict[str, dict[frozenset[str], float]]:
    """For each executor and each set of jobs, the least time over all orders."""
    best: dict[str, dict[frozenset[str], float]] = {}
    for name in next(iter(jobs.values())):
        times: dict[frozenset[str], float] = {frozenset(): 0.0}
        for count in range(1, len(jobs) + 1):
            for order in itertools.permutations(jobs, count):
                up = set_ups.get(name, 0.0)
                compute = down = 0.0
                for job in order:
                    one = jobs[job][name]
                    up += one.up
                    compute = max(compute, up) + one.compute
                    down = max(down, compute) + one.down
                key = frozenset(order)
                times[key] = min(times.get(key, float("inf")), down)
        best[name] = times
    return best


def _optimum(jobs: Jobs, alone: Mapping[str, Mapping[frozenset[str], float]]) -> float:
    names = list(alone)
    return min(
        max(alone[name][frozenset(job for job, n in zip(jobs, division, strict=True) if n == name)] for name in names)
        for division in itertools.product(names, repeat=len(jobs))
    )


def _sharing(cases: int) -> list[Row]:
    rng = random.Random(SEED)
    ratios, wrong = [], []
    for _ in range(cases):
        jobs, processors = _sharing_case(rng)
        link = SimulatedLink("shared")
        executors = [
            SimulatedExecutor(name, slots=count, processors=count, link=None if name == LOCAL else link)
            for name, count in processors.items()
        ]
        seconds = carry_out(World(jobs, executors))
        options = [
            [replace(times.option(one.name), link=one.link) for one in executors if (times := jobs[job][one.name])]
            for job in jobs
        ]
        ratios.append(seconds / _best_flow(options, lanes(executors)))
        asks = [Ask(job, tuple(some)) for job, some in zip(jobs, options, strict=True)]
        predicted = max(one.end for one in plan(asks, lanes(executors)))
        wrong.append(max(seconds / predicted, predicted / seconds))
    about = f"exhaustive search, {cases} cases with one uplink and shared processors, seed {SEED}"
    return [
        at_most("total time with what is shared, on average", statistics.mean(ratios), 1.05, reference=about, unit="x"),
        at_most("total time with what is shared, at worst", max(ratios), 1.25, reference=about, unit="x"),
        at_most(
            "total time against the plan's prediction, on average",
            statistics.mean(wrong),
            1.05,
            reference="either way",
            unit="x",
        ),
    ]


def _sharing_case(rng: random.Random) -> tuple[Jobs, dict[str, int]]:
    def log_uniform(low: float, high: float) -> float:
        return low * float((high / low) ** rng.random())

    pace = {name: log_uniform(0.2, 5) for name in _NAMES}
    link = log_uniform(0.2, 5)
    processors = {name: rng.randint(1, 4) for name in _NAMES}
    jobs: Jobs = {}
    for number in range(rng.randint(2, 4)):
        compute, up, down = log_uniform(1, 100), log_uniform(0.5, 50) * link, log_uniform(0.2, 20) * link
        loads = {name: rng.uniform(0.5, processors[name]) for name in _NAMES}
        jobs[str(number)] = {
            name: Times(compute * pace[name], load=loads[name])
            if name == LOCAL
            else Times(compute * pace[name], up=up, down=down, load=loads[name])
            for name in _NAMES
        }
    return jobs, processors


def _best_flow(options: Sequence[Sequence[Option]], there: Lanes) -> float:
    """The soonest end over all divisions of the jobs and all orders."""
    best = float("inf")
    for division in itertools.product(*options):
        steps = [option.operations() for option in division]
        if max(sum(one.seconds for one in job) for job in steps) < best:
            best = min(best, *(max(flow(order, there).ends) for order in itertools.permutations(steps)))
    return best


def _overlap() -> Row:
    up, compute, down = 2.0, 3.0, 1.0
    jobs = {str(n): {"a": Times(compute, up=up, down=down)} for n in range(50)}
    seconds = carry_out(World(jobs, [SimulatedExecutor(LOCAL), SimulatedExecutor("a")]))
    ideal = up + compute + down + 49 * max(up, compute, down)
    return at_most(
        "50 equal jobs in three lanes", seconds / ideal, 1.05, reference=f"u + c + d + 49 max = {ideal:.0f} s", unit="x"
    )


def _wrong_priors() -> list[Row]:
    """One job after the other, so that nothing else is learned on the side; the mean of jobs 6 to 10."""
    found = []
    for off in (0.1, 10.0):
        worst = 0.0
        for wrong, (here, there) in itertools.product(
            (LOCAL, "a"), ((40.0, 8.0), (8.0, 40.0), (20.0, 12.0), (12.0, 20.0))
        ):
            priors = {LOCAL: Line(0, here), "a": Line(0, there)}
            priors[wrong] = Line(0, off * priors[wrong].per_unit)
            worst = max(worst, _regret(priors, here, there))
        note = "worst of 8: either machine's prior, four pairs of paces"
        found.append(
            at_most(f"regret after 5 jobs, prior {off:g} times the truth", 100 * worst, 10, unit="%", note=note)
        )
    return found


def _regret(priors: Mapping[str, Line], here: float, there: float) -> float:
    world = World({}, [], learning=priors)
    regrets = []
    for number in range(10):
        world.jobs = {str(number): {LOCAL: Times(here), "a": Times(there)}}
        world.units, world.ends = {str(number): 1.0}, {}
        world.executors = [SimulatedExecutor(LOCAL), SimulatedExecutor("a")]
        regrets.append(carry_out(world) / min(here, there) - 1)
    return statistics.mean(regrets[5:])


def _dead_remote() -> Row:
    from montage_ai.errors import UnreachableError

    time_out = 10.0
    dead = SimulatedExecutor("a", connecting=time_out, refusing=lambda now: UnreachableError("no answer"))
    jobs = {str(n): {LOCAL: Times(0.5), "a": Times(0.1)} for n in range(40)}
    seconds = carry_out(World(jobs, [SimulatedExecutor(LOCAL), dead]))
    note = f"asked {dead.connections} times"
    lost = seconds - 40 * 0.5
    return at_most(
        "40 jobs beside a dead remote, longer by", lost, time_out, reference="one time-out", unit="s", note=note
    )
