"""The scheduler in virtual time: overlap, losses, second attempts, learning. Seconds here cost nothing."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import ClassVar

import anyio
import pytest
import trio
import trio.testing
from hypothesis import given
from hypothesis import strategies as st

from montage_ai.errors import (
    AccessDeniedError,
    CrashError,
    MediaError,
    MontageError,
    RuntimeLostError,
    TaskError,
    UnreachableError,
    UnsuitedError,
)
from montage_ai.offload.options import LOCAL, Option
from montage_ai.offload.run import Attempt, Run
from montage_ai.offload.scheduler import Scheduler
from montage_ai.offload.simulated import Simulated, SimulatedExecutor, SimulatedLink, Times, World
from montage_ai.offload.states import ENDS, State
from montage_ai.tasks.task import Line


def carry_out(world: World) -> float:
    seconds: float = trio.run(world.carry_out, clock=trio.testing.MockClock(autojump_threshold=0))
    return seconds


def here_and(*others: SimulatedExecutor, slots: int = 1) -> list[SimulatedExecutor]:
    return [SimulatedExecutor(LOCAL, slots=slots), *others]


def once(state: State, error: MontageError, executor: str = "box") -> Callable[[Simulated, State], MontageError | None]:
    """Trouble at the first time that a job ends this step."""
    seen: set[str] = set()

    def trouble(work: Simulated, now: State) -> MontageError | None:
        if now is state and work.job not in seen:
            seen.add(work.job)
            return error
        return None

    return trouble


def states(world: World, job: str) -> list[State]:
    return [state for _, name, state, _ in world.log if name == job]


THERE = {LOCAL: Times(60), "box": Times(up=2, compute=5, down=1)}


def test_a_job_goes_where_it_ends_first_and_through_all_states() -> None:
    world = World({"a": THERE}, here_and(SimulatedExecutor("box")))
    assert carry_out(world) == pytest.approx(8)
    assert states(world, "a") == [
        State.PREPARING,
        State.UPLOADING,
        State.RUNNING,
        State.DOWNLOADING,
        State.FINISHING,
        State.DONE,
    ]


def test_three_lanes_overlap() -> None:
    jobs = {str(n): {LOCAL: Times(10_000), "box": Times(up=2, compute=3, down=1)} for n in range(50)}
    seconds = carry_out(World(jobs, here_and(SimulatedExecutor("box"))))
    assert seconds <= 1.05 * (2 + 3 + 1 + 49 * 3)


def test_both_machines_work_at_once() -> None:
    jobs = {str(n): {LOCAL: Times(6), "box": Times(up=1, compute=6, down=1)} for n in range(20)}
    assert carry_out(World(jobs, here_and(SimulatedExecutor("box")))) <= 20 * 6 / 2 + 10


def test_setting_up_is_part_of_the_plan() -> None:
    times = {LOCAL: Times(30), "box": Times(compute=5)}
    cold = World({"a": times}, here_and(SimulatedExecutor("box", set_up=60)), set_ups={"box": 60})
    assert carry_out(cold) == pytest.approx(30)
    many = World({str(n): times for n in range(20)}, here_and(SimulatedExecutor("box", set_up=60)), set_ups={"box": 60})
    assert carry_out(many) < 200


class TestWhatIsShared:
    """One uplink leads to several machines, and jobs on one machine share its processors."""

    def test_payloads_to_machines_behind_one_uplink_travel_one_after_the_other(self) -> None:
        link = SimulatedLink("home")
        boxes = [SimulatedExecutor(name, link=link) for name in ("a", "b")]
        times = {LOCAL: Times(1000), "a": Times(20, up=10, down=1), "b": Times(20, up=10, down=1)}
        world = World({str(n): times for n in range(4)}, here_and(*boxes))
        assert carry_out(world) == pytest.approx(4 * 10 + 20 + 1)
        uploads = [when for when, _, state, _ in world.log if state is State.UPLOADING]
        assert uploads == pytest.approx([0, 10, 20, 30])

    def test_it_is_known_before_that_an_uplink_is_shared(self) -> None:
        """What two uplinks would bring in 20 s, one brings in 40: then this machine is sooner."""
        times = {LOCAL: Times(14), "a": Times(1, up=20), "b": Times(1, up=20)}
        jobs = {str(n): times for n in range(2)}
        link = SimulatedLink("home")
        boxes = [SimulatedExecutor(name, link=link) for name in ("a", "b")]
        shared = World(jobs, here_and(*boxes))
        assert carry_out(shared) == pytest.approx(21)
        assert sorted(where for _, where, _ in shared.attempts) in (["a", LOCAL], ["b", LOCAL])

    def test_who_is_set_up_does_not_hold_the_uplink(self) -> None:
        link = SimulatedLink("home")
        cold, warm = SimulatedExecutor("cold", link=link, set_up=50), SimulatedExecutor("warm", link=link)
        times = {LOCAL: Times(10_000), "cold": Times(40, up=5), "warm": Times(40, up=5)}
        world = World({str(n): times for n in range(4)}, here_and(cold, warm), set_ups={"cold": 50})
        assert carry_out(world) == pytest.approx(135, abs=10)
        first = [(when, where) for when, _, state, where in world.log if state is State.UPLOADING][:2]
        assert first == [(0, "warm"), (5, "warm")]

    def test_a_second_attempt_does_not_delay_the_first_of_another(self) -> None:
        """Whatever happens first at one moment: the payload of the only attempt goes before that of the second."""
        for _ in range(20):
            link = SimulatedLink("home")
            boxes = [SimulatedExecutor(name, link=link) for name in ("a", "b")]
            jobs = {
                "long": {LOCAL: Times(25), "a": Times(3, up=5, down=10), "b": Times(3, up=5, down=10)},
                "short": {LOCAL: Times(18), "a": Times(3, up=8, down=2), "b": Times(3, up=8, down=2)},
            }
            assert carry_out(World(jobs, here_and(*boxes))) == pytest.approx(18)

    def test_a_set_up_that_fails_is_not_repeated_by_those_that_waited_for_it(self) -> None:
        class Unsuitable(SimulatedExecutor):
            tries = 0

            async def set_up(self) -> None:
                self.tries += 1
                await anyio.sleep(60)
                raise UnsuitedError("no Python there")

        box = Unsuitable("box", set_up=60)
        times = {LOCAL: Times(50), "box": Times(1, up=1)}
        world = World({str(n): times for n in range(6)}, here_and(box), set_ups={"box": 10})
        assert carry_out(world) == pytest.approx(60 + 6 * 50)
        assert box.tries == 1

    def test_a_set_up_that_was_quicker_than_predicted_is_over(self) -> None:
        """Otherwise the uplink would seem idle until the predicted moment."""
        box = SimulatedExecutor("box", set_up=10)
        times = {LOCAL: Times(70), "box": Times(10, up=15, down=1)}
        world = World({str(n): times for n in range(8)}, here_and(box), set_ups={"box": 120})
        assert carry_out(world) <= 10 + 8 * 15 + 11

    def test_a_job_on_a_machine_that_was_not_known_is_learned_as_it_was(self) -> None:
        took: list[float] = []

        class Revealed(SimulatedExecutor):
            async def set_up(self) -> None:
                await super().set_up()
                self.processors = 2

        class Noting(World):
            def took(self, attempt: Attempt[Simulated], step: State, seconds: float, share: float) -> None:
                if step is State.RUNNING:
                    took.append(seconds)

        world = Noting({"a": {"box": Times(100, load=4.0)}}, [Revealed("box", set_up=5)])
        carry_out(world)
        assert took == pytest.approx([100])

    def test_two_jobs_at_once_on_two_processors_are_known_to_take_longer(self) -> None:
        """Two that keep both processors busy take 20 s side by side: one of them is sooner elsewhere."""
        times = {LOCAL: Times(10, load=2.0), "box": Times(13, load=1.0)}
        box = SimulatedExecutor("box")
        here = SimulatedExecutor(LOCAL, slots=2, processors=2)
        world = World({"a": times, "b": times}, [here, box])
        assert carry_out(world) == pytest.approx(13)
        light = {LOCAL: Times(10, load=1.0), "box": Times(13, load=1.0)}
        here = SimulatedExecutor(LOCAL, slots=2, processors=2)
        assert carry_out(World({"a": light, "b": light}, [here, box])) == pytest.approx(10)

    def test_what_is_learned_of_jobs_side_by_side_is_what_one_takes_alone(self) -> None:
        times = {LOCAL: Times(10, load=2.0)}
        took: list[float] = []

        class Noting(World):
            def took(self, attempt: Attempt[Simulated], step: State, seconds: float, share: float) -> None:
                if step is State.RUNNING:
                    took.append(seconds)

        jobs = {str(n): times for n in range(3)}
        world = Noting(jobs, [SimulatedExecutor(LOCAL, slots=2, processors=2)])
        assert carry_out(world) == pytest.approx(30)
        assert took == pytest.approx([10, 10, 10])


class TestEarlierAttempts:
    """A program that was killed has left work elsewhere."""

    TIMES: ClassVar = {LOCAL: Times(10), "box": Times(prepare=5, up=5, compute=8, down=1)}

    def test_work_that_exists_is_carried_on_rather_than_done_anew(self) -> None:
        for reached, ago in ((State.UPLOADING, 8.0), (State.RUNNING, 100.0)):
            world = World({"a": self.TIMES}, here_and(SimulatedExecutor("box")), earlier={"a": ("box", reached, ago)})
            carry_out(world)
            assert world.attempts == [("a", "box", "done")]

    def test_work_that_has_only_begun_is_not_worth_waiting_for_and_is_discarded(self) -> None:
        slow = self.TIMES | {"box": Times(up=5, compute=100)}
        box = SimulatedExecutor("box")
        world = World({"a": slow}, here_and(box), earlier={"a": ("box", State.UPLOADING, 8.0)})
        assert carry_out(world) == pytest.approx(10)
        assert box.discarded == ["a"]
        assert world.attempts == [("a", LOCAL, "done"), ("a", "box", "discarded")]

    def test_what_a_machine_computes_that_does_not_answer_for_a_while_is_paid_for_too(self) -> None:
        box = SimulatedExecutor("box", trouble=once(State.RUNNING, UnreachableError("no answer")))
        jobs = {"a": {LOCAL: Times(40), "box": Times(up=30, compute=30, down=1)}, "b": {LOCAL: Times(95)}}
        world = World(jobs, here_and(box))  # when the box is back, this machine is busy for 5 s
        carry_out(world)
        assert [attempt for attempt in world.attempts if attempt[0] == "a"] == [
            ("a", "box", "lost"),
            ("a", "box", "done"),
        ]

    def test_what_was_lost_with_its_machine_is_not_paid_for(self) -> None:
        lost = iter([RuntimeLostError("gone")])
        box = SimulatedExecutor("box", trouble=lambda work, state: next(lost, None))
        world = World({"a": self.TIMES}, here_and(box), earlier={"a": ("box", State.RUNNING, 100.0)})
        carry_out(world)
        assert world.attempts == [("a", "box", "lost"), ("a", LOCAL, "done")]


class TestComputingForEver:
    def test_a_machine_that_comes_no_further_is_not_used_any_more(self) -> None:
        box = SimulatedExecutor("box", slowness=lambda _: 1e6)
        jobs = {str(n): {LOCAL: Times(200), "box": Times(20)} for n in range(3)}
        world = World(jobs, here_and(box), only="box")
        assert carry_out(world) == pytest.approx(1200 + 3 * 200, rel=0.01)  # the others do not wait for it too
        assert all(run.state is State.DONE for run in world.runs.values())
        (notice,) = world.notices
        assert "box says that it computes" in notice

    def test_one_that_always_tells_a_little_progress_ends_too(self) -> None:
        box = SimulatedExecutor("box", slowness=lambda _: 10_000)  # a tenth every 1000 s
        world = World({"a": {"box": Times(1), LOCAL: Times(2000)}}, here_and(box), only="box")
        assert carry_out(world) < 3600 + 2000 + 100

    def test_one_that_is_much_slower_than_was_thought_may_take_its_time(self) -> None:
        box = SimulatedExecutor("box")
        believed = {"a": {"box": Option("box", "only", 0, 0, 60, 0, 0)}}
        world = World({"a": {"box": Times(2500)}}, [box], believed=believed)
        assert carry_out(world) == pytest.approx(2500)


class TestLosing:
    @pytest.mark.parametrize("state", [State.UPLOADING, State.RUNNING, State.DOWNLOADING])
    def test_a_machine_that_does_not_answer_costs_time_and_no_work(self, state: State) -> None:
        box = SimulatedExecutor("box", trouble=once(state, UnreachableError("no answer")))
        world = World({str(n): THERE for n in range(4)}, here_and(box))
        carry_out(world)
        assert all(run.state is State.DONE and not run.failures for run in world.runs.values())

    def test_a_lost_runtime_uses_up_no_try_and_the_work_is_done_again(self) -> None:
        lost = iter(range(5))
        box = SimulatedExecutor(
            "box",
            trouble=lambda work, state: (
                RuntimeLostError("gone") if state is State.RUNNING and next(lost, None) is not None else None
            ),
        )
        world = World({"a": {"box": Times(compute=5)}}, here_and(box))
        carry_out(world)
        assert world.runs["a"].state is State.DONE
        assert [outcome for *_, outcome in world.attempts] == ["lost"] * 5 + ["done"]

    def test_a_dead_machine_costs_one_time_out_once_and_not_one_a_job(self) -> None:
        dead = SimulatedExecutor("box", connecting=10, refusing=lambda now: UnreachableError("no answer"))
        jobs = {str(n): {LOCAL: Times(2), "box": Times(compute=0.1)} for n in range(30)}
        seconds = carry_out(World(jobs, here_and(dead)))
        assert seconds <= 30 * 2 + 10 + 2
        assert dead.connections <= 2  # and once more, half a minute later

    def test_jobs_that_only_a_dead_machine_can_do_are_parked_and_done_when_it_is_back(self) -> None:
        box = SimulatedExecutor("box", refusing=lambda now: UnreachableError("no answer") if now < 500 else None)
        world = World({"a": {"box": Times(compute=5)}, "b": {LOCAL: Times(1)}}, here_and(box))
        assert 500 <= carry_out(world) <= 2000
        assert State.PARKED in states(world, "a")
        assert world.runs["a"].state is State.DONE
        assert box.connections < 10  # with longer and longer pauses

    def test_a_machine_that_refuses_us_is_not_asked_again(self) -> None:
        box = SimulatedExecutor("box", refusing=lambda now: AccessDeniedError("no"))
        world = World({str(n): THERE for n in range(5)}, here_and(box))
        assert carry_out(world) == pytest.approx(300)
        assert box.connections == 1
        assert any("not used any more" in notice for notice in world.notices)

    def test_what_a_machine_lacks_sends_the_job_elsewhere_and_is_told(self) -> None:
        box = SimulatedExecutor("box", trouble=lambda work, state: UnsuitedError("its disk is full"))
        world = World({"a": THERE}, here_and(box))
        assert carry_out(world) == pytest.approx(62, abs=3)
        assert world.runs["a"].state is State.DONE
        assert any("disk is full" in notice for notice in world.notices)

    def test_where_nobody_is_suited_the_job_fails_and_says_so(self) -> None:
        box = SimulatedExecutor("box", trouble=lambda work, state: UnsuitedError("it has no GPU"))
        world = World({"a": {"box": Times(1)}}, here_and(box))
        carry_out(world)
        assert "it has no GPU" in str(world.runs["a"].error)


class TestFailing:
    def test_a_failure_of_the_work_is_tried_elsewhere_once(self) -> None:
        box = SimulatedExecutor("box", trouble=lambda work, state: TaskError("the root cause"))
        world = World({"a": THERE}, here_and(box))
        carry_out(world)
        assert world.runs["a"].state is State.DONE

    def test_that_fails_everywhere_names_the_first_cause(self) -> None:
        def trouble(name: str) -> SimulatedExecutor:
            return SimulatedExecutor(name, trouble=lambda work, state: TaskError(f"failed at {name}"))

        world = World({"a": THERE}, [trouble(LOCAL), trouble("box")])
        carry_out(world)
        assert world.runs["a"].state is State.FAILED
        assert "failed at box" in str(world.runs["a"].error)
        assert len(world.attempts) == 2

    def test_the_users_mistake_is_not_tried_twice(self) -> None:
        box = SimulatedExecutor("box", trouble=lambda work, state: MediaError("is not a video"))
        world = World({"a": THERE}, here_and(box))
        carry_out(world)
        assert isinstance(world.runs["a"].error, MediaError)
        assert len(world.attempts) == 1

    def test_a_crash_is_tried_again_where_there_is_no_other_place(self) -> None:
        local = SimulatedExecutor(LOCAL, trouble=once(State.RUNNING, CrashError("killed")))
        world = World({"a": {LOCAL: Times(5)}}, [local])
        assert carry_out(world) == pytest.approx(10)
        assert world.runs["a"].state is State.DONE

    def test_that_crashes_every_time_fails(self) -> None:
        local = SimulatedExecutor(LOCAL, trouble=lambda work, state: CrashError("killed"))
        world = World({"a": {LOCAL: Times(5)}}, [local])
        carry_out(world)
        assert world.runs["a"].state is State.FAILED


class TestSecondAttempts:
    def test_a_straggler_is_overtaken_and_cleaned_up(self) -> None:
        box = SimulatedExecutor("box", slowness=lambda work: 100.0)
        world = World({"a": {LOCAL: Times(20), "box": Times(compute=5)}}, here_and(box))
        assert carry_out(world) < 60
        assert box.discarded == ["a"]
        assert [(job, where) for job, where, outcome in world.attempts if outcome == "done"] == [("a", LOCAL)]

    def test_what_runs_as_predicted_is_not_doubled(self) -> None:
        world = World({"a": {LOCAL: Times(7), "box": Times(compute=6)}}, here_and(SimulatedExecutor("box")))
        carry_out(world)
        assert len(world.attempts) == 1

    def test_a_machine_that_was_never_measured_is_tried_beside_the_other(self) -> None:
        times = {LOCAL: Times(40), "box": Times(compute=5, up=1)}
        believed = {
            "a": {LOCAL: times[LOCAL].option(LOCAL), "box": Option("box", "only", 0, 1, 50, 0, 0, measured=False)}
        }
        world = World({"a": times}, here_and(SimulatedExecutor("box")), believed=believed)
        assert carry_out(world) < 10

    def test_only_one_result_is_made_when_both_end_at_once(self) -> None:
        times = {LOCAL: Times(10), "box": Times(compute=10)}
        believed = {
            "a": {LOCAL: times[LOCAL].option(LOCAL), "box": Option("box", "only", 0, 0, 12, 0, 0, measured=False)}
        }
        world = World({"a": times}, here_and(SimulatedExecutor("box")), believed=believed)
        carry_out(world)
        assert [outcome for *_, outcome in world.attempts].count("done") == 1
        assert states(world, "a").count(State.DONE) == 1


class TestAskedFor:
    def test_the_named_executor_does_all_even_where_it_is_slower(self) -> None:
        box = SimulatedExecutor("box")
        world = World({str(n): {LOCAL: Times(1), "box": Times(compute=9)} for n in range(3)}, here_and(box), only="box")
        carry_out(world)
        assert {where for _, where, _ in world.attempts} == {"box"}

    @pytest.mark.parametrize("error", [CrashError("killed"), TaskError("failed")])
    def test_this_machine_steps_in_when_the_work_fails_there(self, error: MontageError) -> None:
        world = World({"a": THERE}, here_and(SimulatedExecutor("box", trouble=lambda work, state: error)), only="box")
        carry_out(world)
        assert [where for _, where, _ in world.attempts] == ["box", LOCAL]
        assert world.runs["a"].state is State.DONE

    def test_this_machine_steps_in_when_it_is_away(self) -> None:
        box = SimulatedExecutor("box", refusing=lambda now: UnreachableError("no answer"))
        world = World({"a": THERE}, here_and(box), only="box")
        carry_out(world)
        assert [where for _, where, _ in world.attempts] == [LOCAL]


@pytest.mark.parametrize("off", [0.1, 10.0])
@pytest.mark.parametrize("wrong", [LOCAL, "box"])
@pytest.mark.parametrize(("here", "there"), [(40.0, 8.0), (8.0, 40.0), (20.0, 12.0)])
def test_a_wrong_prior_costs_little_after_five_jobs(off: float, wrong: str, here: float, there: float) -> None:
    """One job after the other, so that nothing else is learned on the side."""
    priors = {LOCAL: Line(0, here), "box": Line(0, there)}
    priors[wrong] = Line(0, off * priors[wrong].per_unit)
    world = World({}, here_and(SimulatedExecutor("box")), learning=priors)
    regrets = []
    for number in range(10):
        world.jobs = {str(number): {LOCAL: Times(here), "box": Times(compute=there)}}
        world.units, world.ends = {str(number): 1.0}, {}
        world.executors = here_and(SimulatedExecutor("box"))
        regrets.append(carry_out(world) / min(here, there) - 1)
    assert max(regrets[5:]) < 0.10


JOB = st.fixed_dictionaries(
    {},
    optional={
        LOCAL: st.builds(Times, compute=st.floats(0, 20)),
        "box": st.builds(
            Times, compute=st.floats(0, 20), up=st.floats(0, 9), down=st.floats(0, 9), prepare=st.floats(0, 2)
        ),
        "cloud": st.builds(Times, compute=st.floats(0, 20), up=st.floats(0, 9), finish=st.floats(0, 9)),
    },
)
ERRORS = (
    UnreachableError("x"),
    RuntimeLostError("x"),
    TaskError("x"),
    CrashError("x"),
    UnsuitedError("x"),
    None,
    None,
    None,
)


@given(st.dictionaries(st.sampled_from("abcdef"), JOB, min_size=1), st.integers(0, 2**32))
def test_whatever_goes_wrong_every_job_ends_once(jobs: dict[str, dict[str, Times]], seed: int) -> None:
    rng = random.Random(seed)

    def trouble(work: Simulated, state: State) -> MontageError | None:
        return rng.choice(ERRORS)

    executors = [SimulatedExecutor(name, trouble=trouble) for name in (LOCAL, "box", "cloud")]
    world = World(jobs, executors)
    carry_out(world)
    for job in jobs:
        ends = [state for state in states(world, job) if state in ENDS]
        assert len(ends) == 1
        assert states(world, job)[-1] in ENDS
        done = [outcome for name, _, outcome in world.attempts if name == job].count("done")
        assert done == (ends[0] is State.DONE)
        assert world.runs[job].error is not None or ends[0] is State.DONE


def test_a_job_is_given_up_wherever_it_is() -> None:
    async def main() -> tuple[State, list[str]]:
        box = SimulatedExecutor("box")
        world = World({"a": {"box": Times(compute=100)}}, here_and(box))
        scheduler: Scheduler[Simulated] = Scheduler(world.executors, world, world)
        run = Run("a", "a")
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scheduler.serve)
            scheduler.submit(run)
            await anyio.sleep(10)
            scheduler.cancel("a")
            await anyio.sleep(1)
            tasks.cancel_scope.cancel()
        return run.state, box.discarded

    state, discarded = trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
    assert (state, discarded) == (State.CANCELLED, ["a"])


def test_a_job_that_is_held_begins_when_it_is_let_go() -> None:
    async def main() -> float:
        world = World({"a": {LOCAL: Times(5)}}, here_and())
        scheduler: Scheduler[Simulated] = Scheduler(world.executors, world, world)
        ended = anyio.Event()
        run = Run("a", "a", lambda run, _: ended.set() if run.state in ENDS else None)
        run.held = True
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(scheduler.serve)
            scheduler.submit(run)
            await anyio.sleep(100)
            scheduler.hold("a", False)
            await ended.wait()
            tasks.cancel_scope.cancel()
        return anyio.current_time()

    clock = trio.testing.MockClock(autojump_threshold=0)
    assert trio.run(main, clock=clock) == pytest.approx(105)


class TestFaults:
    def test_a_set_up_that_cannot_work_is_not_tried_for_every_job(self) -> None:
        class Bare(SimulatedExecutor):
            tries = 0

            async def set_up(self) -> None:
                Bare.tries += 1
                raise UnsuitedError("no Python 3.11 there")

        world = World({str(n): THERE for n in range(5)}, here_and(Bare("box", set_up=1)))
        carry_out(world)
        assert Bare.tries == 1
        assert all(run.state is State.DONE for run in world.runs.values())

    def test_what_another_machine_cannot_read_is_tried_here(self) -> None:
        box = SimulatedExecutor("box", trouble=lambda work, state: MediaError("x") if state is State.RUNNING else None)
        world = World({"a": THERE}, here_and(box))
        carry_out(world)
        assert world.runs["a"].state is State.DONE

    def test_a_fault_of_one_job_does_not_end_the_others(self) -> None:
        class Faulty(SimulatedExecutor):
            async def upload(self, work: Simulated, on_done: object) -> int:
                raise ValueError("a fault of the program")

        world = World({str(n): THERE for n in range(3)}, here_and(Faulty("box")))
        carry_out(world)
        assert all(run.state is State.DONE for run in world.runs.values())

    def test_a_result_that_cannot_be_kept_ends_the_job(self) -> None:
        class Full(World):
            async def finish(self, work: Simulated) -> object:
                raise OSError("no space")

        world = Full({"a": THERE}, here_and(SimulatedExecutor("box")))
        carry_out(world)
        assert world.runs["a"].state is State.FAILED
        assert len(world.attempts) == 2

    def test_the_end_is_told_once(self) -> None:
        times = {LOCAL: Times(10), "box": Times(compute=10, prepare=9)}
        believed = {"a": {LOCAL: Option(LOCAL, "only", 0, 0, 50, 0, 0), "box": Option("box", "only", 0, 0, 1, 0, 0)}}
        world = World({"a": times}, here_and(SimulatedExecutor("box", slowness=lambda _: 9)), believed=believed)
        carry_out(world)
        told = [state for state in states(world, "a") if state in ENDS]
        assert told == [State.DONE]

    def test_many_parked_jobs_do_not_hold_up_the_others(self) -> None:
        box = SimulatedExecutor("box", refusing=lambda now: UnreachableError("no answer") if now < 500 else None)
        jobs = {f"p{n:02}": {"box": Times(compute=1)} for n in range(60)} | {"z": {LOCAL: Times(1)}}
        world = World(jobs, here_and(box))
        carry_out(world)
        assert world.ends["z"] < 10


@pytest.mark.parametrize("seconds", [2, 4, 9, 10])
def test_one_that_is_given_up_as_a_step_ends_stays_given_up(seconds: int) -> None:
    """The step's end and the order to stop come in the same moment, in either order."""
    times = Times(up=2, compute=5, down=1, prepare=2, finish=1)
    for _ in range(20):
        world = World({"a": {"box": times}}, [SimulatedExecutor("box")])

        async def main(world: World = world) -> None:
            scheduler: Scheduler[Simulated] = Scheduler(world.executors, world, world)
            run = Run("a", "a")
            scheduler.submit(run)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(scheduler.serve)
                await anyio.sleep(seconds)
                scheduler.cancel("a")
                await anyio.sleep(30)
                assert run.state is State.CANCELLED
                tasks.cancel_scope.cancel()

        trio.run(main, clock=trio.testing.MockClock(autojump_threshold=0))
        assert states(world, "a")[-1] is State.CANCELLED
