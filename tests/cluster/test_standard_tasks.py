"""The example of docs/workflows.md: its shape, and that the page says what is true."""

import re
import shlex
from pathlib import Path

import click
import pytest

from cluster.cli import door_named, main
from orchestration.approval import Decision
from orchestration.ids import StepKey
from orchestration.stories import unplayed

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "workflows.md"


@pytest.fixture(autouse=True)
def example(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT / "examples" / "standard_tasks"))


def test_the_example_delivers_then_checks_then_asks_before_it_deploys() -> None:
    flow = unplayed("standard_tasks:to_staging")
    assert [node.id for node in flow.nodes] == [
        "delivery", "checkout", "run_tests", "scan", "deploy", "as_delivery",
    ]  # fmt: skip
    deploy = flow.step_at(StepKey("deploy"))
    assert deploy is not None
    assert deploy.answers is Decision
    assert flow.step_at(StepKey("delivery/round#1/planning#1/plan")) is not None


def commands() -> list[list[str]]:
    """Every `manta ...` line of the page, as arguments."""
    lines = re.findall(r"^    (?:\w+=\S+ )*manta (.*)$", PAGE.read_text("utf-8"), re.MULTILINE)
    return [shlex.split(line, comments=True) for line in lines]


def test_every_command_of_the_page_is_one_that_the_door_understands() -> None:
    found = commands()
    assert len(found) > 4
    for name, *arguments in found:
        command = door_named(name)
        command.make_context(name, arguments, parent=click.Context(main))


def test_the_pages_own_workflow_is_one() -> None:
    text = re.search(r"```python\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL)
    assert text is not None
    names: dict[str, object] = {"__name__": "reading"}
    exec(compile(text.group(1), str(PAGE), "exec"), names)  # the page is ours
    assert callable(names["careful"])
