"""What evidence claims is proven again, or named as untrue."""

import asyncio
from pathlib import Path

import pytest

from actors.evidence import Evidence
from actors.run_repository import RunRepository
from actors.sandbox.opening import open_provider
from actors.verification import Claim, FreshCheckouts, Verification, require_commits
from cluster.settings import running_toolchains
from orchestration.clock import SystemClock
from orchestration.errors import GitError
from orchestration.ids import CommitId
from orchestration.proof import TestReport
from orchestration.workflow.in_memory import InMemoryJournal
from tests.actors.proven import BYE, CODE, HELLO, Proven, prove, report

pytestmark = pytest.mark.slow
RED, GREEN = "bye: its tests fail without its code", "bye: its tests pass with its code"
FROZEN = "bye: its tests stayed as they were frozen"
MERGED = "bye: merging it broke nothing"
BRANCH = "the branch is the base and every task's work"
FINAL = "the whole suite on the branch ends as reported"


@pytest.fixture
def proven(tmp_path: Path) -> Proven:
    return prove(tmp_path / "project")


async def claims(
    proven: Proven, *, evidence: Evidence | None = None, **reports: TestReport
) -> dict[str, Claim]:
    """By what they say; `reports` are what the suite says now, where that is not as then."""
    bare = await proven.bare(proven.checkout.path.parent / "commits.git")
    now = proven.reports | {getattr(proven, name): said for name, said in reports.items()}
    tested: list[CommitId] = []

    async def test(commit: CommitId) -> TestReport:
        tested.append(commit)
        return now[commit]

    repository = RunRepository(bare, InMemoryJournal(SystemClock()))
    verification = Verification(evidence or proven.evidence, repository, test)
    found = {claim.what: claim async for claim in verification.claims()}
    assert len(tested) == len(set(tested)), "equal trees are tested once"
    return found


def broken(found: dict[str, Claim]) -> dict[str, str]:
    return {what: " ".join(claim.why) for what, claim in found.items() if not claim.holds}


async def test_an_honest_delivery_holds(proven: Proven) -> None:
    found = await claims(proven)
    assert list(found) == [BRANCH, FROZEN, RED, GREEN, MERGED, FINAL]
    assert broken(found) == {}


async def test_a_test_that_passes_without_the_code_is_named(proven: Proven) -> None:
    found = broken(await claims(proven, test=report(proven.test, HELLO, BYE)))
    assert "proves nothing" in found[RED]
    assert "tests/test_bye.py is said to have failed, and passes" in found[RED]


async def test_code_that_does_not_do_it_is_named(proven: Proven) -> None:
    found = broken(await claims(proven, code=report(proven.code, HELLO, failed=BYE)))
    assert set(found) == {GREEN, MERGED, FINAL}
    assert f"{BYE} must pass and fails" in found[GREEN]
    assert f"{BYE} fails, and the evidence does not say so" in found[FINAL]


async def test_a_run_that_says_nothing_now_holds_nothing(proven: Proven) -> None:
    silent = report(proven.code).model_copy(update={"problem": "forged"})
    assert set(broken(await claims(proven, code=silent))) == {GREEN, MERGED, FINAL}


async def test_other_test_files_than_claimed_are_named(proven: Proven) -> None:
    (task,) = proven.evidence.tasks
    other = task.model_copy(update={"test_files": {"tests/test_bye.py": "0" * 40}})
    evidence = proven.evidence.model_copy(update={"tasks": (other,)})
    assert "is another file" in broken(await claims(proven, evidence=evidence))[FROZEN]


async def test_a_branch_without_the_work_is_named(proven: Proven) -> None:
    evidence = proven.evidence.model_copy(update={"commit": proven.base})
    found = broken(await claims(proven, evidence=evidence))
    assert "task bye" in found[BRANCH]


async def test_a_task_without_behaviour_is_held_to_its_own_gate(proven: Proven) -> None:
    (task,) = proven.evidence.tasks
    plain = task.model_copy(update={"test_commit": None, "red": None, "base": proven.test})
    evidence = proven.evidence.model_copy(update={"tasks": (plain,)})
    what = "bye: it leaves the tests alone, and all passing"
    passing = report(proven.test, HELLO)
    assert (await claims(proven, evidence=evidence, test=passing))[what].holds


async def test_what_is_known_to_be_flaky_is_not_blamed(proven: Proven) -> None:
    final = report(proven.code).model_copy(update={"flaky": (HELLO,)})
    evidence = proven.evidence.model_copy(update={"final": final})
    unsteady = report(proven.code, BYE, failed=HELLO)
    assert broken(await claims(proven, evidence=evidence, code=unsteady)) == {}


async def test_commits_that_are_not_here_are_asked_for(proven: Proven, tmp_path: Path) -> None:
    repository = RunRepository(
        await proven.bare(tmp_path / "x.git"), InMemoryJournal(SystemClock())
    )
    await require_commits(proven.evidence, repository)
    with pytest.raises(GitError, match="is not in the repository"):
        await require_commits(proven.evidence.model_copy(update={"base": "1" * 40}), repository)


@pytest.mark.parametrize(
    ("code", "untrue"),
    [(CODE, set[str]()), ({"greet.py": "bye = print\nhello = str\n"}, {GREEN, MERGED, FINAL})],
)
async def test_real_runs_prove_it_again(
    tmp_path: Path, code: dict[str, str], untrue: set[str]
) -> None:
    proven = await asyncio.to_thread(prove, tmp_path / "project", code)
    bare = await proven.bare(tmp_path / "commits.git")
    toolchains = [str(path) for path in running_toolchains()]
    provider = await open_provider("none", tmp_path / "sandboxes", toolchains)
    checkouts = FreshCheckouts(provider, bare, None, timeout_s=60)
    repository = RunRepository(bare, InMemoryJournal(SystemClock()))
    verification = Verification(proven.evidence, repository, checkouts.test)
    found = {claim.what: claim async for claim in verification.claims()}
    assert set(broken(found)) == untrue
    assert await provider.find({"role": "verification"}) == []
    await provider.close()
