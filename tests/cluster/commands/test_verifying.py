"""`manta verify`, as a person types it: a file, a branch, and what is neither."""

import asyncio
import json
import subprocess
import sys
from pathlib import Path

import pytest

from actors.git.notes import annotate, annotation
from tests.actors.proven import Proven, prove

pytestmark = pytest.mark.slow


def manta(place: Path, *words: str) -> subprocess.CompletedProcess[str]:
    argv = [sys.executable, "-m", "cluster.cli", "verify", *words, "--json", "--sandbox", "none"]
    argv += ["--state-dir", str(place / "state")]
    return subprocess.run(argv, capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture
def proven(tmp_path: Path) -> Proven:
    return prove(tmp_path / "project")


def test_a_file_of_evidence_is_proven_again(proven: Proven, tmp_path: Path) -> None:
    file = tmp_path / "evidence.json"
    file.write_text(proven.evidence.model_dump_json())
    said = manta(tmp_path, str(file), "--repo", str(proven.checkout.path))
    assert said.returncode == 0, said.stderr
    lines = [json.loads(line) for line in said.stdout.splitlines()]
    assert [line["holds"] for line in lines] == [True] * 7
    assert lines[-1] == {
        "v": 1, "type": "verified", "holds": True,
        "run_id": "say-bye-1", "commit": proven.code,
    }  # fmt: skip


async def test_a_branch_carries_its_evidence(proven: Proven, tmp_path: Path) -> None:
    (task,) = proven.evidence.tasks
    untrue = task.model_copy(update={"test_files": {"tests/test_bye.py": "0" * 40}})
    text = proven.evidence.model_copy(update={"tasks": (untrue,)}).model_dump_json().encode()
    await annotate(proven.checkout.path, proven.code, text)
    assert await annotation(f"file://{proven.checkout.path}", proven.code) == text
    said = await asyncio.to_thread(
        manta, tmp_path, "manta/run", "--repo", str(proven.checkout.path)
    )
    assert said.returncode == 1
    claims = [json.loads(line) for line in said.stdout.splitlines()[:-1]]
    assert [claim["what"] for claim in claims if not claim["holds"]] == [
        "bye: its tests stayed as they were frozen"
    ]


def test_what_is_no_evidence_is_a_mistake_of_the_person(proven: Proven, tmp_path: Path) -> None:
    repo = ("--repo", str(proven.checkout.path))
    said = manta(tmp_path, "main", *repo)
    assert (said.returncode, "carries no evidence" in said.stderr) == (2, True)
    said = manta(tmp_path, "nowhere", *repo)
    assert (said.returncode, "has no 'nowhere'" in said.stderr) == (2, True)
    file = tmp_path / "evidence.json"
    file.write_text('{"run_id": 3}')
    said = manta(tmp_path, str(file), *repo)
    assert (said.returncode, "not evidence of ours: run_id" in said.stderr) == (2, True)
