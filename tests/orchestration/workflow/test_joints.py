"""Joints are checked when a workflow is built, and errors show both sides."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import Annotated, Any, Literal, NewType

import pytest
from pydantic import BaseModel

from orchestration.errors import InvalidWorkflowError
from orchestration.workflow.builder import Workflow, step
from orchestration.workflow.joints import element_of, fits
from orchestration.workflow.step import StepContext
from tests.orchestration.workflow.stage import add_one


class Animal(BaseModel):
    name: str = ""


class Cat(Animal):
    lives: int = 9


UserId = NewType("UserId", str)


@pytest.mark.parametrize(
    ("gives", "takes", "expected"),
    [
        (int, int, True),
        (int, str, False),
        (int, float, True),
        (float, int, False),
        (bool, int, True),
        (Cat, Animal, True),
        (Animal, Cat, False),
        (None, type(None), True),
        (int, int | None, True),
        (int | None, int, False),
        (int | str, str | int | None, True),
        (list[Cat], list[Animal], True),
        (list[Animal], list[Cat], False),
        (list[int], Sequence[int], True),
        (list[int], Sequence[str], False),
        (tuple[int, ...], Sequence[int], True),
        (tuple[int, str], tuple[int, str], True),
        (tuple[int, str], tuple[int, ...], False),
        (tuple[int, str], tuple[int, int], False),
        (tuple[int, str], tuple[int], False),
        (tuple[int, str], list[int], False),
        (tuple[int, int], tuple[int, ...], True),
        (dict[str, int], Mapping[str, int], True),
        (dict[str, int], dict[str, str], False),
        (dict[str, int | str], dict[str, int], False),
        (list[int], list[Any], True),
        (UserId, str, True),
        (Annotated[int, "positive"], int, True),
        (Literal["a"], str, True),
        (Literal["a"], Literal["a", "b"], True),
        (Literal["a", "c"], Literal["a", "b"], False),
        (str, Literal["a"], False),
        (list[int], int, False),
    ],
)
def test_a_value_fits_where_every_one_of_its_type_may_stand(
    gives: object, takes: object, expected: bool
) -> None:
    assert fits(gives, takes) is expected


@pytest.mark.parametrize(
    ("sequence", "element"),
    [
        (list[int], int),
        (tuple[int, ...], int),
        (tuple[int, str], int | str),
        (Sequence[str], str),
        (dict[str, int], None),
        (str, None),
        (int, None),
        (list, None),
    ],
)
def test_only_lists_and_tuples_have_elements(sequence: object, element: object) -> None:
    assert element_of(sequence) == element


async def to_text(value: int) -> str:
    return str(value)


async def count(values: list[int], ctx: StepContext) -> int:
    return len(values)


async def total(values: dict[str, int]) -> int:
    return sum(values.values())


async def untyped(value, ctx):  # type: ignore[no-untyped-def] # pyright: ignore
    return value  # pyright: ignore


async def vague(value: int) -> Any:
    return value


def not_async(value: int) -> int:
    return value


async def three(value: int, other: int, third: int) -> int:
    return value


Build = Callable[[], object]


def of(takes: Any) -> Any:
    """A workflow to build wrongly; untyped, as a type checker would refuse what is tried here."""
    return Workflow("w", takes)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (
            lambda: of(int).then(to_text).then(add_one),
            ["'to_text' gives str", "'add_one' takes int"],
        ),
        (lambda: of(str).then(add_one), ["the input of 'w' gives str"]),
        (
            lambda: of(int).parallel(add_one, to_text).then(total),
            ["dict[str, int | str]"],
        ),
        (
            lambda: of(int).branch((bool, add_one), (bool, to_text)).then(add_one),
            ["int | str"],
        ),
        (
            lambda: of(int).foreach(add_one),
            ["foreach 'add_one'", "list or a tuple"],
        ),
        (lambda: of(list[str]).foreach(add_one), ["each item", "gives str"]),
        (lambda: of(int).dountil(to_text, bool, at_most=2), ["gives str but takes int"]),
        (lambda: of(int).dountil(add_one, bool, at_most=0), ["runs at most 0 times"]),
        (lambda: of(int).then(untyped), ["input of step 'untyped' has no type"]),
        (lambda: of(int).then(vague), ["output of step 'vague' is declared as Any"]),
        (lambda: of(int).then(not_async), ["'not_async' is not async"]),
        (lambda: of(int).then(three), ["takes 3 positional arguments"]),
        (lambda: of(int).map(eval("lambda x: x")), ["'map-1' has no type"]),
        (lambda: of(int).commit(), ["'w' is empty"]),
        (
            lambda: of(int).then(add_one).then(add_one).commit(),
            ["two steps called 'add_one'"],
        ),
        (
            lambda: of(int).parallel(add_one, add_one).commit(),
            ["two steps called 'add_one'"],
        ),
        (lambda: of(int).then(Workflow("v", int).then(add_one)), ["not committed"]),
        (lambda: of(int).then(None), ["no usable name"]),
        (lambda: Workflow("1 bad/id", int), ["no id for a workflow"]),
        (lambda: Workflow("w", Any), ["declared as Any"]),
        (lambda: of(int).branch(), ["no arms"]),
        (lambda: of(int).parallel(), ["no arms"]),
        (lambda: of(int).parallel(add_one, limit=0), ["limit is 0"]),
        (lambda: of(list[int]).foreach(add_one, concurrency=0), ["concurrency is 0"]),
        (lambda: of(int).branch((bool, add_one), mode="any"), ["mode 'any'"]),
        (lambda: of(int).dountil(add_one, to_text, at_most=2), ["pure, sync"]),
        (lambda: of(int).sleep(-1), ["sleep of -1"]),
        (lambda: step(add_one, answers=asyncio.Lock), ["values of type Lock cannot be stored"]),
        (lambda: step(add_one, timeout_s=0), ["timeout_s of step 'add_one' is 0"]),
        (lambda: step(lambda x: x), ["no usable name"]),  # type: ignore[arg-type, return-value] # pyright: ignore
    ],
)
def test_a_workflow_that_cannot_work_is_refused_when_built(build: Build, words: list[str]) -> None:
    with pytest.raises(InvalidWorkflowError) as refused:
        build()
    assert refused.value.fix
    for word in words:
        assert word in str(refused.value)


def test_arms_of_one_type_make_a_dict_of_that_type() -> None:
    flow = of(int).parallel(add_one, step(add_one, id="again")).then(total).commit()
    assert flow.nodes[0].gives == dict[str, int]


class Worker:
    def __init__(self, by: int) -> None:
        self.by = by

    async def add(self, value: int, ctx: StepContext) -> int:
        return value + self.by

    async def __call__(self, value: int) -> int:
        return value - self.by


def test_bound_methods_and_callable_objects_are_steps() -> None:
    worker = Worker(2)
    flow = of(int).then(worker.add).then(step(worker, id="back")).commit()
    assert [node.id for node in flow.nodes] == ["add", "back"]
