"""Odd repositories and odd suites: each comes to a clear end, whoever looks at it."""

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

from actors.git.repository import BareRepository
from actors.mutants.challenge import mutants_of
from actors.run_repository import DIFF_LIMIT, RunRepository
from actors.runners.suite import run_suite
from actors.sandbox.opening import open_provider
from actors.sandbox.protocol import SandboxSpec
from actors.scanners.flow import follow
from actors.scanners.lines import look
from actors.scanners.surface import flags
from cluster.settings import running_toolchains
from orchestration.clock import SystemClock
from orchestration.errors import UsageError
from orchestration.gates import already_failing, red_gate, upkeep_gate
from orchestration.ids import CommitId
from orchestration.messages import Patch, TreeRef
from orchestration.proof import Outcome, TestReport
from orchestration.workflow.in_memory import InMemoryJournal
from tests.actors.git.checkout import Checkout

pytestmark = pytest.mark.slow
Files = Mapping[str, str | bytes | None]
BASE: Files = {
    "a.py": "x = 1\n",
    "crlf.py": b"x = 1\r\ny = 2\r\n",
    "latin.py": b"# -*- coding: latin-1 -*-\nx = '\xe9'\n",
    "picture.png": b"\x89PNG\r\n\x1a\n\x00\x01",
    "big.lfs": "version https://git-lfs.github.com/spec/v1\noid sha256:" + "1" * 64 + "\nsize 9\n",
    "tests/test_a.py": "from a import x\ndef test_a(): assert x == 1\n",
}


@dataclass
class Bench:
    checkout: Checkout
    repository: RunRepository
    bare: BareRepository

    async def change(
        self, files: Files, special: Callable[[Checkout], None] | None = None
    ) -> Patch:
        """A patch on the base that changes these files."""
        base = CommitId(await asyncio.to_thread(self.checkout.commit, BASE))
        await asyncio.to_thread(self.checkout.write, files)
        await asyncio.to_thread(self.checkout.git, "add", "-A")
        if special:
            await asyncio.to_thread(special, self.checkout)
        await asyncio.to_thread(self.checkout.git, "commit", "-q", "-m", "Change")
        await self.bare.import_bundle(await asyncio.to_thread(self.checkout.bundle))
        trees = [TreeRef(commit=c, bundles=()) for c in (base, CommitId(self.checkout.head))]
        return await self.repository.patch(*trees, title="Change", notes="")


@pytest.fixture
async def bench(tmp_path: Path) -> Bench:
    bare = await BareRepository.create(tmp_path / "run.git")
    repository = RunRepository(bare, InMemoryJournal(SystemClock()))
    return Bench(Checkout(tmp_path / "project"), repository, bare)


def submodule(checkout: Checkout) -> None:
    checkout.git("update-index", "--add", "--cacheinfo", f"160000,{'1' * 40},vendor/lib")


def executable(checkout: Checkout) -> None:
    checkout.git("update-index", "--chmod=+x", "a.py")


def link(checkout: Checkout) -> None:
    blob = checkout.git("hash-object", "-w", "--stdin", stdin=b"/etc/passwd")
    checkout.git("update-index", "--add", "--cacheinfo", f"120000,{blob},link.py")


ODD: dict[str, tuple[Files, Callable[[Checkout], None] | None, dict[str, str], str]] = {
    "a binary file": ({"picture.png": b"\x89PNG\x00\x02"}, None, {"picture.png": "M"}, ""),
    "a rename": (
        {"a.py": None, "b.py": BASE["a.py"]}, None, {"a.py": "D", "b.py": "A"}, "",
    ),
    "a deletion": ({"a.py": None}, None, {"a.py": "D"}, ""),
    "Windows line ends": ({"crlf.py": b"x = 1\r\ny = 3\r\n"}, None, {"crlf.py": "M"}, ""),
    "line ends alone": ({"crlf.py": b"x = 1\ny = 2\n"}, None, {"crlf.py": "M"}, ""),
    "another encoding": (
        {"latin.py": b"# -*- coding: latin-1 -*-\nx = '\xe8' * 3\n"}, None, {"latin.py": "M"}, "",
    ),
    "an LFS pointer": ({"big.lfs": f"{BASE['big.lfs']!s}".replace("1", "2")}, None,
                       {"big.lfs": "M"}, ""),
    "a huge file": ({"data.csv": "1,2,3\n" * 100_000}, None, {"data.csv": "A"}, ""),
    "a generated file": ({"web/app.min.js": "f(1);" * 20_000}, None, {"web/app.min.js": "A"}, ""),
    "a submodule": ({}, submodule, {"vendor/lib": "A"}, "submodule"),
    "a mode": ({}, executable, {"a.py": "M"}, "mode"),
    "a link": ({}, link, {"link.py": "A"}, "symbolic link"),
    "an odd name": ({"tab\there.py": "x = 1\n"}, None, {"tab\there.py": "A"}, "unusual name"),
    "git's attributes": ({".gitattributes": "*.py -diff\n"}, None, {".gitattributes": "A"}, "git"),
}  # fmt: skip


