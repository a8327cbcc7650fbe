"""On real terminals."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from cluster.terminal.asking import ask_person
from cluster.terminal.person import Person
from tests.cluster.terminal.screen import Pty, ran_on_a_terminal
from tests.cluster.web.stage import RUN, Stage

pytestmark = pytest.mark.slow

PROGRAM = [sys.executable, "-W", "ignore", "-m", "tests.cluster.terminal.approving"]
PROMPT = "[l]ater? "


@pytest.fixture(autouse=True)
def plain(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("PAGER", "cat")
    monkeypatch.delenv("VISUAL", raising=False)


@asynccontextmanager
async def asked(stage: Stage, pty: Pty) -> AsyncGenerator[asyncio.Task[bool]]:
    """The hostile run's questions, put to whoever sits at the terminal."""
    stage.drives = True
    await stage.start(RUN, "plan", "delivery")
    person = Person(pty.keys, pty.screen)
    async with asyncio.TaskGroup() as group:
        yield group.create_task(ask_person(stage.desk, RUN, person))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)


@pytest.fixture
def pty() -> Generator[Pty]:
    opened = Pty()
    yield opened
    opened.close()


async def status(stage: Stage) -> str:
    return (await stage.journal.info(RUN)).status


async def test_an_approved_run_goes_on(stage: Stage, pty: Pty) -> None:
    async with asked(stage, pty) as goes_on:
        shown = await pty.until(PROMPT)
        pty.type("a\n")

    assert goes_on.result()
    assert "Approve this plan?" in shown
    assert "\x1b[31m" not in shown
    assert [question.label for question in (await stage.desk.run(RUN)).questions] == ["delivery"]


async def test_what_should_be_different_reaches_the_architect(stage: Stage, pty: Pty) -> None:
    async with asked(stage, pty) as goes_on:
        await pty.until(PROMPT)
        pty.type("c\n")
        await pty.until("empty line")
        pty.type("smaller tasks\nand fewer\n\n")

    assert goes_on.result()
    assert stage.crew.notes == ["smaller tasks\nand fewer"]


@pytest.mark.parametrize("said", ["l\n", "later\n", "\x04"])
async def test_later_leaves_the_run_as_it_is(stage: Stage, pty: Pty, said: str) -> None:
    async with asked(stage, pty) as goes_on:
        await pty.until(PROMPT)
        pty.type(said)

    assert not goes_on.result()
    assert await status(stage) == "suspended"


async def test_a_rejection_is_meant_only_when_it_is_confirmed(stage: Stage, pty: Pty) -> None:
    async with asked(stage, pty):
        for sure in ("\n", "y\n"):
            await pty.until(PROMPT)
            assert await status(stage) == "suspended"
            pty.type("r\n")
            await pty.until("[y/N] ")
            pty.type(sure)

    assert await status(stage) == "failed"


def use_editor(place: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    editor = place / "my editor"
    editor.write_text(f"#!/bin/sh\n{script}\n")
    editor.chmod(0o755)
    monkeypatch.setenv("EDITOR", f"'{editor}'")


async def test_an_edited_plan_is_shown_before_it_is_approved(
    stage: Stage, pty: Pty, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_editor(tmp_path, monkeypatch, 'sed -i \'s/"id": "a"/"id": "renamed"/\' "$1"')

    async with asked(stage, pty):
        await pty.until(PROMPT)
        pty.type("e\n")
        shown = await pty.until(PROMPT)
        pty.type("a\n")

    assert "(as edited)" in shown
    assert "• renamed:" in shown
    assert [str(task.id) for task in (await stage.desk.plan(RUN)).plan.tasks] == ["renamed"]


@pytest.mark.parametrize(
    ("script", "told"),
    [('echo "{" > "$1"', "does not hold together"), ("exit 7", "exit code 7")],
)
async def test_what_an_editor_spoils_is_told_and_asked_again(
    stage: Stage,
    pty: Pty,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    told: str,
) -> None:
    use_editor(tmp_path, monkeypatch, script)

    async with asked(stage, pty) as goes_on:
        await pty.until(PROMPT)
        pty.type("e\n")
        assert told in await pty.until(PROMPT)
        pty.type("l\n")

    assert not goes_on.result()


async def test_keys_pressed_before_the_question_do_not_answer_it(stage: Stage, pty: Pty) -> None:
    pty.type("a\na\na\n")

    async with asked(stage, pty) as goes_on:
        await pty.until(PROMPT)
        pty.type("l\n")

    assert not goes_on.result()


async def test_an_answer_that_is_none_is_asked_again(stage: Stage, pty: Pty) -> None:
    async with asked(stage, pty):
        await pty.until(PROMPT)
        pty.type("z\n")
        assert "Please say one of: approve, edit" in await pty.until(PROMPT)
        pty.type("l\n")


async def test_who_was_quicker_in_the_browser_has_decided(stage: Stage, pty: Pty) -> None:
    async with asked(stage, pty):
        await pty.until(PROMPT)
        async with stage.program() as program:
            await program.post(f"/api/v1/runs/{RUN}/approve", json={"by": "Ann"})
        pty.type("a\n")
        assert "decided already: approve, by Ann" in await pty.until("[delivery]")
        await pty.until(PROMPT)
        pty.type("l\n")


def test_plan_and_delivery_are_approved_in_one_command(tmp_path: Path) -> None:
    ran = ran_on_a_terminal([*PROGRAM, str(tmp_path)], [(PROMPT, "a\n"), (PROMPT, "a\n")])

    assert ran.code == 0
    assert "[delivery]" in ran.said
    assert "\x1b]0;" not in ran.said


def test_nobody_is_asked_who_is_not_there(tmp_path: Path) -> None:
    done = subprocess.run(
        [*PROGRAM, str(tmp_path), "--json"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip

    assert done.returncode == 3
    assert json.loads(done.stdout.splitlines()[-2])["type"] == "waiting"
