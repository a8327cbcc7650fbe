"""From real commits through a real runner to the gates: the honest way passes, cheats do not."""

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from actors.git.repository import BareRepository
from actors.run_repository import RunRepository
from actors.runners.suite import run_suite
from actors.sandbox.protocol import Sandbox
from orchestration.clock import SystemClock
from orchestration.gates import freeze, green_gate, red_gate
from orchestration.ids import CommitId
from orchestration.messages import Patch, TreeRef
from orchestration.proof import TestReport, Verdict
from orchestration.workflow.in_memory import InMemoryJournal
from tests.actors.git.checkout import Checkout
from tests.actors.runners.test_python import FORGER, PATCHER, REWRITER

pytestmark = pytest.mark.slow
Files = Mapping[str, str | bytes | None]

BASE = {
    "pyproject.toml": "[tool.pytest.ini_options]\ntestpaths = ['tests']\n",
    "src/greet.py": "def hello(name):\n    return f'Hello {name}'\n",
    "tests/test_hello.py": "import greet\ndef test_hello(): assert 'Ada' in greet.hello('Ada')\n",
}
TEST = {
    "tests/test_bye.py": "from greet import bye\n\ndef test_bye(): assert bye('Ada') == 'Bye Ada'\n"
}
CODE = {"src/greet.py": BASE["src/greet.py"] + "\ndef bye(name):\n    return f'Bye {name}'\n"}
WRONG = {"src/greet.py": BASE["src/greet.py"] + "\ndef bye(name):\n    return ''\n"}


@dataclass
class Proof:
    """One task's way round: base, red and green as real commits, judged by real reports."""

    checkout: Checkout
    bare: BareRepository
    sandbox: Sandbox
    reports: dict[str, TestReport] = field(default_factory=dict[str, TestReport])

    async def commit(self, files: Files, start: str = "") -> str:
        if start:
            await asyncio.to_thread(self.checkout.git, "checkout", "-q", "-f", start)
        commit = await asyncio.to_thread(self.checkout.commit, files)
        await self.bare.import_bundle(self.checkout.bundle())
        return commit

    async def report(self, commit: str) -> TestReport:
        if commit not in self.reports:
            await self.sandbox.git_import([await self.bare.bundle(None, commit)], commit)
            self.reports[commit] = await run_suite(
                self.sandbox, CommitId(commit), command=None, timeout_s=60
            )
        return self.reports[commit]

    async def patch(self, base: str, commit: str) -> Patch:
        trees = [TreeRef(commit=CommitId(one), bundles=()) for one in (base, commit)]
        repository = RunRepository(self.bare, InMemoryJournal(SystemClock()))
        return await repository.patch(*trees, title="Change", notes="")

    async def red(self, base: str, test: str) -> Verdict:
        return red_gate(
            await self.patch(base, test), await self.report(base), await self.report(test)
        )

    async def green(self, base: str, test: str, code: str) -> Verdict:
        patch = await self.patch(base, code)
        return green_gate(
            freeze(await self.patch(base, test)),
            patch,
            await self.report(base),
            await self.report(code),
            await self.report(test),
            settings_changed=patch.settings_changed,
        )


@pytest.fixture
async def proof(tmp_path: Path, sandbox: Sandbox) -> Proof:
    bare = await BareRepository.create(tmp_path / "run.git")
    return Proof(Checkout(tmp_path / "project"), bare, sandbox)


async def test_the_honest_way_is_red_then_green(proof: Proof) -> None:
    base = await proof.commit(BASE)
    test = await proof.commit(TEST)
    assert await proof.red(base, test) == Verdict(passed=True)
    code = await proof.commit(CODE)
    assert await proof.green(base, test, code) == Verdict(passed=True)


FAKE_TESTS: dict[str, tuple[Files, str]] = {
    "a typing error": ({"tests/test_bye.py": "def test_bye(:\n"}, "wrong reason"),
    "nothing tested": ({"tests/test_bye.py": "def test_bye(): pass\n"}, "proves nothing"),
    "a missing fixture": ({"tests/test_bye.py": "def test_bye(db): pass\n"}, "fixture"),
    "not collected": ({"tests/bye.py": "assert 0\n"}, "No new test fails"),
    "code with the test": (TEST | CODE, "not a test file"),
    "an old test dropped": (
        TEST | {"tests/test_hello.py": "def test_other(): assert 0\n"},
        "did not run",
    ),
    "settings": (
        TEST | {"pyproject.toml": BASE["pyproject.toml"] + "addopts = '-q'\n"},
        "decides how tests run",
    ),
}


async def test_tests_that_prove_nothing_are_refused(proof: Proof) -> None:
    base = await proof.commit(BASE)
    for name, (files, why) in FAKE_TESTS.items():
        verdict = await proof.red(base, await proof.commit(files, base))
        assert why in " ".join(verdict.reasons), (name, verdict)


