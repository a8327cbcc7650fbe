"""Mutants meet tests: here a test is a Python file that is run in memory."""

import asyncio
from collections.abc import Sequence
from pathlib import Path

import pytest

from actors.mutants.challenge import Run, challenge, mutants_of, reverted
from actors.runners.suite import run_suite
from actors.sandbox.in_memory import InMemoryProvider, InMemorySandbox
from actors.sandbox.opening import open_provider
from actors.sandbox.protocol import SandboxSpec
from orchestration.ids import CommitId
from orchestration.messages import FileChange
from orchestration.proof import Outcome, TestCase, TestReport
from orchestration.strength import Fate, Mutant, Strength
from tests.actors.git.checkout import Checkout
from tests.actors.runners.conftest import QUICK, TOOLCHAINS

CODE = "def price(n):\n    if n < 10:\n        return n * 3\n    return n * 2\n"
WEAK = "assert price(1) == 3"
STRONG = "assert [price(n) for n in (1, 9, 10, 11)] == [3, 27, 20, 22]"
COMMIT = CommitId("1" * 40)


@pytest.fixture
async def sandbox() -> InMemorySandbox:
    made = await InMemoryProvider().create(SandboxSpec())
    assert isinstance(made, InMemorySandbox)
    made.files = {"a.py": CODE.encode()}
    return made


def suite_of(sandbox: InMemorySandbox, test: str) -> Run:
    """A run of one test, which fails by raising; a result that never comes is a timeout."""

    async def run(timeout_s: float) -> TestReport:
        source = sandbox.files["a.py"].decode()
        outcome, ended = Outcome.PASSED, "exited"
        try:
            exec(f"{source}\n{test}", {})
        except TimeoutError:
            ended = "timeout"
        except (AssertionError, TypeError, ZeroDivisionError):
            outcome = Outcome.FAILED
        cases = (TestCase(id="t", outcome=outcome),)
        return TestReport(commit=COMMIT, command="t", cases=cases, seconds=1.0, ended=ended)

    return run


async def made(sandbox: InMemorySandbox, limit: int = 50) -> tuple[Mutant, ...]:
    lines = range(1, 1 + sandbox.files["a.py"].count(b"\n"))
    return await mutants_of(sandbox.read_file, {"a.py": lines}, limit=limit, seed="s")


async def met(sandbox: InMemorySandbox, *tests: str, budget_s: float = 1000.0) -> Strength:
    runs = [suite_of(sandbox, test) for test in tests]
    return await challenge(sandbox, await made(sandbox), runs, budget_s=budget_s)


async def test_a_strong_test_kills_what_a_weak_one_lets_live(sandbox: InMemorySandbox) -> None:
    weak, strong = await met(sandbox, WEAK), await met(sandbox, STRONG)
    assert {m.before for m in weak.survivors} >= {"<", "2"}
    assert strong.survivors == ()
    assert (strong.share, strong.problem) == (1.0, "")
    assert weak.share is not None
    assert weak.share < 0.8
    assert {t.by for t in strong.trials} == {"t"}


async def test_the_workspace_is_left_as_it_was(sandbox: InMemorySandbox) -> None:
    await met(sandbox, STRONG)
    assert sandbox.files == {"a.py": CODE.encode()}


async def test_who_survives_the_first_tests_meets_the_next(sandbox: InMemorySandbox) -> None:
    assert (await met(sandbox, WEAK, STRONG)).survivors == ()


async def test_a_spent_budget_leaves_mutants_untried(sandbox: InMemorySandbox) -> None:
    strength = await met(sandbox, STRONG, budget_s=4.0)
    assert strength.count(Fate.KILLED) == 3
    assert strength.count(Fate.UNTRIED) == len(strength.trials) - 3
    assert strength.share == 1.0


async def test_tests_that_do_not_pass_by_themselves_show_nothing(sandbox: InMemorySandbox) -> None:
    strength = await met(sandbox, "assert price(1) == 4")
    assert strength.problem == "without any mutant, no test passes"
    assert (strength.trials, strength.share) == ((), None)


