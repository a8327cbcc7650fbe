import io
import json

import pytest
from rich.text import Text

from cluster.brain import Brain
from cluster.runs.view import RunView, fold
from cluster.terminal.figures import duration
from cluster.terminal.painting import Painter
from cluster.terminal.progress import line_of, open_sink
from cluster.terminal.tree import PLAIN, RECORDED, Glyphs, Scene, draw
from orchestration.events import Event, EventKind
from orchestration.ids import CommitId, RunId, TaskId
from orchestration.messages import CodeTask, FeatureRequest, Plan, TreeRef, Usage
from tests.cluster.terminal.screen import Pty, Screen

RUN = RunId("add-greeting-1a2b3c")
PAID = Usage(calls=1, input_tokens=900, output_tokens=100, cost_usd=0.25)
KEY = "round#1/build[greet]/"


def request(**changes: object) -> FeatureRequest:
    base = TreeRef(commit=CommitId("c" * 40), bundles=())
    given = {"run_id": RUN, "text": "Add a greeting", "repository": "wordkit", "base": base}
    return FeatureRequest.model_validate(given | changes)


class Story:
    """Events with their numbers, one second apart."""

    def __init__(self) -> None:
        self.events: list[Event] = []

    def tell(self, kind: EventKind, **fields: object) -> "Story":
        seq = len(self.events) + 1
        given = {"run_id": RUN, "seq": seq, "at": 1000.0 + seq, "kind": kind} | fields
        self.events.append(Event(**given))  # pyright: ignore[reportArgumentType]
        return self

    def step(self, status: str, step: str, **fields: object) -> "Story":
        given = {"task": "greet", "step": step, "key": KEY + step, "attempt": 1} | fields
        return self.tell(EventKind.STEP, status=status, **given)

    def view(self) -> RunView:
        view = RunView()
        for event in self.events:
            view = fold(view, event)
        return view


def built() -> Story:
    story = Story().tell(EventKind.RUN, status="created").step("started", "write_code")
    said = {"who": "coder-1", "text": "edit a.py", "key": KEY + "write_code"}
    return story.tell(EventKind.TURN, status="reply", task="greet", usage=PAID, **said)


async def written(story: Story, *, as_json: bool = False, **changes: object) -> list[str]:
    out = io.StringIO()
    with open_sink(request(**changes), as_json=as_json, out=out) as sink:
        for event in story.events:
            await sink.emit(event)
    return out.getvalue().splitlines()


def drawn(view: RunView, width: int = 120, height: int | None = None, **changes: object) -> str:
    plan, glyphs = changes.pop("plan", None), changes.pop("glyphs", Glyphs())
    assert plan is None or isinstance(plan, Plan)
    assert isinstance(glyphs, Glyphs)
    scene = Scene(request(**changes), view, now=1010.0, plan=plan, glyphs=glyphs)
    return "\n".join(line.plain for line in draw(scene, width, height))


def planned(*names: str) -> Plan:
    """Tasks, each after the one before it."""
    tasks = tuple(
        CodeTask(
            id=TaskId(name), title=f"Add {name}", description="It.", acceptance=("It is there.",),
            after=tuple(TaskId(before) for before in names[max(0, number - 1) : number]),
        )
        for number, name in enumerate(names)
    )  # fmt: skip
    return Plan(summary="All of it.", tasks=tasks)


def test_a_row_shows_what_its_agent_does_now_and_what_it_took() -> None:
    row = built().view().rows["greet"]

    assert (row.state, row.doing, row.said) == ("working", "writing code", "coder-1: edit a.py")
    assert (row.turns, row.usage) == (1, PAID)


def test_steps_at_the_same_time_are_both_named_until_each_ends() -> None:
    story = built().step("done", "write_code").step("started", "review").step("started", "audit")
    both = story.view().rows["greet"].doing

    one = story.step("done", "review").view().rows["greet"].doing

    assert (both, one) == ("review and security", "security")


