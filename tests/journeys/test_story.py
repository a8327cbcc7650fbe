"""The story's turns: rivals, planning anew, partial delivery, upkeep, mutants."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from actors.git.source import deliver
from actors.models.gateway import ModelReply, ModelRequest
from cluster.demo.sample import git
from orchestration.workflow.journal import RecordKind, RunStatus
from tests.actors.git.checkout import Checkout
from tests.journeys.bench import (
    APPROVED,
    RUN,
    Bench,
    code,
    delivered,
    finish,
    minds,
    plan,
    says,
    steady,
    task,
)

pytestmark = pytest.mark.slow

WRONG = code("red", "'nothing'")


def told(request: ModelRequest) -> str:
    """The task message of an agent."""
    return str(request.messages[1]["content"])


def writes(path: str, content: str) -> ModelReply:
    return says(("write", {"path": path, "content": content}))


def upkeep(name: str, path: str) -> dict[str, Any]:
    return task(name) | {"changes_behaviour": False, "files": [path]}


async def evidence(bench: Bench, outcome: Any) -> dict[str, Any]:
    return json.loads(await bench.journal.get_blob(delivered(outcome).evidence))


async def steps(bench: Bench, last: str) -> list[str]:
    records = await bench.journal.read(RUN, kinds=[RecordKind.STARTED])
    return [r.step_key for r in records if r.step_key.endswith(last)]


async def test_a_task_without_behaviour_is_done_without_a_test(tmp_path: Path) -> None:
    heard: list[str] = []

    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "architect":
            return plan(upkeep("docs", "NOTES.md"))
        if request.role == "coder":
            heard.append(told(request))
            return (
                writes("NOTES.md", "Notes.\n") if request.turn == 1 else finish(title="Add notes")
            )
        if request.role == "reviewer":
            heard.append(told(request))
        return APPROVED

    bench = minds(tmp_path, mind)
    outcome = await bench.drive(await bench.request(mutants=4))
    (proof,) = (await evidence(bench, outcome))["tasks"]
    assert (proof["red"], proof["test_commit"], proof["green"]["exit_code"]) == (None, None, 0)
    assert await steps(bench, "write_test") == await steps(bench, "challenge") == []
    assert "It changes no behaviour" in heard[0]
    assert "Approve only if no behaviour changed" in heard[-1]


async def test_a_task_without_behaviour_that_breaks_some_is_sent_back(tmp_path: Path) -> None:
    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "architect":
            return plan(upkeep("tidy", "wordkit/counting.py"))
        if request.role == "coder" and request.turn == 1:
            if "#2" in request.conversation.partition("green")[2]:
                assert "passed before and did not run" in told(request)
                return says(("run", {"command": "git checkout HEAD~1 -- wordkit/counting.py"}))
            return writes("wordkit/counting.py", '"""Nothing is left."""\n')
        return finish(title="Tidy", notes="") if request.role == "coder" else APPROVED

    bench = minds(tmp_path, mind)
    outcome = await bench.drive(await bench.request(repairs=2))
    assert outcome.status is RunStatus.FAILED
    assert outcome.error is not None
    assert "The patch is empty" in outcome.error.what


async def test_what_fails_is_planned_anew_and_the_new_plan_is_built(tmp_path: Path) -> None:
    plans: list[str] = []

    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "architect":
            plans.append(told(request))
            return plan(task("blue")) if "could not be built" in plans[-1] else plan(task("red"))
        if "[red]" in request.conversation and "write_code" in request.conversation:
            return WRONG if request.turn == 1 else finish(title="Wrong")
        return steady(request)

    bench = minds(tmp_path, mind)
    outcome = await bench.drive(await bench.request(repairs=1, replans=1))
    delivery = delivered(outcome)
    assert delivery.summary.startswith("blue: Add blue")
    assert delivery.undone == ()
    assert "red (Add red): loop 'green' did not end within 1" in plans[1]


async def test_what_is_finished_is_delivered_when_the_rest_fails(tmp_path: Path) -> None:
    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "architect":
            return plan(task("red"), task("blue"), task("green", "red"))
        if "[red]" in request.conversation and "write_code" in request.conversation:
            return WRONG if request.turn == 1 else finish(title="Wrong")
        return steady(request)

    bench = minds(tmp_path, mind)
    outcome = await bench.drive(await bench.request(repairs=1))
    delivery = delivered(outcome)
    assert delivery.undone == ("red: Add red", "green: Add green")
    assert "Not part of it: red: Add red." in delivery.summary
    found = await evidence(bench, outcome)
    assert [t["task"]["id"] for t in found["tasks"]] == ["blue"]
    assert "'green' comes after 'red', which failed" in found["undone"][1]["why"]


async def test_rivals_compete_for_a_hard_task_and_the_right_one_wins(tmp_path: Path) -> None:
    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "architect":
            return plan(task("red") | {"difficulty": "hard"})
        if "attempt[1]/write_code" in request.conversation and request.turn == 1:
            return WRONG
        return steady(request)

    bench = minds(tmp_path, mind)
    outcome = await bench.drive(await bench.request(repairs=1))
    assert (await evidence(bench, outcome))["tasks"][0]["green"]["exit_code"] == 0
    begun = await steps(bench, "write_code")
    assert sorted(key.rpartition("/")[0][-2:] for key in begun) == ["1]", "2]"]
    used = {
        json.loads(r.body)["id"]
        for r in await bench.journal.read(RUN, kinds=[RecordKind.SANDBOX])
        if r.step_key.endswith("write_code")
    }
    assert len(used) == 2


async def test_rivals_come_in_when_two_rounds_have_failed(tmp_path: Path) -> None:
    def mind(request: ModelRequest) -> ModelReply:
        if "attempt[1]/write_code" in request.conversation and request.turn == 1:
            return says(("run", {"command": f"echo '# {request.conversation}' >> README.md"}))
        return plan(task("red")) if request.role == "architect" else steady(request)

    bench = minds(tmp_path, mind)
    delivered(await bench.drive(await bench.request(repairs=3)))
    rounds = Counter(key.partition("green")[2][:2] for key in await steps(bench, "write_code"))
    assert rounds == {"#1": 1, "#2": 1, "#3": 2}


async def test_an_old_test_changed_without_leave_is_found_out(tmp_path: Path) -> None:
    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "architect":
            return plan(task("red"))
        if "write_test" in request.conversation and request.turn == 1:
            return says(
                ("write", {"path": "tests/test_red.py", "content": RED_TEST}),
                ("run", {"command": "echo 'def test_nothing(): pass' > tests/test_counting.py"}),
            )
        if "write_code" in request.conversation and request.turn == 1:
            broken = "printf 'def word_count(text):\\n    return 0\\n' > wordkit/counting.py"
            return says(("run", {"command": broken}), *code_calls("red"))
        return steady(request)

    bench = minds(tmp_path, mind)
    outcome = await bench.drive(await bench.request(repairs=1, red_attempts=1))
    assert outcome.status is RunStatus.FAILED
    assert outcome.error is not None
    assert "tests/test_counting.py" in outcome.error.what


RED_TEST = "def test_red():\n    from wordkit.red import red\n\n    assert red() == 'red'\n"


def code_calls(name: str) -> list[tuple[str, dict[str, Any]]]:
    (call,) = code(name).tool_calls
    return [(call.name, json.loads(call.arguments))]


async def test_changing_existing_tests_asks_a_person_even_where_plans_do_not(
    tmp_path: Path,
) -> None:
    changed = task("red") | {"existing_tests": ["tests/test_counting.py"]}

    def mind(request: ModelRequest) -> ModelReply:
        return plan(changed) if request.role == "architect" else steady(request)

    bench = minds(tmp_path, mind)
    waiting = await bench.drive(await bench.request())
    assert waiting.status is RunStatus.SUSPENDED
    asked = json.loads(waiting.suspensions[0].payload)
    assert asked["title"] == "Approve this plan? It changes tests/test_counting.py"
    await bench.decide(answer="approve")
    assert delivered(await bench.drive())


async def test_a_weak_test_lets_mutants_live_and_the_coder_hears_of_them(tmp_path: Path) -> None:
    weak = "def test_red():\n    from wordkit.red import red\n\n    assert red(1) is not None\n"
    body = "def red(n: int) -> int:\n    if n > 3:\n        return n + 1\n    return n * 2\n"
    strong = (
        "from wordkit.red import red\n\n\n"
        "def test_all():\n    assert [red(n) for n in (0, 1, 3, 4, 9)] == [0, 2, 6, 5, 10]\n"
    )
    heard: list[str] = []

    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "architect":
            return plan(task("red"))
        if request.role != "coder" or request.turn > 1:
            return steady(request)
        if "write_test" in request.conversation:
            return writes("tests/test_red.py", weak)
        if "green#1" in request.conversation:
            return writes("wordkit/red.py", body)
        heard.append(told(request))
        return writes("tests/test_red_more.py", strong)

    bench = minds(tmp_path, mind)
    asked = await bench.request(repairs=2, mutants=6, killed_share=0.9)
    found = await evidence(bench, await bench.drive(asked))
    assert "no test fails when" in heard[0]
    trials = found["tasks"][0]["strength"]["trials"]
    assert {trial["fate"] for trial in trials} == {"killed"}
    assert found["tasks"][0]["strength"]["reverted"] is True
    looked, missing = (set(found["tasks"][0]["audit"][key]) for key in ("scanners", "missing"))
    assert {"bandit", "detect-secrets", "manta"} <= looked
    assert (looked | missing) - {"bandit", "detect-secrets", "manta"} == {"semgrep"}


async def test_a_request_that_is_met_already_changes_nothing(tmp_path: Path) -> None:
    nothing = finish(summary="word_count does that.", tasks=[])
    bench = minds(tmp_path, lambda _: nothing)
    delivery = delivered(await bench.drive(await bench.request()))
    assert (delivery.branch, delivery.summary) == ("", "Nothing to do. word_count does that.")


async def test_a_request_that_contradicts_itself_ends_with_the_reason(tmp_path: Path) -> None:
    no = finish(summary="No.", tasks=[], impossible="it is to be both sorted and unsorted")
    bench = minds(tmp_path, lambda _: no)
    outcome = await bench.drive(await bench.request())
    assert outcome.error is not None
    assert "both sorted and unsorted" in outcome.error.what


async def test_a_suite_that_takes_too_long_ends_the_run_at_once_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    asked: list[str] = []

    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "coder" and request.turn == 1:
            asked.append(request.conversation)
        return plan(task("red"), task("blue")) if request.role == "architect" else steady(request)

    bench = minds(tmp_path, mind)
    endless = bench.repository / "tests" / "test_endless.py"
    endless.write_text("import time\n\n\ndef test_endless():\n    time.sleep(3600)\n")
    git(bench.repository, "add", "--all")
    git(bench.repository, "commit", "--quiet", "--message=endless")
    outcome = await bench.drive(await bench.request(test_seconds=2, replans=1))
    assert outcome.error is not None
    assert (outcome.error.name, outcome.error.exit_code) == ("UntestableError", 2)
    assert "ran longer than 2 s, in tests/test_endless.py::test_endless" in outcome.error.what
    assert "MANTA_LIMITS__TEST_SECONDS" in outcome.error.fix
    assert len(asked) == 2, "each task's test, and nothing after it"


async def test_a_base_branch_that_moved_meanwhile_stays_and_gets_the_work_beside_it(
    tmp_path: Path,
) -> None:
    def mind(request: ModelRequest) -> ModelReply:
        if request.role == "architect":
            (bench.repository / "README.md").write_text("Somebody was faster.\n")
            git(bench.repository, "commit", "--quiet", "--all", "--amend", "--message=rewritten")
            return plan(task("red"))
        return steady(request)

    bench = minds(tmp_path, mind)
    request = await bench.request()
    made = delivered(await bench.drive(request))
    bundle = await bench.journal.get_blob(made.bundle)
    await deliver(bench.repository, bundle, made.branch, made.tree.commit)
    there = Checkout.at(bench.repository)
    assert there.git("log", "--format=%s", "-1", "HEAD") == "rewritten"
    assert int(there.git("rev-list", "--count", f"{request.base.commit}..{made.branch}")) >= 1
