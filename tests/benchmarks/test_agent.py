"""The benchmarks of turns and context: our aims hold wherever counting is exact."""

from pathlib import Path

import pytest

from benchmarks import context
from benchmarks.contestants import turns
from benchmarks.contestants.manta_agent import play
from benchmarks.contestants.meter import Job

pytestmark = pytest.mark.slow


@pytest.mark.parametrize("steps", [60, 180])
async def test_a_long_trajectory_costs_no_more_than_aimed_at_and_keeps_what_matters(
    tmp_path: Path, steps: int
) -> None:
    job = Job("context", steps, 20_480, str(tmp_path))
    turns.prepare(job)
    prompts = turns.Prompts()
    recalled = await play(job, prompts)
    figures = prompts.figures()
    assert figures["billed"] / 1e6 <= context.AIMS[steps]
    assert figures["cached"] >= context.LEAST_CACHED
    assert (figures["has_task"], figures["has_failure"]) == (1, 1)
    assert figures["has_fact"] or recalled


def test_what_a_prompt_shares_with_the_one_before_costs_a_tenth() -> None:
    prompts = turns.Prompts()
    prompts.arrive([], [{"a": "x" * 100}])
    first = prompts.sent
    prompts.arrive([], [{"a": "x" * 100}, {"b": 1}])
    second = prompts.sent - first
    assert prompts.billed == pytest.approx(first + 0.1 * first + (second - first))
    assert prompts.breaks == 0
    prompts.arrive([], [{"c": "y" * 100}])
    assert prompts.breaks == 1


def test_outputs_have_their_size_and_one_of_them_the_fact() -> None:
    sizes = {len(turns.output(turn, 20_480)) for turn in (3, 6, 9)}
    assert sizes == {20_480}
    assert turns.FACT in turns.output(turns.FACT_TURN, 20_480)
    assert turns.FACT not in turns.output(9, 20_480)
