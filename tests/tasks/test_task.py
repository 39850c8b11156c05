"""Tasks are data: validated, the same in JSON, and their results remembered by all they depend on."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import Any, ClassVar

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from montage_ai.errors import TaskError
from montage_ai.tasks import task_class
from montage_ai.tasks.stabilize import Stabilize
from montage_ai.tasks.task import InputFile, OnFraction, Payload, Promise, Task, Variant, Work

DIGESTS = st.sampled_from(["a" * 64, "b" * 64])

PARAMETERS = st.fixed_dictionaries(
    {
        "start": st.sampled_from([Fraction(0), Fraction(1, 3), Fraction(1, 2)]),
        "seconds": st.sampled_from([Fraction(0), Fraction(1)]),
        "smoothing": st.sampled_from([1, 15]),
        "deliver": st.sampled_from(["motion", "clip"]),
        "always": st.booleans(),
    }
)


class Way(Variant):
    def __init__(self, name: str, changes_result: bool) -> None:
        self.name, self.changes_result = name, changes_result  # type: ignore[misc]

    @property
    def work(self) -> Work:
        return Work(0, 0, 0)

    @property
    def promise(self) -> Promise:
        return Promise(frozenset(), 0)

    def check(self, computed: Payload) -> None:
        raise NotImplementedError

    def prepare(self, folder: Path) -> Payload:
        return Payload()

    def compute(self, payload: Payload, folder: Path, on_fraction: OnFraction) -> Payload:
        return Payload()

    def finish(self, payload: Payload, folder: Path) -> Payload:
        return payload


class Joining(Task):
    """A task of several inputs."""

    name: ClassVar = "joining"
    version: ClassVar = 1

    sources: tuple[InputFile, ...]

    def variants(self) -> tuple[Variant, ...]:
        return (Way("here", False),)

    def inputs(self) -> tuple[InputFile, ...]:
        return self.sources


def stabilize(digest: str = "a" * 64, path: str = "clip.mp4", **parameters: Any) -> Stabilize:
    return Stabilize(source=InputFile(path=Path(path), sha256=digest), **parameters)


def key(task: Task, *surroundings: str) -> str:
    return task.key(task.variants()[0], *surroundings)


@settings(max_examples=60)
@given(one=PARAMETERS, two=PARAMETERS, digests=st.tuples(DIGESTS, DIGESTS))
def test_two_results_are_the_same_exactly_when_all_but_the_path_is(
    one: dict[str, Any], two: dict[str, Any], digests: tuple[str, str]
) -> None:
    a, b = stabilize(digests[0], "a.mp4", **one), stabilize(digests[1], "/elsewhere/b.mov", **two)
    assert (key(a) == key(b)) == (one == two and digests[0] == digests[1])


@given(st.lists(st.text(max_size=3), max_size=3), st.lists(st.text(max_size=3), max_size=3))
def test_a_result_depends_on_its_surroundings(one: list[str], two: list[str]) -> None:
    assert (key(stabilize(), *one) == key(stabilize(), *two)) == (one == two)


def test_a_result_depends_on_the_tasks_name_and_version() -> None:
    class Newer(Stabilize):
        version: ClassVar = Stabilize.version + 1

    class Other(Stabilize):
        name: ClassVar = "other"

    source = {"source": {"path": "a", "sha256": "b"}}
    assert len({key(kind.model_validate(source)) for kind in (Stabilize, Newer, Other)}) == 3


def test_a_result_depends_on_the_variant_only_where_that_changes_it() -> None:
    task = stabilize()
    assert task.key(Way("a", False)) == task.key(Way("b", False))
    assert task.key(Way("a", True)) != task.key(Way("b", True))


def test_a_task_of_several_inputs_does_not_depend_on_their_paths() -> None:
    a, b = (Joining(sources=(InputFile(path=Path(name), sha256="c"),)) for name in "ab")
    assert key(a) == key(b)


@given(PARAMETERS)
def test_parameters_survive_json(parameters: dict[str, Any]) -> None:
    task = stabilize(**parameters)
    assert Stabilize.model_validate(task.model_dump(mode="json")) == task
    assert Stabilize.model_validate_json(task.model_dump_json()) == task


@pytest.mark.parametrize(
    "wrong", [{"smoothing": 0}, {"smoothing": 101}, {"start": -1}, {"seconds": -1}, {"deliver": "x"}, {"extra": 1}]
)
def test_parameters_that_make_no_sense_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        stabilize(**wrong)


def test_a_task_is_found_by_its_name_and_a_variant_by_its() -> None:
    assert task_class("stabilize") is Stabilize
    task = stabilize()
    for variant in task.variants():
        assert task.variant(variant.name).name == variant.name


def test_what_is_not_there_is_named() -> None:
    with pytest.raises(TaskError, match=r"bake.*stabilize"):
        task_class("bake")
    with pytest.raises(TaskError, match="sideways"):
        stabilize().variant("sideways")