def test_a_merged_task_is_done_until_work_on_it_begins_again() -> None:
    story = built().step("done", "write_code").step("started", "merge").step("done", "merge")
    merged = story.view().rows["greet"]

    again = story.step("started", "write_code").view().rows["greet"]

    assert (merged.state, merged.doing) == ("done", "done")
    assert (again.state, again.doing) == ("working", "writing code (round 2)")


def test_an_event_that_comes_twice_counts_once() -> None:
    story = built()

    assert fold(story.view(), story.events[-1]) == story.view()


def test_a_question_waits_until_it_is_decided() -> None:
    story = built().tell(EventKind.WAITING, label="plan", text="Approve this plan?")
    asked = story.view()

    decided = story.tell(EventKind.DECIDED, label="plan", status="approve").view()

    assert (asked.waiting, asked.rows[""].state) == (("plan",), "waiting")
    assert decided.waiting == ()


def test_what_was_at_work_when_the_run_failed_has_failed() -> None:
    view = built().tell(EventKind.FINISHED, status="failed", text="out of budget").view()

    assert (view.status, view.rows["greet"].state) == ("failed", "failed")


async def test_the_first_line_says_that_replies_are_a_recording() -> None:
    brain = Brain(replay="/some/demo.jsonl").model_dump_json()

    recorded, real = await written(Story(), brain=brain), await written(Story())

    assert recorded[0] == RECORDED
    assert RECORDED not in real
    assert "recording" in RECORDED


async def test_piped_progress_is_plain_lines_with_the_time_since_the_start() -> None:
    story = (
        built()
        .step("retry", "write_code", text="worker died")
        .tell(EventKind.FINISHED, status="done")
    )

    lines = await written(story)

    assert lines == [
        f"Run {RUN} on wordkit: Add a greeting",
        "    0s  run created",
        "    1s  greet: writing code",
        "    3s  greet: writing code failed: worker died (trying again)",
        "    4s  done (4s, 1 turn, 1,000 tokens, $0.25)",
    ]


async def test_json_lines_have_a_version_a_type_and_each_event_with_its_number() -> None:
    brain = Brain(replay="/some/demo.jsonl").model_dump_json()

    first, *rest = map(json.loads, await written(built(), as_json=True, brain=brain))

    assert first == {
        "v": 1, "type": "watching", "run_id": RUN, "repository": "wordkit", "recorded": True,
    }  # fmt: skip
    assert [(line["v"], line["type"], line["seq"]) for line in rest] == [
        (1, "event", 1), (1, "event", 2), (1, "event", 3),
    ]  # fmt: skip
    assert rest[-1]["usage"]["cost_usd"] == 0.25
    assert rest[-1]["kind"] == "turn"


async def test_hostile_text_stays_text_in_every_rendering() -> None:
    evil = "[red]x[/red] \x1b[2J\x1b]0;title\x07 \u202egnp.exe[/nope]"
    story = Story().tell(EventKind.NOTE, task="a[b]\x1b[1m", text=evil, who=evil)

    shown = "\n".join([drawn(story.view(), text=evil), *await written(story, text=evil)])
    (line,) = (await written(story, as_json=True))[1:]

    assert "[red]x[/red]" in shown
    assert "[/nope]" in shown
    assert "\x1b" not in shown
    assert "\u202e" not in shown
    assert "\x1b" not in line


async def test_a_terminal_that_knows_no_unicode_is_not_an_error() -> None:
    out = io.TextIOWrapper(io.BytesIO(), encoding="ascii")

    with open_sink(request(text="Grüße"), as_json=False, out=out):
        out.seek(0)

    assert "Gr??e" in out.read()


def test_the_tree_has_a_branch_for_each_task_below_the_team() -> None:
    story = built().tell(EventKind.STEP, status="started", step="plan", key="round#1/plan")

    *_, team, greet, act, _, foot = drawn(story.view()).splitlines()

    assert "planning" in team
    assert "greet  ▰▰▱▱▱▱ writing code" in greet
    assert greet.endswith("1.0k tok  $0.25    8s")
    assert act.split() == ["coder-1", "edit", "a.py"]
    assert foot.startswith("running · ")


