"""The delivery story in one process, with minds that are functions."""

import json
from pathlib import Path

import pytest

from actors.git.source import deliver
from actors.models.gateway import ModelReply, ModelRequest
from cluster.demo.sample import git
from orchestration.workflow.journal import RecordKind, RunStatus
from tests.actors.git.checkout import Checkout
from tests.journeys.bench import (
    RUN,
    delivered,
    finish,
    minds,
    plan,
    says,
    steady,
    task,
)

pytestmark = pytest.mark.slow


def planned(*tasks: dict[str, object]):
    """A steady mind with this plan."""

    def mind(request: ModelRequest) -> ModelReply:
        return plan(*tasks) if request.role == "architect" else steady(request)

    return mind


async def test_three_tasks_become_one_tested_branch(tmp_path: Path) -> None:
    bench = minds(tmp_path, planned(task("red"), task("blue"), task("green", "red", "blue")))
    outcome = await bench.drive(await bench.request())
    delivery = delivered(outcome)
    evidence = json.loads(await bench.journal.get_blob(delivery.evidence))
    assert [t["task"]["id"] for t in evidence["tasks"]] == ["red", "blue", "green"]
    assert evidence["final"]["exit_code"] == 0
    assert all(
        t["red"]["exit_code"] == 1 and t["green"]["exit_code"] == 0 for t in evidence["tasks"]
    )


async def test_a_comment_reaches_the_architect_in_the_same_sandbox(tmp_path: Path) -> None:
    heard: list[str] = []

    def mind(request: ModelRequest) -> ModelReply:
        if request.role != "architect":
            return steady(request)
        heard.append(str(request.messages[1]["content"]))
        return plan(task("blue" if "Call it blue" in heard[-1] else "red"))

    bench = minds(tmp_path, mind)
    waiting = await bench.drive(await bench.request("plan"))
    assert (waiting.status, waiting.suspensions[0].label) == (RunStatus.SUSPENDED, "plan")
    assert "Add red" in waiting.suspensions[0].payload
    await bench.decide(answer="request-changes", comment="Call it blue")
    assert "Add blue" in (await bench.drive()).suspensions[0].payload
    await bench.decide(answer="approve")
    assert delivered(await bench.drive()).summary.startswith("blue: Add blue")
    records = await bench.journal.read(RUN, kinds=[RecordKind.SANDBOX])
    used = {json.loads(r.body)["id"] for r in records if r.step_key.endswith("/plan")}
    assert len(used) == 1


async def test_an_edited_plan_is_the_one_that_is_built(tmp_path: Path) -> None:
    bench = minds(tmp_path, planned(task("red")))
    await bench.drive(await bench.request("plan"))
    edited = {"summary": "Mine.", "tasks": [task("blue")]}
    await bench.decide(answer="approve", edited=edited)
    assert delivered(await bench.drive()).summary.startswith("blue: Add blue")


async def test_a_rejected_plan_ends_the_run_and_says_by_whom(tmp_path: Path) -> None:
    bench = minds(tmp_path, planned(task("red")))
    await bench.drive(await bench.request("plan"))
    await bench.decide(answer="reject", by="alice")
    outcome = await bench.drive()
    assert outcome.status is RunStatus.FAILED
    assert outcome.error is not None
    assert "rejected by alice" in outcome.error.what


async def test_comments_on_the_delivery_start_another_round_on_top(tmp_path: Path) -> None:
    def mind(request: ModelRequest) -> ModelReply:
        if request.role != "architect":
            return steady(request)
        return plan(task("blue" if "Blue is missing" in str(request.messages) else "red"))

    bench = minds(tmp_path, mind)
    waiting = await bench.drive(await bench.request("delivery"))
    assert "+def red()" in json.loads(waiting.suspensions[0].payload)["body"]
    await bench.decide(answer="request-changes", comment="Blue is missing")
    again = json.loads((await bench.drive()).suspensions[0].payload)["body"]
    assert "+def red()" in again
    assert "+def blue()" in again
    await bench.decide(answer="approve")
    assert len(delivered(await bench.drive()).summary.splitlines()) == 3


async def test_a_test_that_does_not_fail_is_sent_back_with_the_reason(tmp_path: Path) -> None:
    passing = "def test_red() -> None:\n    pass\n"

    def mind(request: ModelRequest) -> ModelReply:
        if "red#1/write_test" in request.conversation and request.turn == 1:
            return says(("write", {"path": "tests/test_red.py", "content": passing}))
        if "red#2/write_test" in request.conversation:
            assert "tests/test_red.py" in str(request.messages[1]["content"])
            assert "found wanting" in str(request.messages[1]["content"])
        return plan(task("red")) if request.role == "architect" else steady(request)

    bench = minds(tmp_path, mind)
    assert delivered(await bench.drive(await bench.request()))


async def test_code_that_touches_a_frozen_test_never_passes(tmp_path: Path) -> None:
    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "coder" and "write_code" in request.conversation and request.turn == 1:
            cheat = "printf 'def test_red():\\n    pass\\n' > tests/test_red.py"
            return says(("run", {"command": cheat}))
        return plan(task("red")) if request.role == "architect" else steady(request)

    bench = minds(tmp_path, mind)
    outcome = await bench.drive(await bench.request(repairs=2))
    assert outcome.status is RunStatus.FAILED
    assert outcome.error is not None
    assert (outcome.error.name, outcome.error.exit_code) == ("CircuitBreakerOpen", 4)
    assert "tests/test_red.py" in outcome.error.what


