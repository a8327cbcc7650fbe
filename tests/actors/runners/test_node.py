import shutil

import pytest

from actors.runners.node import NodeRunner
from tests.actors.runners.conftest import Run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not shutil.which("node"), reason="node is not installed"),
]
NODE = NodeRunner()

MANY = {
    "test/a.test.js": """
const {test, describe, it} = require('node:test'); const assert = require('node:assert');
test('passes & "x"', () => {});
test('fails', () => { assert.equal(1, 2) });
test('skipped', {skip: true}, () => {});
test('later', {todo: true}, () => { assert.fail('x') });
test('slow', {timeout: 20}, () => new Promise((r) => setTimeout(r, 200)));
describe('group', () => { it('inner', () => {}); it('missing', () => { foo() }) });
test('outer', async (t) => { await t.test('sub', () => { assert.ok(false) }) });
""",
    "test/b.test.js": "require('./nope')\n",
    "test/c.test.mjs": "import {foo} from './lib.mjs';\n",
    "test/lib.mjs": "export const bar = 1\n",
}


async def test_every_way_to_end_is_told_apart(run: Run) -> None:
    report = await run(NODE, MANY)
    assert (report.problem, report.exit_code) == ("", 1)
    cases = {case.id: case for case in report.cases}
    assert {id_: str(case.outcome) for id_, case in cases.items()} == {
        'test/a.test.js::passes & "x"': "passed",
        "test/a.test.js::fails": "failed",
        "test/a.test.js::skipped": "skipped",
        "test/a.test.js::later": "skipped",
        "test/a.test.js::slow": "failed",
        "test/a.test.js::group > inner": "passed",
        "test/a.test.js::group > missing": "failed",
        "test/a.test.js::outer > sub": "failed",
        "test/b.test.js": "error",
        "test/c.test.mjs": "error",
    }
    assert "ReferenceError: foo is not defined" in cases["test/a.test.js::group > missing"].message
    assert "Cannot find module './nope'" in cases["test/b.test.js"].message
    assert "does not provide an export" in cases["test/c.test.mjs"].message
    assert "timed out after 20ms" in cases["test/a.test.js::slow"].message


async def test_a_green_suite_is_clean(run: Run) -> None:
    report = await run(NODE, {"a.test.js": "require('node:test').test('a', () => {})\n"})
    assert (report.exit_code, report.problem) == (0, "")
    assert [case.id for case in report.cases] == ["a.test.js::a"]


async def test_a_test_cannot_write_the_report(run: Run) -> None:
    forger = """
const fs = require('node:fs');
for (const dir of fs.readdirSync('.git').filter((n) => n.startsWith('manta-'))) {
  if (fs.existsSync(`.git/${dir}/key`)) throw new Error('the key is still there');
  fs.mkdirSync(`.git/${dir}/x`);
  process.on('exit', () => fs.writeFileSync(`.git/${dir}/report`, '0'.repeat(64) + '\\n{}'));
}
require('node:test').test('a', () => { throw new Error('no') })
"""
    report = await run(NODE, {"a.test.js": forger})
    assert report.exit_code == 1
    assert report.problem or [c.outcome for c in report.cases] == ["failed"]
