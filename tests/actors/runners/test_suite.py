import json
from collections.abc import Mapping, Sequence

import pytest

from actors.runners.cargo import CargoRunner
from actors.runners.command import CommandRunner
from actors.runners.go import GoRunner
from actors.runners.node import JestRunner, NodeRunner, VitestRunner
from actors.runners.python import PytestRunner, UnittestRunner
from actors.runners.suite import detect, run_suite, runner_of
from actors.sandbox.in_memory import InMemoryProvider, answered
from actors.sandbox.protocol import ExecResult, SandboxSpec
from orchestration.errors import InfrastructureError, UsageError
from orchestration.ids import CommitId
from orchestration.proof import Outcome

COMMIT = CommitId("1" * 40)


async def detected(files: Mapping[str, str]) -> object:
    async def read(path: str) -> bytes:
        return files[path].encode()

    return await detect(list(files), read)


def package(script: str, **more: str) -> str:
    return json.dumps({"scripts": {"test": script, **more}})


@pytest.mark.parametrize(
    ("files", "runner"),
    [
        ({"tests/test_a.py": ""}, PytestRunner()),
        ({"pkg/a_test.py": "", "package.json": "{"}, PytestRunner()),
        ({"pytest.ini": ""}, PytestRunner()),
        ({"package.json": package("node --test")}, NodeRunner()),
        (
            {"package.json": package("node --no-warnings --test test/")},
            NodeRunner(("test/",)),
        ),
        ({"package.json": package("jest --coverage src")}, JestRunner(("src",))),
        ({"package.json": package("tsc && vitest run")}, VitestRunner()),
        ({"package.json": package("npm run lint && npm run unit", unit="vitest")}, VitestRunner()),
        ({"package.json": package("c8 --100 -r=html node --test")}, NodeRunner()),
        (
            {"package.json": package("yarn one", one="pnpm two", two="npm test")},
            CommandRunner("npm test --silent"),
        ),
        ({"package.json": package("mocha")}, CommandRunner("npm test --silent")),
        ({"package.json": package("jest && vitest")}, CommandRunner("npm test --silent")),
        ({"package.json": package("jest || true")}, CommandRunner("npm test --silent")),
        ({"go.mod": ""}, GoRunner()),
        ({"Cargo.toml": ""}, CargoRunner()),
        ({"Makefile": "all:\n\ntest: all\n"}, CommandRunner("make test")),
    ],
)
async def test_a_repository_shows_how_it_is_tested(files: dict[str, str], runner: object) -> None:
    assert await detected(files) == runner


async def test_scripts_that_run_each_other_without_end_come_to_an_end() -> None:
    twice = {f"s{n}": f"npm run s{n + 1} && npm run s{n + 1}" for n in range(3000)}
    files = {"package.json": package("npm run s0", **twice)}
    assert await detected(files) == CommandRunner("npm test --silent")


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"README.md": ""},
        {"package.json": "not json"},
        {"package.json": "[]"},
        {"package.json": '{"scripts": {"test": 1}}'},
        {"package.json": '{"scripts": "test"}'},
        {"package.json": package("echo no test specified")},
        {"Makefile": "tests:\n"},
    ],
)
async def test_no_tests_and_no_command_names_the_fix(files: dict[str, str]) -> None:
    with pytest.raises(UsageError) as caught:
        await detected(files)
    assert "--test-command" in caught.value.fix


@pytest.mark.parametrize(
    ("command", "runner"),
    [
        ("pytest", PytestRunner()),
        ("python -m pytest -k 'a or b' tests", PytestRunner(("-k", "a or b", "tests"))),
        ("python3.12 -m pytest", PytestRunner()),
        ("python -m unittest discover -s tests", UnittestRunner(("discover", "-s", "tests"))),
        ("npx vitest run --reporter=dot src", VitestRunner(("src",))),
        ("yarn jest -t name", JestRunner(("-t", "name"))),
        ("go test -race ./...", GoRunner(("-race", "./..."))),
        ("cargo test --workspace", CargoRunner(("--workspace",))),
        ("pytest-watch", CommandRunner("pytest-watch")),
        ("pytest && make lint", CommandRunner("pytest && make lint")),
        ("PYTHONPATH=. pytest", CommandRunner("PYTHONPATH=. pytest")),
        (" tox ", CommandRunner("tox")),
    ],
)
def test_a_given_command_is_taken_for_what_it_is(command: str, runner: object) -> None:
    assert runner_of(command) == runner


async def suite(result: ExecResult, command: str | None) -> object:
    async def answer(argv: Sequence[str], files: dict[str, bytes]) -> ExecResult:
        return result

    sandbox = await InMemoryProvider(handler=answer).create(SandboxSpec())
    return await run_suite(sandbox, COMMIT, command=command, timeout_s=5)


async def test_files_are_asked_of_git_in_the_sandbox() -> None:
    with pytest.raises(UsageError, match="no tests"):
        await suite(answered(0, b"README.md\0"), None)
    with pytest.raises(InfrastructureError, match="cannot list"):
        await suite(answered(128, b""), None)


@pytest.mark.parametrize(
    ("code", "outcome"), [(0, Outcome.PASSED), (1, Outcome.FAILED), (5, Outcome.FAILED)]
)
async def test_a_command_is_one_case_by_its_exit_code(code: int, outcome: Outcome) -> None:
    sandbox = await InMemoryProvider(handler=lambda _argv, _files: done(code)).create(SandboxSpec())
    report = await run_suite(sandbox, COMMIT, command="tox", timeout_s=5)
    assert [(c.id, c.outcome) for c in report.cases] == [("tox", outcome)]
    assert (report.problem, report.exit_code, report.commit) == ("", code, COMMIT)


async def done(code: int) -> ExecResult:
    return answered(code, b"said")


@pytest.mark.parametrize("code", [126, 127])
async def test_a_command_that_cannot_run_says_nothing(code: int) -> None:
    sandbox = await InMemoryProvider(handler=lambda _argv, _files: done(code)).create(SandboxSpec())
    report = await run_suite(sandbox, COMMIT, command="tox", timeout_s=5)
    assert "cannot run in the sandbox" in report.problem
    assert report.cases == ()