async def test_a_blocking_finding_goes_to_the_coder_and_is_looked_at_again(tmp_path: Path) -> None:
    finding = {"file": "wordkit/red.py", "line": 5, "severity": "high", "why": "Shouts.", "fix": ""}

    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "reviewer" and "green#1" in request.conversation:
            return finish(approved=False, summary="No.", findings=[finding])
        if "green#2/attempt[1]/write_code" in request.conversation and request.turn == 1:
            assert "[reviewer, high] wordkit/red.py:5: Shouts." in str(request.messages[1])
            return says(
                (
                    "edit",
                    {
                        "path": "wordkit/red.py",
                        "edits": [{"old": '"""red."""', "new": '"""Red."""'}],
                    },
                )
            )
        return plan(task("red")) if request.role == "architect" else steady(request)

    bench = minds(tmp_path, mind)
    evidence = json.loads(
        await bench.journal.get_blob(delivered(await bench.drive(await bench.request())).evidence)
    )
    assert evidence["tasks"][0]["review"]["approved"] is True


KEY = "AKIA" + "IOSFODNN7EXAMPLQ"


async def test_a_leak_that_everybody_approves_is_mended_and_is_nowhere_in_the_history(
    tmp_path: Path,
) -> None:
    """What scanners are certain of stands, whatever reviewer and analyst say."""
    told: list[str] = []

    def mind(request: ModelRequest) -> ModelReply:
        if "write_code" not in request.conversation or request.turn > 1:
            return plan(task("red")) if request.role == "architect" else steady(request)
        told.append(str(request.messages[1]["content"]))
        if "green#1" not in request.conversation:
            return says(("run", {"command": "sed -i /AKIA/d wordkit/red.py"}))
        text = f"KEY = '{KEY}'\n\n\ndef red() -> str:\n    return 'red'\n"
        return says(("write", {"path": "wordkit/red.py", "content": text}))

    bench = minds(tmp_path, mind)
    delivery = delivered(await bench.drive(await bench.request()))
    assert "[detect-secrets, high] wordkit/red.py:1: This looks like a secret" in told[1]
    there = Checkout.at(bench.repository)
    bundle = await bench.journal.get_blob(delivery.bundle)
    await deliver(bench.repository, bundle, delivery.branch, delivery.tree.commit)
    assert "def red" in there.git("show", f"{delivery.branch}:wordkit/red.py")
    assert KEY not in there.git("log", "--all", "--patch")


async def test_the_repository_is_rebuilt_from_bundles_when_it_is_lost(tmp_path: Path) -> None:
    bench = minds(tmp_path, planned(task("red")))
    await bench.drive(await bench.request("delivery"))
    bench.forget_repositories()
    await bench.decide(answer="approve")
    assert delivered(await bench.drive())


async def test_a_model_that_only_talks_ends_the_run_with_its_last_words(tmp_path: Path) -> None:
    bench = minds(tmp_path, lambda request: ModelReply("I would rather not.", model="scripted"))
    outcome = await bench.drive(await bench.request())
    assert outcome.status is RunStatus.FAILED
    assert outcome.error is not None
    assert outcome.error.exit_code == 1
    assert "I would rather not." in outcome.error.what + outcome.error.fix


@pytest.mark.parametrize(
    ("tasks", "told"),
    [
        ([task("red", "blue"), task("blue", "red")], "circle"),
        ([task("red", "nobody")], "nobody"),
    ],
    ids=["cycle", "unknown dependency"],
)
async def test_a_plan_that_does_not_hold_together_goes_back_to_the_architect(
    tmp_path: Path, tasks: list[dict[str, object]], told: str
) -> None:
    def mind(request: ModelRequest) -> ModelReply:
        if request.role != "architect":
            return steady(request)
        if request.turn == 1:
            return plan(*tasks)
        assert told in str(request.messages[-1]["content"])
        return plan(task("red"))

    bench = minds(tmp_path, mind)
    assert delivered(await bench.drive(await bench.request()))


async def test_a_hostile_repository_runs_nothing_on_the_host(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hooks, filters, conftest.py, sitecustomize, links and a submodule, all aimed at a canary."""
    canary = tmp_path / "canary"
    bench = minds(tmp_path, planned(task("red")))
    repository = bench.repository
    touch = f"open({str(canary)!r}, 'w').write('ran')"
    attack = f"try:\n    {touch}\nexcept OSError:\n    pass\n"
    (repository / "conftest.py").write_text(attack)
    (repository / "sitecustomize.py").write_text(attack)
    (repository / "link").symlink_to("/etc/passwd")
    (repository / ".gitattributes").write_text("* filter=evil diff=evil merge=evil\n")
    (repository / ".gitmodules").write_text(
        '[submodule "x"]\n\tpath = x\n\turl = ext::sh -c "touch canary"\n'
    )
    git(repository, "add", "--all")
    git(repository, "commit", "--quiet", "--message=hostile")
    for hook in ("post-checkout", "pre-commit", "reference-transaction", "post-update"):
        file = repository / ".git" / "hooks" / hook
        file.parent.mkdir(exist_ok=True)
        file.write_text(f"#!/bin/sh\ntouch {canary}\n")
        file.chmod(0o755)
    for key in ("filter.evil.clean", "filter.evil.smudge", "core.fsmonitor", "diff.evil.command"):
        git(repository, "config", key, f"touch {canary}; cat")
    monkeypatch.chdir(repository)
    delivery = delivered(await bench.drive(await bench.request()))
    await deliver(
        repository, await bench.journal.get_blob(delivery.bundle), delivery.branch,
        delivery.tree.commit,
    )  # fmt: skip
    assert not canary.exists()
