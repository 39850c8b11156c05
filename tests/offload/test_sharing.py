"""Work on one machine slows down alike, by what there is of its processors."""

from __future__ import annotations

import math

import pytest

from montage_ai.offload.sharing import ProcessorSharing


def test_what_fits_has_its_full_pace_and_what_does_not_is_slowed_alike() -> None:
    machine = ProcessorSharing(2.0)
    machine.add(1.5, 0.0)
    assert (machine.pace, machine.worked(10.0)) == (1.0, 10.0)
    machine.add(2.5, 10.0)
    assert machine.pace == 0.5
    assert machine.worked(20.0) == pytest.approx(15.0)
    machine.add(-1.5, 20.0)
    assert machine.pace == pytest.approx(0.8)


def test_what_was_done_stays_done_when_the_machine_changes() -> None:
    machine = ProcessorSharing(16.0)
    machine.add(8.0, 0.0)
    machine.resize(4.0, 1000.0)
    assert machine.worked(1000.0) == pytest.approx(1000.0)
    assert machine.worked(1010.0) == pytest.approx(1005.0)


def test_without_a_number_of_processors_there_is_nothing_to_share() -> None:
    machine = ProcessorSharing()
    machine.add(1000.0, 0.0)
    assert machine.processors == math.inf
    assert machine.worked(7.0) == 7.0
