"""Six requests at once on a real package, two of which meet in the same lines."""

import asyncio
import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from actors.models.gateway import ModelReply, ModelRequest
from cluster.demo.sample import git
from orchestration.workflow.journal import RecordKind
from tests.journeys.bench import APPROVED, RUN, delivered, finish, minds, plan, says, task
from tests.journeys.packages import fetch

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

CODE = "inflection/__init__.py"
FUNCTIONS = {
    "initials": ("def dasherize", 'return "".join(part[0].upper() for part in word.split())'),
    "constantize": ("def ordinal(", "return underscore(word).upper()"),
    "is_plural": ("def humanize", "return pluralize(word) == word"),
    "shout": ("def parameterize", 'return word.upper() + "!"'),
}
"""A function's name, what it is put before, and its body."""
EXPECTED = {
    "initials": "initials('ada lovelace') == 'AL'",
    "constantize": "constantize('DeviceType') == 'DEVICE_TYPE'",
    "is_plural": "is_plural('posts') and not inflection.is_plural('post')",
    "shout": "shout('hi') == 'HI!'",
    "goose": "pluralize('goose') == 'geese'",
    "tooth": "pluralize('tooth') == 'teeth'",
}
IRREGULAR = {"goose": "geese", "tooth": "teeth"}
LAST = "_irregular('zombie', 'zombies')\n"


def edit(old: str, new: str) -> ModelReply:
    return says(("edit", {"path": CODE, "edits": [{"old": old, "new": new}]}))


def coded(name: str) -> ModelReply:
    if name in IRREGULAR:
        return edit(LAST, f"{LAST}_irregular('{name}', '{IRREGULAR[name]}')\n")
    place, body = FUNCTIONS[name]
    return edit(place, f"def {name}(word):\n    {body}\n\n\n{place}")


def mind(request: ModelRequest) -> ModelReply:
    """Does what each task says; resolves conflicts by keeping both sides."""
    if request.role == "architect":
        return plan(*({**task(name), "id": name.replace("_", "-")} for name in EXPECTED))
    if request.role != "coder":
        return APPROVED
    name = request.conversation.partition("[")[2].partition("]")[0].replace("-", "_")
    if request.turn > 1:
        return finish(title=f"Add {name}", notes="")
    if request.conversation.endswith("write_test"):
        text = (
            f"import inflection\n\n\ndef test_{name}():\n    assert inflection.{EXPECTED[name]}\n"
        )
        return says(("write", {"path": f"test_{name}.py", "content": text}))
    if "Resolve the conflict markers" in str(request.messages[1]["content"]):
        markers = f"sed -i '/^<<<<<<<\\|^=======\\|^>>>>>>>/d' {CODE}"
        return says(("run", {"command": markers}))
    return coded(name)


async def test_six_requests_merge_into_one_green_branch_and_none_is_lost(tmp_path: Path) -> None:
    repository = fetch("inflection", tmp_path / "inflection")
    bench = minds(tmp_path, mind, repository)
    outcome = await bench.drive(await bench.request(parallel_tasks=6))
    delivery = delivered(outcome)
    evidence: dict[str, Any] = json.loads(await bench.journal.get_blob(delivery.evidence))
    assert delivery.undone == ()
    assert {t["task"]["id"].replace("-", "_") for t in evidence["tasks"]} == set(EXPECTED)
    assert (evidence["final"]["exit_code"], evidence["final"]["cases"]) == (0, [])
    text = await branch_text(bench, delivery)
    assert all(f"_irregular('{one}', '{many}')" in text for one, many in IRREGULAR.items())
    assert all(f"def {name}(" in text for name in FUNCTIONS)
    started = await bench.journal.read(RUN, kinds=[RecordKind.STARTED])
    repairs = [r for r in started if "green#2" in r.step_key and r.step_key.endswith("write_code")]
    assert [key.step_key.partition("[")[2][:5] in {"goose", "tooth"} for key in repairs] == [True]


async def branch_text(bench: Any, delivery: Any) -> str:
    """The code on the delivered branch, from a clone that fetched its bundle."""
    bundle = bench.place / "delivered.bundle"
    bundle.write_bytes(await bench.journal.get_blob(delivery.bundle))
    git(bench.repository, "fetch", "--quiet", str(bundle), f"{delivery.branch}:delivered")
    shown = ["git", "show", f"delivered:{CODE}"]
    return await asyncio.to_thread(subprocess.check_output, shown, cwd=bench.repository, text=True)