async def test_a_hang_counts_as_noticed(sandbox: InMemorySandbox) -> None:
    strength = await met(sandbox, "if price(9) != 27: raise TimeoutError")
    assert strength.count(Fate.TIMEOUT) > 0
    assert strength.count(Fate.KILLED) == 0


async def test_what_does_not_build_says_nothing(sandbox: InMemorySandbox) -> None:
    source = "package a\n\nfunc F() int { return 1 + 2 }\n"
    sandbox.files["a.go"] = source.encode()
    mutants = await mutants_of(sandbox.read_file, {"a.go": {3}}, limit=9, seed="")

    async def run(timeout_s: float) -> TestReport:
        built = sandbox.files["a.go"] == source.encode()
        outcome = Outcome.PASSED if built else Outcome.ERROR
        cases = (TestCase(id="a::TestF", outcome=outcome),)
        return TestReport(commit=COMMIT, command="go", cases=cases)

    strength = await challenge(sandbox, mutants, [run], budget_s=9)
    assert {t.fate for t in strength.trials} == {Fate.BROKEN}
    assert strength.share is None


async def test_a_limit_is_shared_among_files(sandbox: InMemorySandbox) -> None:
    sandbox.files |= {"b.py": b"x = 1\ny = 2\n", "tests/test_a.py": b"z = 3\n", "c.txt": b"4\n"}
    added = {"a.py": {2, 3, 4}, "b.py": {1, 2}, "tests/test_a.py": {1}, "c.txt": {1}}
    chosen = await mutants_of(sandbox.read_file, added, limit=4, seed="")
    assert sorted(m.path for m in chosen) == ["a.py", "a.py", "b.py", "b.py"]


def test_parts_of_a_challenge_add_up() -> None:
    both = Strength(reverted=True) + Strength() + Strength(problem="p")
    assert (both.reverted, both.problem) == (True, "p")
    assert not (Strength(reverted=True) + Strength(reverted=False)).reverted


FILES = {
    "shop.py": CODE,
    "tests/test_shop.py": "from shop import price\n\n\ndef test_price():\n    %s\n",
}


@pytest.mark.slow
async def test_real_tests_meet_real_mutants(tmp_path: Path) -> None:
    """A patch that is wrong above ten passes its own weak test; mutants show what is missing."""
    checkout = Checkout(tmp_path / "project")
    base = await asyncio.to_thread(checkout.commit, {"shop.py": "def old(): return 1\n"})
    files = {path: text % WEAK if "%s" in text else text for path, text in FILES.items()}
    commit = CommitId(await asyncio.to_thread(checkout.commit, files))
    provider = await open_provider("none", tmp_path / "sandboxes", TOOLCHAINS)
    sandbox = await provider.create(SandboxSpec(env=QUICK | {"PYTHONDONTWRITEBYTECODE": "1"}))
    await sandbox.git_import([checkout.bundle()], commit)

    async def run(timeout_s: float, only: Sequence[str] = ("tests/test_shop.py",)) -> TestReport:
        return await run_suite(sandbox, commit, command=None, timeout_s=timeout_s, only=only)

    mutants = await mutants_of(sandbox.read_file, {"shop.py": {2, 3, 4}}, limit=6, seed=commit)
    strength = await challenge(sandbox, mutants, [run], budget_s=60)
    assert strength.problem == ""
    assert len(strength.trials) == 6
    assert any(m.line == 4 for m in strength.survivors)
    assert strength.count(Fate.KILLED) >= 1

    change = FileChange(
        path="shop.py", status="M", old_mode="100644", new_mode="100644", old_blob="", new_blob=""
    )
    again = await reverted(sandbox, base, [change], run, timeout_s=60)
    assert (again.reverted, again.problem) == (True, "")
    status = await sandbox.exec(["git", "status", "--porcelain"], timeout_s=9)
    assert status.stdout == b""
    await provider.close()
