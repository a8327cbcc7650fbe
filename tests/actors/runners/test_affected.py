from collections.abc import Sequence

import pytest

from actors.runners.affected import affected
from actors.runners.runner import Place
from actors.runners.suite import run_suite
from actors.sandbox.in_memory import InMemoryProvider, answered
from actors.sandbox.protocol import ExecResult, SandboxSpec
from orchestration.ids import CommitId
from orchestration.proof import Outcome
from tests.actors.runners.conftest import Run

FILES = ("tests/test_pool.py", "tests/test_b.py", "pool_test.go", "src/pool.test.ts", "src/pool.py")


def test_tests_named_after_what_changed_come_after_those_that_changed() -> None:
    assert affected(["src/pool.py"], FILES) == (
        "pool_test.go", "src/pool.test.ts", "tests/test_pool.py",
    )  # fmt: skip
    assert affected(["tests/test_b.py", "lib/Pool.ts"], FILES)[0] == "tests/test_b.py"
    assert affected(["pool.go"], FILES, failing=FILES[:4]) == ()
    assert affected(["README.md", "tests/gone.py"], FILES) == ()


TESTS = {"test_a.py": "def test_a(): assert 0\n", "test_b.py": "def test_b(): pass\n"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("first", "only", "ids"),
    [
        (("test_a.py",), ("test_a.py",), ["test_a.py::test_a"]),
        (("test_b.py",), (), ["test_a.py::test_a", "test_b.py::test_b"]),
    ],
)
async def test_the_whole_suite_is_spared_where_its_first_tests_fail(
    run: Run, first: tuple[str, ...], only: tuple[str, ...], ids: list[str]
) -> None:
    class First:
        command = "pytest"

        async def run(self, place: Place, commit: CommitId, **options: object):
            return await run_suite(place, commit, command=None, timeout_s=60, first=first)

    report = await run(First(), TESTS)
    assert (report.only, [case.id for case in report.cases]) == (only, ids)


async def test_a_command_has_no_first_tests() -> None:
    calls: list[Sequence[str]] = []

    async def answer(argv: Sequence[str], files: dict[str, bytes]) -> ExecResult:
        calls.append(argv)
        return answered(0)

    sandbox = await InMemoryProvider(handler=answer).create(SandboxSpec())
    report = await run_suite(
        sandbox, CommitId("1" * 40), command="make test", timeout_s=5, first=("tests/a",)
    )
    assert (len(calls), report.cases[0].outcome) == (1, Outcome.PASSED)