@pytest.mark.parametrize("name", ODD)
async def test_an_odd_change_is_read_shown_and_judged(bench: Bench, name: str) -> None:
    files, special, expected, flagged = ODD[name]
    patch = await bench.change(files, special)
    assert {change.path: change.status for change in patch.changes} == expected
    assert flagged in " ".join(why for _, why in flags(patch.changes))

    diff = await bench.repository.diff(patch.base, patch.tree)
    assert len(diff) <= DIFF_LIMIT + 100
    added = await bench.repository.added_lines(patch.base, patch.tree)
    assert all(f.file in expected for f in (*look(added), *follow(added)))

    async def read(path: str) -> bytes:
        return await bench.bare.read(patch.tree.commit, path)

    plain = {path: lines for path, lines in added.items() if path not in {"link.py", "vendor/lib"}}
    for mutant in await mutants_of(read, plain, limit=5, seed=""):
        assert mutant.line in added[mutant.path]
    assert await bench.repository.texts(patch) is not None
    passing = TestReport(commit=patch.base.commit, command="pytest", exit_code=0)
    assert upkeep_gate(patch, passing, passing).passed
    assert not red_gate(patch, passing, passing).passed


SUITES: dict[str, tuple[Files, str, tuple[str, ...]]] = {
    "green": ({}, "", ()),
    "red at base": (
        {"tests/test_b.py": "def test_b(): assert 0\n"}, "", ("tests/test_b.py::test_b",),
    ),
    "broken at base": ({"tests/test_b.py": "import nowhere\n"}, "", ("tests/test_b.py",)),
    "hanging": (
        {"tests/test_b.py": "import time\ndef test_b(): time.sleep(600)\n"},
        "ran longer than 6 s, in tests/test_b.py::test_b", (),
    ),
    "ending by itself": (
        {"tests/test_b.py": "import os\ndef test_b(): os._exit(3)\n"}, "before pytest could", (),
    ),
    "printing without end": (
        {"tests/test_b.py": "def test_b():\n    for _ in range(300_000): print('x' * 30)\n"},
        "", (),
    ),
    "with odd bytes": (
        {"tests/test_b.py": b"def test_b():\n    print(b'\\xff\\x00'.decode('latin-1'))\n"}, "", (),
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SUITES)
async def test_an_odd_suite_comes_to_a_clear_end(tmp_path: Path, name: str) -> None:
    files, problem, failing = SUITES[name]
    report = await suite(tmp_path, {**BASE, **files}, seconds=6 if name == "hanging" else 60)
    assert problem in report.problem
    assert bool(problem) == bool(report.problem)
    assert already_failing(report) == failing
    passed = [case.id for case in report.with_outcome(Outcome.PASSED)]
    assert problem or "tests/test_a.py::test_a" in passed


async def test_a_suite_that_needs_the_network_fails_for_a_reason_that_is_named(
    tmp_path: Path,
) -> None:
    test = "import socket\ndef test_b(): socket.getaddrinfo('example.com', 80)\n"
    base = await suite(tmp_path / "base", BASE, level="local")
    red = await suite(tmp_path / "red", {**BASE, "tests/test_b.py": test}, level="local")
    patch = await (await bench_at(tmp_path / "patch")).change({"tests/test_b.py": test})
    (reason,) = red_gate(patch, base, red).reasons
    assert "it needs the network, which tests do not have" in reason


async def test_no_tests_at_all_names_the_fix(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no tests that we recognise") as caught:
        await suite(tmp_path, {"a.py": "x = 1\n"})
    command = 'manta run "Add a first test" --test-command "python -m pytest"'
    assert command in caught.value.fix


async def bench_at(place: Path) -> Bench:
    bare = await BareRepository.create(place / "run.git")
    return Bench(
        Checkout(place / "project"), RunRepository(bare, InMemoryJournal(SystemClock())), bare
    )


async def suite(
    place: Path, files: Files, *, seconds: float = 60, level: str = "none"
) -> TestReport:
    checkout = Checkout(place / "project")
    commit = CommitId(await asyncio.to_thread(checkout.commit, files))
    toolchains = [str(path) for path in running_toolchains()]
    provider = await open_provider(level, place / "sandboxes", toolchains)
    try:
        sandbox = await provider.create(SandboxSpec(env={"PYTHONDONTWRITEBYTECODE": "1"}))
        await sandbox.git_import([checkout.bundle()], commit)
        return await run_suite(sandbox, commit, command=None, timeout_s=seconds)
    finally:
        await provider.close()
