"""Tool calls that need a person, and budgets that run out, in one process."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from actors.models.gateway import ModelReply, ModelRequest
from actors.models.governed import GovernedGateway
from actors.models.governor import Lane, LocalGovernor
from actors.models.ledger import Ledger
from actors.models.scripted import FunctionGateway
from actors.questions import deleted
from cluster.runs.budgets import raise_budget
from orchestration.approval import ApprovalPolicy, Rule, tool_rule
from orchestration.clock import SystemClock
from orchestration.errors import UsageError
from orchestration.ids import CommitId
from orchestration.messages import Budget, FileChange, Patch, TreeRef, Usage
from orchestration.stories import unplayed
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import RecordKind, RunStatus
from orchestration.workflow.outcome import RunOutcome, decide
from tests.journeys.bench import (
    RUN,
    Bench,
    Mind,
    delivered,
    finish,
    minds,
    plan,
    says,
    steady,
    task,
)

pytestmark = pytest.mark.slow
DANGER = "rm -rf build"


def careful(mind: Mind) -> Mind:
    """A mind whose coder first wants to remove something while it codes."""

    def careful_mind(request: ModelRequest) -> ModelReply:
        if request.role == "architect":
            return plan(task("red"), task("blue"))
        wants = "[red]" in request.conversation and request.conversation.endswith("write_code")
        return mind(request) if wants else steady(request)

    return careful_mind


def remove_then_code(request: ModelRequest) -> ModelReply:
    if request.turn == 1:
        return says(("run", {"command": DANGER}))
    return steady(replace(request, turn=request.turn - 1))


async def begin(bench: Bench, *rules: str) -> RunOutcome:
    request = await bench.request()
    policy = ApprovalPolicy(tools=tuple(map(tool_rule, rules)))
    return await bench.drive(request.model_copy(update={"policy": policy}))


async def answer(bench: Bench, label: str, **decision: str) -> None:
    await decide(bench.journal, unplayed(), RUN, json.dumps(decision), by="tester", label=label)


async def test_a_call_waits_for_a_person_while_the_sibling_is_built(tmp_path: Path) -> None:
    bench = minds(tmp_path, careful(remove_then_code))
    waiting = await begin(bench, "ask run *rm -rf*")
    assert waiting.status is RunStatus.SUSPENDED
    (asked,) = waiting.suspensions
    payload = json.loads(asked.payload)
    assert payload["gate"] == "tool"
    assert DANGER in payload["body"]
    effects = await bench.journal.read(RUN, kinds=[RecordKind.EFFECT])
    assert [r.step_key for r in effects if "merged" in r.body] != []

    still = await bench.drive()
    assert [one.label for one in still.suspensions] == [asked.label]
    await answer(bench, asked.label, answer="approve", digest=payload["digest"])
    assert delivered(await bench.drive())


async def test_why_a_call_was_declined_reaches_the_model_and_the_run_goes_on(
    tmp_path: Path,
) -> None:
    heard: list[str] = []

    def mind(request: ModelRequest) -> ModelReply:
        heard.append(str(request.messages[-1]["content"]))
        return remove_then_code(request)

    bench = minds(tmp_path, careful(mind))
    (asked,) = (await begin(bench, "ask run *rm -rf*")).suspensions
    await answer(bench, asked.label, answer="request-changes", comment="keep build", by="alice")
    assert delivered(await bench.drive())
    assert "Not allowed: alice declined it: keep build" in heard[1]


async def test_an_approval_holds_for_the_very_same_arguments_only(tmp_path: Path) -> None:
    def mind(request: ModelRequest) -> ModelReply:
        if request.turn == 2:
            return says(("run", {"command": f"{DANGER} dist"}))
        return remove_then_code(replace(request, turn=max(1, request.turn - 1)))

    bench = minds(tmp_path, careful(mind))
    (first,) = (await begin(bench, "ask run *rm -rf*")).suspensions
    await answer(bench, first.label, answer="approve")
    (second,) = (await bench.drive()).suspensions
    assert second.label != first.label
    assert f"{DANGER} dist" in json.loads(second.payload)["body"]
    await answer(bench, second.label, answer="approve")
    assert delivered(await bench.drive())


async def test_a_forbidden_call_is_never_made_and_asks_nobody(tmp_path: Path) -> None:
    heard: list[str] = []

    def mind(request: ModelRequest) -> ModelReply:
        heard.append(str(request.messages[-1]["content"]))
        return remove_then_code(request)

    bench = minds(tmp_path, careful(mind))
    assert delivered(await begin(bench, "deny run *rm*"))
    assert "policy forbids this call" in heard[1]


def test_the_first_rule_that_fits_decides() -> None:
    policy = ApprovalPolicy(
        tools=tuple(map(tool_rule, ["allow run pytest*", "ask run", "deny mcp__*__delete_*"]))
    )
    assert policy.rule_of_call("run", {"command": "pytest -q"}) is Rule.ALLOW
    assert policy.rule_of_call("run", {"command": "make"}) is Rule.ASK
    assert policy.rule_of_call("mcp__x__delete_all", {}) is Rule.DENY
    assert policy.rule_of_call("read", {"path": "x"}) is Rule.ALLOW
    assert policy.rule_of_call("read", {"path": "x"}, silence=Rule.ASK) is Rule.ASK


@pytest.mark.parametrize("text", ["", "run", "perhaps run x", "ask"])
def test_a_rule_of_another_form_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="not of the form"):
        tool_rule(text)


# --- the run's budget ----------------------------------------------------------------------------


def frugal(place: Path, mind: Mind, usd: float) -> Bench:
    """A bench whose every reply costs so much."""
    clock, journal = SystemClock(), InMemoryJournal(SystemClock())

    def dear(request: ModelRequest) -> ModelReply:
        said = mind(request)
        cost = Usage(calls=1, input_tokens=10, output_tokens=1, cost_usd=usd)
        return replace(said, usage=cost)

    governor = LocalGovernor(Ledger(journal, clock).account, clock)
    gateway = GovernedGateway(FunctionGateway(dear), governor, Lane("m"))
    return Bench(place, gateway, journal)


def one_task(request: ModelRequest) -> ModelReply:
    return plan(task("red")) if request.role == "architect" else steady(request)


async def test_a_spent_budget_stops_the_run_with_its_work_and_a_larger_one_goes_on(
    tmp_path: Path,
) -> None:
    bench = frugal(tmp_path, one_task, usd=0.10)
    request = (await bench.request()).model_copy(update={"budget": Budget(usd=0.25)})
    stopped = await bench.drive(request)
    assert stopped.status is RunStatus.SUSPENDED
    assert all(asked.label.startswith("budget-") for asked in stopped.suspensions)
    before = [
        r for r in await bench.journal.read(RUN, kinds=[RecordKind.TURN]) if "reply" in r.body
    ]
    assert len(before) == 3

    notes = await bench.journal.read(RUN, kinds=[RecordKind.NOTE])
    assert any("nearly spent" in record.body for record in notes)
    rebuilt = await Ledger(bench.journal, SystemClock()).account(RUN)
    assert rebuilt.spent.cost_usd == pytest.approx(0.3)
    assert rebuilt.budget == Budget(usd=0.25)
    with pytest.raises(UsageError, match="no more than run run-1 has spent"):
        await raise_budget(bench.journal, RUN, Budget(usd=0.2), by="me")
    assert (await raise_budget(bench.journal, RUN, Budget(usd=9), by="me")).usd == 9
    assert delivered(await bench.drive())
    after = [r for r in await bench.journal.read(RUN, kinds=[RecordKind.TURN]) if "reply" in r.body]
    assert [r.seq for r in after[: len(before)]] == [r.seq for r in before]
    assert len({json.loads(r.body)["turn"] for r in after if r.step_key == before[-1].step_key}) > 1


async def test_one_budget_covers_every_agent_of_the_run(tmp_path: Path) -> None:
    def two_tasks(request: ModelRequest) -> ModelReply:
        if request.role == "architect":
            return plan(task("red"), task("blue"))
        return steady(request)

    bench = frugal(tmp_path, two_tasks, usd=0.10)
    request = (await bench.request()).model_copy(update={"budget": Budget(usd=0.75)})
    stopped = await bench.drive(request)
    assert stopped.status is RunStatus.SUSPENDED
    replies = [
        r for r in await bench.journal.read(RUN, kinds=[RecordKind.TURN]) if "reply" in r.body
    ]
    assert len(replies) <= 8


async def test_a_rejected_budget_ends_the_run(tmp_path: Path) -> None:
    bench = frugal(tmp_path, one_task, usd=0.10)
    request = (await bench.request()).model_copy(update={"budget": Budget(usd=0.25)})
    (asked,) = (await bench.drive(request)).suspensions
    digest = json.loads(asked.payload)["digest"]
    await answer(bench, asked.label, answer="reject", digest=digest)
    ended = await bench.drive()
    assert ended.status is RunStatus.FAILED
    assert ended.error is not None
    assert ended.error.exit_code == 4


# --- deletions -----------------------------------------------------------------------------------


def deleting(request: ModelRequest) -> ModelReply:
    """Removes a file of the repository on its way, unless it was told to keep it."""
    if request.role == "architect":
        return plan(task("red"))
    told = str(request.messages[1]["content"])
    if request.conversation.endswith("write_code") and request.turn == 1:
        put_back = (
            "git checkout -q base -- README.md 2>/dev/null || git checkout -q HEAD~2 -- README.md"
        )
        return says(("run", {"command": put_back if "kept" in told else "rm README.md"}))
    if request.conversation.endswith("write_code") and "kept" not in told:
        return steady(replace(request, turn=request.turn - 1))
    if request.conversation.endswith("write_code"):
        return finish(title="Keep the readme", notes="")
    return steady(request)


async def test_a_deletion_waits_for_a_person_before_the_merge(tmp_path: Path) -> None:
    bench = minds(tmp_path, deleting)
    (asked,) = (await bench.drive(await bench.request())).suspensions
    assert asked.label == "delete-red"
    assert "README.md" in json.loads(asked.payload)["body"]
    await answer(bench, asked.label, answer="approve")
    assert delivered(await bench.drive())


async def test_a_deletion_that_is_declined_goes_back_to_the_coder(tmp_path: Path) -> None:
    bench = minds(tmp_path, deleting)
    (asked,) = (await bench.drive(await bench.request())).suspensions
    await answer(bench, asked.label, answer="request-changes", comment="We need it.")
    delivery = delivered(await bench.drive())
    evidence = json.loads(await bench.journal.get_blob(delivery.evidence))
    assert evidence["final"]["exit_code"] == 0


async def test_policy_may_let_deletions_pass(tmp_path: Path) -> None:
    bench = minds(tmp_path, deleting)
    request = await bench.request()
    policy = ApprovalPolicy(gates={"deletions": Rule.ALLOW})
    assert delivered(await bench.drive(request.model_copy(update={"policy": policy})))


def test_a_file_that_was_only_moved_is_not_deleted() -> None:
    def change(path: str, status: str, old: str, new: str) -> FileChange:
        return FileChange(
            path=path,
            status=status,
            old_mode="100644",
            new_mode="100644",
            old_blob=old,
            new_blob=new,
        )

    tree = TreeRef(commit=CommitId("c"), bundles=())
    patch = Patch(
        base=tree, tree=tree, title="t",
        changes=(
            change("old.py", "D", "b1", "0"), change("new.py", "A", "0", "b1"),
            change("gone.py", "D", "b2", "0"),
        ),
    )  # fmt: skip
    assert deleted(patch) == {"gone.py": "b2"}
