"""Orders that come over HTTP: whatever is in them, the hall stays as careful as it is."""

import json
from pathlib import Path
from typing import Any

import httpx
import pytest

from actors.git.bundle import Bundle, decode
from cluster.intake import repository_path
from orchestration.ids import CommitId, RunId
from tests.actors.git.checkout import Checkout
from tests.cluster.web.stage import Stage

FILES: dict[str, str | bytes | None] = {
    "greet.py": "x = 1\n",
    "tests/test_greet.py": "def test_x(): pass\n",
}
WISH = {"text": "Add a greeting.", "run_id": "one", "repository": "greeter"}


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    made = Checkout(tmp_path / "greeter")
    made.commit(FILES)
    return made


async def submit(
    stage: Stage, bundle: bytes, recording: bytes | None = None, **more: Any
) -> httpx.Response:
    """What a program sends that brings the token."""
    files: dict[str, Any] = {
        "submission": (None, json.dumps(WISH | more)),
        "bundle": ("base.bundle", bundle),
    }
    if recording is not None:
        files["recording"] = ("recording.jsonl", recording)
    async with stage.program() as program:
        return await program.post("/api/v1/runs", files=files)


def refused(answer: httpx.Response, told: str) -> None:
    assert answer.status_code == 422, answer.text
    assert told in answer.json()["what"]
    assert answer.json()["fix"]


async def test_nothing_of_the_hall_is_named_by_who_submits(
    stage: Stage, checkout: Checkout
) -> None:
    stage.settle(deliver="pr")
    answer = await submit(stage, checkout.bundle("HEAD"), ref="feature/x")
    assert answer.json() == {"run_id": "one", "is_new": True, "notes": []}
    (request,) = stage.started
    assert (request.origin, request.deliver, request.base_ref) == ("", "branch", "feature/x")


@pytest.mark.parametrize(
    "more",
    [
        {"sandbox": "none"},
        {"allow": ["tests"]},
        {"deliver": "pr"},
        {"workflow": "os:system"},
        {"setup": "curl evil"},
        {"origin": "/home/ada"},
        {"replay": "/etc/passwd"},
        {"repository": "../../etc"},
        {"repository": "/etc"},
        {"ref": "a b"},
        {"run_id": "../x"},
        {"text": ""},
        {"budget": {"usd": -1}},
        {"model": ""},
    ],
)
async def test_what_is_not_to_be_wished_is_refused(
    stage: Stage, checkout: Checkout, more: dict[str, Any]
) -> None:
    refused(await submit(stage, checkout.bundle("HEAD"), **more), f"submission.{next(iter(more))}")
    assert stage.started == []


async def test_what_is_no_bundle_of_one_whole_commit_is_refused(
    stage: Stage, checkout: Checkout
) -> None:
    first = checkout.git("rev-parse", "HEAD")
    checkout.commit({"greet.py": "x = 2\n"})
    checkout.git("branch", "older", first)
    whole = decode(checkout.bundle("HEAD"))
    lies = Bundle({"HEAD": CommitId("4" * 40)}, (), whole.pack).encode()
    torn = checkout.bundle("HEAD")[:-30]
    for bundle, told in [
        (b"", "not a git bundle"),
        (b"nonsense", "not a git bundle"),
        (checkout.bundle(f"{first}..HEAD"), "one commit with all its history"),
        (checkout.bundle("HEAD", "older"), "one commit with all its history"),
        (torn, "not taken in"),
        (lies, "not taken in"),
    ]:
        refused(await submit(stage, bundle), told)
        assert not repository_path(stage.desk.settings, RunId("one")).exists()
    assert stage.started == []


async def test_a_repository_that_cannot_be_worked_on_leaves_nothing(
    stage: Stage, tmp_path: Path
) -> None:
    bare = Checkout(tmp_path / "bare")
    bare.commit({"README.md": "Nothing here.\n"})
    refused(await submit(stage, bare.bundle("HEAD")), "test")
    assert not repository_path(stage.desk.settings, RunId("one")).exists()


async def test_a_recording_is_kept_by_its_content_and_played(
    stage: Stage, checkout: Checkout
) -> None:
    recording = (Path(__file__).parents[3] / "cluster/demo/recording.jsonl").read_bytes()
    assert (await submit(stage, checkout.bundle("HEAD"), recording)).status_code == 200
    (request,) = stage.started
    (kept,) = (stage.desk.settings.state_dir / "recordings").iterdir()
    assert json.loads(request.brain)["replay"] == str(kept)
    assert kept.read_bytes() == recording


async def test_what_is_no_recording_is_refused_and_not_kept(
    stage: Stage, checkout: Checkout
) -> None:
    refused(await submit(stage, checkout.bundle("HEAD"), b"nonsense"), "what was sent")
    assert list((stage.desk.settings.state_dir / "recordings").iterdir()) == []


async def test_a_request_that_says_it_is_too_large_is_not_read(stage: Stage) -> None:
    async with stage.program() as program:
        for path, most in (("/api/v1/runs", 300_000_000), ("/api/v1/runs/one/approve", 3_000_000)):
            length = {"content-length": str(most)}
            answer = await program.post(path, content=b"", headers=length)
            assert answer.status_code == 413