def test_tasks_that_wait_are_shown_with_what_they_wait_for() -> None:
    text = drawn(built().view(), plan=planned("greet", "part"))

    assert "building, 0 of 2 merged" in text
    assert "└─ ○ part   ▱▱▱▱▱▱ after greet  Add part" in text


def test_every_agent_at_work_has_a_line_and_thinks_once_its_tools_answered() -> None:
    story = built().step("done", "write_code").step("started", "review").step("started", "audit")
    for who, step, status in (
        ("reviewer-1", "review", "results"),
        ("security-1", "audit", "reply"),
    ):
        story.tell(
            EventKind.TURN, status=status, task="greet", key=KEY + step, who=who, text="run bandit"
        )

    lines = [line.split() for line in drawn(story.view()).splitlines()]

    assert ["reviewer-1", "thinking"] in lines
    assert ["security-1", "run", "bandit"] in lines


def test_no_line_is_wider_and_no_picture_longer_than_the_terminal() -> None:
    story = built()
    for number in range(40):
        story.step("started", "write_code", task=f"task-{number}", key=f"build[task-{number}]/x")
        story.step("done", "merge", task=f"task-{number}", key=f"build[task-{number}]/m")
    wide = "漢字" * 100
    story.tell(EventKind.NOTE, task="greet", text=wide, who=wide, key=KEY + "write_code")

    for width, height in ((120, 24), (80, 12), (40, 8), (12, 5)):
        scene = Scene(request(text=wide), story.view(), now=1010.0)
        lines = draw(scene, width, height)

        assert len(lines) <= height
        assert max(line.cell_len for line in lines) <= width


def test_where_there_is_little_room_what_is_done_goes_first() -> None:
    story = built()
    for number in range(10):
        story.step("done", "merge", task=f"task-{number}", key=f"build[task-{number}]/m")

    text = drawn(story.view(), height=8)

    assert "task-3" not in text
    assert "greet" in text
    assert "building, 10 of 11 merged" in text


def test_a_terminal_of_ascii_gets_ascii() -> None:
    text = drawn(built().view(), plan=planned("greet", "part"), glyphs=PLAIN)

    assert text.isascii()


def test_what_tools_did_is_not_told_in_lines() -> None:
    event = built().events[-1]

    assert line_of(event, built().view()) == ""


def test_durations_are_short() -> None:
    assert [duration(s) for s in (0, 59.9, 125, 3720)] == ["0s", "59s", "2m05s", "1h02m"]


def test_a_picture_is_whole_after_every_size_and_blinks_never() -> None:
    pty = Pty(60, 12)
    painter, screen, seen = Painter(pty.screen), Screen(60, 12), 0
    for width, texts in ((60, ["one", "two"]), (60, ["one", "three", "x" * 59]), (30, ["one"])):
        pty.resize(width, 12)
        screen.width = width
        painter.paint([Text(text) for text in texts])
        screen.write(pty.hear()[seen:])
        seen = len(pty.said)

        assert screen.text.rstrip().split("\n") == texts
    painter.leave([Text("the end")])
    screen.write(pty.hear()[seen:])
    pty.close()

    assert screen.text.split() == ["the", "end"]
    assert screen.blanked == 1  # for the new size


def test_the_same_picture_is_painted_once() -> None:
    pty = Pty()
    painter = Painter(pty.screen)
    painter.paint([Text("still")])
    said = pty.hear()

    painter.paint([Text("still")])

    assert pty.hear() == said
    pty.close()


def test_colours_are_left_out_where_nobody_wants_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    pty = Pty()

    Painter(pty.screen).paint([Text("green", style="green")])

    assert "\x1b[32m" not in pty.hear()
    pty.close()