FORGE = """
import pytest
@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item, call):
    report = yield
    report.outcome = "passed"
    return report
"""
SMUGGLED = """
import gc, pluggy, pytest
class Forge:
    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_makereport(self, item, call):
        report = yield
        report.outcome = "passed"
        return report
for found in gc.get_objects():
    if isinstance(found, pluggy.PluginManager) and not found.has_plugin("forge"):
        found.register(Forge(), "forge")
"""
CHEATS: dict[str, tuple[Files, str]] = {
    "wrong code": (WRONG, "must pass and fails"),
    "a changed test": (WRONG | {"tests/test_bye.py": "def test_bye(): pass\n"}, "was changed"),
    "no test": (CODE | {"tests/test_bye.py": None}, "is gone"),
    "a forging conftest": (WRONG | {"conftest.py": FORGE}, "decides how tests run"),
    "a forging plugin": (
        WRONG
        | {"src/forge.py": FORGE}
        | {"pyproject.toml": BASE["pyproject.toml"] + "addopts = '-p forge'\n"},
        "decides how tests run",
    ),
    "a skip by settings": (
        WRONG | {"pyproject.toml": BASE["pyproject.toml"] + "addopts = '-k hello'\n"},
        "did not run",
    ),
    "an early exit": ({"src/greet.py": "import os\nos._exit(0)\n"}, "says nothing"),
    "pytest.exit": (
        {"src/greet.py": "import pytest\npytest.exit('done', returncode=0)\n"},
        "",
    ),
    "a skip from the code": (
        {
            "src/greet.py": BASE["src/greet.py"]
            + "\ndef bye(name):\n    import pytest; pytest.skip('later')\n"
        },
        "is now skipped",
    ),
    "exit 0 at the end": (
        {
            "src/greet.py": WRONG["src/greet.py"]
            + "import atexit, os\natexit.register(os._exit, 0)\n"
        },
        "says nothing",
    ),
    "an own pytest": (WRONG | {"pytest.py": "raise SystemExit(0)\n"}, "decides how tests run"),
    "a skip while it is imported": (
        {"src/greet.py": "import unittest\nraise unittest.SkipTest('later')\n"},
        "says nothing",
    ),
    "an exit while it is imported": ({"src/greet.py": "raise SystemExit(0)\n"}, "says nothing"),
    "a kill": (
        {"src/greet.py": "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)\n"},
        "says nothing",
    ),
    "a forged report": ({"src/greet.py": WRONG["src/greet.py"] + FORGER}, "says nothing"),
    "a patched report": ({"src/greet.py": WRONG["src/greet.py"] + PATCHER}, "changes the test run"),
    "a test that is not called": (
        {
            "src/greet.py": WRONG["src/greet.py"]
            + "\nimport _pytest.python as p\np.Function.runtest = lambda self: None\n"
        },
        "changes the test run",
    ),
    "a rewritten reporter": (
        {"src/greet.py": WRONG["src/greet.py"] + REWRITER},
        "changes the test run",
    ),
    "a plugin from the code": (
        {"src/greet.py": WRONG["src/greet.py"] + SMUGGLED},
        "changes the test run",
    ),
    "options by the environment": (
        {
            "src/greet.py": WRONG["src/greet.py"]
            + "\nimport os\nos.environ['PYTEST_ADDOPTS'] = '--collect-only'\n"
        },
        "must pass and fails",
    ),
    "a conftest beside the tests": (
        WRONG | {"tests/conftest.py": "collect_ignore = ['test_bye.py']\n"},
        "decides how tests run",
    ),
    "settings in setup.cfg": (
        WRONG | {"setup.cfg": "[tool:pytest]\naddopts = -k hello\n"},
        "decides how tests run",
    ),
    "settings in tox.ini": (
        WRONG | {"tox.ini": "[pytest]\naddopts = -k hello\n"},
        "decides how tests run",
    ),
    "settings of one's own": (
        WRONG | {"pytest.ini": "[pytest]\naddopts = -k hello\n"},
        "decides how tests run",
    ),
    "a start-up file": (WRONG | {"src/sitecustomize.py": FORGE}, "decides how tests run"),
    "a module in a runner's place": (
        WRONG | {"src/iniconfig/__init__.py": "raise SystemExit(0)\n"},
        "decides how tests run",
    ),
    "a package of tests that skips": (
        WRONG
        | {"tests/__init__.py": "import pytest\npytest.skip('no', allow_module_level=True)\n"},
        "is a test file",
    ),
    "an easier test in its place": (
        WRONG | {"tests/test_bye.py": None, "tests/test_bye2.py": "def test_bye(): pass\n"},
        "is a test file",
    ),
    "an old test changed": (
        WRONG | {"tests/test_hello.py": "def test_hello(): pass\n"},
        "is a test file",
    ),
    "no code at all": ({"tests/test_bye.py": "def test_bye(): pass\n"}, "changes no code"),
    "another test broken": (
        {"src/greet.py": "def bye(name):\n    return f'Bye {name}'\ndef hello(n): return ''\n"},
        "passed before and fails",
    ),
}


@pytest.mark.timeout(400)
async def test_every_cheat_is_stopped(proof: Proof) -> None:
    base = await proof.commit(BASE)
    test = await proof.commit(TEST)
    assert len(CHEATS) >= 25
    unseen: dict[str, Verdict] = {}
    for name, (files, why) in CHEATS.items():
        verdict = await proof.green(base, test, await proof.commit(files, test))
        if verdict.passed or why not in " ".join(verdict.reasons):
            unseen[name] = verdict
    assert unseen == {}
