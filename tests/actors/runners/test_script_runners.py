"""vitest and jest, as npm has them, in a real sandbox."""

import shutil
from dataclasses import dataclass

import pytest

from actors.runners.node import JestRunner, VitestRunner
from actors.runners.runner import TestRunner
from orchestration.proof import Outcome
from tests.actors.runners.conftest import Files, Run
from tests.actors.runners.npm import WithModules

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(400),
    pytest.mark.skipif(not shutil.which("node"), reason="node is not installed"),
]


@dataclass(frozen=True)
class Tool:
    """One of the runners, and how its tests are written."""

    runner: TestRunner
    package: str
    head: str
    missing: str
    """What it says of a module that is not there."""

    @property
    def ready(self) -> TestRunner:
        return WithModules(self.runner, self.package)

    def files(self, **tests: str) -> Files:
        return {
            "package.json": '{"type": "commonjs"}',
            ".gitignore": "node_modules\n",
            "src/greet.js": "exports.hello = (name) => `Hello ${name}`;\n",
            **{f"test/{name}.test.js": self.head + text for name, text in tests.items()},
        }


IMPORTS = 'import { describe, expect, it, test } from "vitest";\n'
TOOLS = {
    "vitest 4": Tool(VitestRunner(), "vitest@4.1.12", IMPORTS, "nope"),
    "vitest 2": Tool(VitestRunner(), "vitest@2.1.9", IMPORTS, "nope"),
    "jest": Tool(JestRunner(), "jest@30.5.2", "", "Cannot find module './nope'"),
}
MANY = """
test("passes & 'x'", () => {});
test("fails", () => { expect(1).toBe(2) });
test.skip("skipped", () => {});
test.todo("later");
describe("group", () => {
  it("inner", () => {});
  it("missing", () => { foo() });
});
"""


@pytest.fixture(params=TOOLS)
def tool(request: pytest.FixtureRequest) -> Tool:
    return TOOLS[request.param]


async def test_every_way_to_end_is_told_apart(run: Run, tool: Tool) -> None:
    broken = f'{"import" if tool.head else "require"} {"" if tool.head else "("}"./nope"'
    broken += "\n" if tool.head else ")\n"
    files = tool.files(a=MANY, b=broken)
    report = await run(tool.ready, files)
    assert (report.problem, report.exit_code) == ("", 1)
    cases = {case.id: case for case in report.cases}
    assert {id_: str(case.outcome) for id_, case in cases.items()} == {
        "test/a.test.js::passes & 'x'": "passed",
        "test/a.test.js::fails": "failed",
        "test/a.test.js::skipped": "skipped",
        "test/a.test.js::later": "skipped",
        "test/a.test.js::group > inner": "passed",
        "test/a.test.js::group > missing": "failed",
        "test/b.test.js": "error",
    }
    assert "foo is not defined" in cases["test/a.test.js::group > missing"].message
    assert tool.missing in cases["test/b.test.js"].message


async def test_a_green_suite_is_clean_and_leaves_no_trace(run: Run, tool: Tool) -> None:
    report = await run(
        tool.ready, tool.files(a="test('a', () => {});\n", b=MANY), only=("test/a.test.js",)
    )
    assert (report.exit_code, report.problem) == (0, "")
    assert [case.id for case in report.cases] == ["test/a.test.js::a"]


async def test_a_repository_that_has_no_tests_yet_is_sound(run: Run, tool: Tool) -> None:
    report = await run(tool.ready, tool.files())
    assert (report.exit_code, report.problem, report.cases) == (0, "", ())


REQUIRE = """
import { createRequire } from "node:module";
const require = createRequire(import.meta.url);
"""
FORGER = """
const fs = require("node:fs");
for (const dir of fs.readdirSync(".git").filter((name) => name.startsWith("manta-"))) {
  if (fs.existsSync(`.git/${dir}/key`)) throw new Error("the key is still there");
  process.on("exit", () => fs.writeFileSync(`.git/${dir}/report`, "0".repeat(64) + "\\n{}"));
}
test("a", () => { throw new Error("no") });
"""


async def test_a_test_cannot_write_the_report(run: Run, tool: Tool) -> None:
    forger = (REQUIRE if tool.head else "") + FORGER
    report = await run(tool.ready, tool.files(a=forger))
    assert report.exit_code == 1
    assert report.problem or [c.outcome for c in report.cases] == [Outcome.FAILED]


async def test_an_early_exit_is_no_success(run: Run, tool: Tool) -> None:
    exits = "process.reallyExit(0);\ntest('a', () => {});\n"
    report = await run(tool.ready, tool.files(a=exits, b="test('b', () => {});\n"))
    passed = [case.id for case in report.with_outcome(Outcome.PASSED)]
    assert report.problem or "test/a.test.js::a" not in passed


async def test_packages_that_are_not_installed_are_named(run: Run) -> None:
    report = await run(JestRunner(), {"a.test.js": ""})
    assert "the repository's packages are not installed" in report.problem
