"""Times are learned: quickly from a wrong prior, robustly, and exactly where the machine is steady."""

from __future__ import annotations

import random

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from montage_ai.offload.costs import DOWNLINK, CostModel, Key, Observation, fit
from montage_ai.tasks.task import Line

PRIOR = Line(2.0, 0.5)
KEY = Key("stabilize/here/compute", "a machine")
SIZES = st.lists(st.floats(1, 1000), min_size=1, max_size=30)


def test_what_was_never_seen_is_the_prior() -> None:
    assert CostModel().line(KEY, PRIOR) == PRIOR


@pytest.mark.parametrize("off", [0.1, 10.0])
def test_one_observation_nearly_corrects_a_prior_that_is_ten_times_off(off: float) -> None:
    line = fit(PRIOR, [Observation(100, off * PRIOR(100))])
    assert line(100) == pytest.approx(off * PRIOR(100), rel=0.25)
    assert line(200) == pytest.approx(off * PRIOR(200), rel=0.25)


@given(SIZES, st.floats(0, 20), st.floats(0.01, 2))
@example([21.0, 15.0], 1.0, 0.015625)
def test_a_steady_machine_is_learned_whatever_its_line(sizes: list[float], fixed: float, per_unit: float) -> None:
    truth = Line(fixed, per_unit)
    line = fit(PRIOR, [Observation(size, truth(size)) for size in sizes * 10])
    for size in sizes:
        assert line(size) == pytest.approx(truth(size), rel=0.25)


@given(st.lists(st.tuples(st.floats(0.001, 1e6), st.floats(0.001, 1e6)), max_size=40))
def test_no_time_is_ever_negative_whatever_was_seen(seen: list[tuple[float, float]]) -> None:
    line = fit(PRIOR, [Observation(*one) for one in seen])
    assert line.fixed >= 0
    assert line.per_unit >= 0


def test_small_files_say_nothing_of_a_link_s_rate() -> None:
    """Motions of a few kilobytes take what a round trip takes; a whole clip comes over the same link."""
    rng = random.Random(5)
    seen = [Observation(rng.uniform(1000, 6000), rng.uniform(0.08, 0.9)) for _ in range(20)]
    line = fit(DOWNLINK, seen)
    assert line.per_unit == DOWNLINK.per_unit
    assert 0.1 < line.fixed < 0.9


def test_an_outlier_changes_little() -> None:
    seen = [Observation(100, PRIOR(100))] * 8
    assert fit(PRIOR, [*seen[:4], Observation(100, 50 * PRIOR(100)), *seen[4:]])(100) == pytest.approx(
        PRIOR(100), rel=0.05
    )


def test_what_changed_for_good_is_followed() -> None:
    seen = [Observation(100, 10.0)] * 20 + [Observation(100, 30.0)] * 10
    assert fit(PRIOR, seen)(100) == pytest.approx(30.0, rel=0.1)


def test_after_ten_jobs_of_a_noisy_machine_the_mean_error_is_small() -> None:
    rng, truth = random.Random(3), Line(4.0, 0.07)
    model, errors = CostModel(), []
    for number in range(40):
        size = rng.uniform(20, 400)
        seconds = truth(size) * rng.lognormvariate(0, 0.08)
        if number >= 10:
            errors.append(abs(model.line(KEY, PRIOR)(size) / seconds - 1))
        model.observe(KEY, size, seconds)
    assert sum(errors) / len(errors) < 0.15


@pytest.mark.parametrize(("units", "seconds"), [(0, 1), (1, 0), (1, float("inf")), (1, float("nan"))])
def test_what_says_nothing_is_not_learned_from(units: float, seconds: float) -> None:
    model = CostModel()
    model.observe(KEY, units, seconds)
    assert model.observed(KEY) == 0
