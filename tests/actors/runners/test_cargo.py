"""cargo: what recorded runs of cargo 1.95 say, and real runs where cargo is installed."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from actors.runners.cargo import CargoRunner
from actors.sandbox.in_memory import InMemoryProvider, answered
from actors.sandbox.protocol import ExecResult, SandboxSpec
from orchestration.ids import CommitId
from orchestration.proof import Outcome, TestReport
from tests.actors.runners.conftest import TOOLCHAINS, Files, Run

RECORDED = Path(__file__).parent / "recorded"
CARGO = CargoRunner()
HOME = Path.home() / ".rustup/toolchains"
TOOLCHAIN = next(iter(sorted(HOME.glob("stable-*"))), None)
needs_cargo = pytest.mark.skipif(
    not TOOLCHAIN and not shutil.which("cargo"), reason="cargo is not installed"
)


def file(name: str) -> bytes:
    return (RECORDED / f"cargo-{name}").read_bytes()


def play() -> dict[str, ExecResult]:
    """Commands by a word in them, and what cargo 1.95 and its programs answered."""
    return {
        "--test many": answered(0, file("rest.jsonl")),
        "--no-run": answered(101, file("build.jsonl"), b"error: could not compile"),
        "metadata": answered(0, file("metadata.json")),
        "--doc": answered(0, file("doc.txt")),
        "deps/many": answered(101, file("many.txt")),
        "deps/greet": answered(0, file("lib.txt")),
        "pwd": answered(0, b"/workspace\n"),
    }


async def reported(changed: Mapping[str, ExecResult], only: tuple[str, ...] = ()) -> TestReport:
    answers = {**play(), **changed}

    async def answer(argv: Sequence[str], files: dict[str, bytes]) -> ExecResult:
        return next(answers[word] for word in answers if word in " ".join(argv))

    sandbox = await InMemoryProvider(handler=answer).create(SandboxSpec())
    return await CARGO.run(sandbox, CommitId("1" * 40), timeout_s=5, only=only)


async def test_every_way_to_end_is_told_apart() -> None:
    report = await reported({})
    assert (report.problem, report.exit_code) == ("", 101)
    cases = {case.id: case for case in report.cases}
    assert {id_: str(case.outcome) for id_, case in cases.items()} == {
        "tests/bye.rs": "error",
        "src/lib.rs::tests::says_hello": "passed",
        "src/lib.rs::tests::panics": "passed",
        "tests/many.rs::passes": "passed",
        "tests/many.rs::fails": "failed",
        "tests/many.rs::ignored": "skipped",
        "src/lib.rs::hello": "passed",
    }
    says = {id_: case.message.partition("\n")[0] for id_, case in cases.items()}
    assert says["tests/bye.rs"] == "unresolved import `greet::bye`"
    assert says["tests/many.rs::fails"] == "assertion `left == right` failed: not Ada"


async def test_only_the_programs_that_are_asked_for_run() -> None:
    report = await reported({}, only=("tests/many.rs::passes",))
    assert {c.id.partition("::")[0] for c in report.cases} == {"tests/bye.rs", "tests/many.rs"}


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"deps/many": answered(0, file("many.txt"))}, "ended with code 0 and counts 1 failures"),
        ({"deps/many": answered(0, b"running 3 tests\n")}, "before its last test did"),
        (
            {"deps/greet": answered(0, file("lib.txt").replace(b"test tests::panics", b"#"))},
            "counts 2 tests and shows 1",
        ),
        ({"deps/many": ExecResult(None, "timeout", b"", b"", 5.0)}, "ran longer than 5 s"),
        ({"--no-run": answered(127)}, "no cargo in the sandbox"),
        ({"--no-run": answered(101, b"", b"error: no such crate")}, "no such crate"),
    ],
)
async def test_what_does_not_add_up_says_nothing(
    changed: Mapping[str, ExecResult], why: str
) -> None:
    assert why in (await reported(changed)).problem


async def test_a_harness_of_its_own_counts_by_its_exit_code() -> None:
    report = await reported({"deps/many": answered(1, b"no\n")})
    case = next(c for c in report.cases if c.id == "tests/many.rs")
    assert (case.outcome, case.message) == (Outcome.FAILED, "no")


CODE: Files = {
    "Cargo.toml": '[package]\nname = "greet"\nversion = "0.1.0"\nedition = "2021"\n',
    ".gitignore": "target\n",
    "src/lib.rs": 'pub fn hello(n: &str) -> String { format!("Hello {n}") }\n'
    '#[cfg(test)] mod tests { #[test] fn it() { assert!(super::hello("A").len() == 7) } }\n',
    "tests/hello.rs": '#[test] fn hi() { assert_eq!(greet::hello("A"), "Hello A") }\n',
}
BYE: Files = {"tests/bye.rs": '#[test] fn bye() { assert_eq!(greet::bye("A"), "Bye A") }\n'}


@needs_cargo
@pytest.mark.slow
class TestReal:
    @pytest.fixture
    def toolchains(self) -> tuple[str, ...]:
        return (*TOOLCHAINS, str(TOOLCHAIN)) if TOOLCHAIN else TOOLCHAINS

    async def test_a_real_run_names_what_is_missing_and_runs_the_rest(self, run: Run) -> None:
        report = await run(CARGO, {**CODE, **BYE})
        assert (report.problem, report.exit_code) == ("", 101)
        assert {c.id: str(c.outcome) for c in report.cases} == {
            "tests/bye.rs": "error",
            "src/lib.rs::tests::it": "passed",
            "tests/hello.rs::hi": "passed",
        }
        (missing,) = report.with_outcome(Outcome.ERROR)
        assert missing.message.startswith("cannot find function `bye` in crate `greet`")
