import asyncio
import json
import shlex
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from actors.git.source import open_source
from cluster.configuration.sources import Loaded, load_settings
from cluster.demo.sample import RECORDING, git, lay_out
from cluster.intake import Order
from cluster.jobs.packing import other_sender, pack
from orchestration.errors import UsageError

pytestmark = pytest.mark.slow


@pytest.fixture(autouse=True)
def nobody(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Nothing of this machine's own settings."""
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))


@pytest.fixture
def wordkit(tmp_path: Path) -> Path:
    place = tmp_path / "wordkit"
    lay_out(place)
    return place


def loaded(**flags: Any) -> Loaded:
    return load_settings(flags)


def order(repository: object, **more: Any) -> Order:
    return Order("Say 'hello'.", str(repository), run_id="greet", **more)


async def test_a_repository_travels_as_a_bundle_alone_and_opens_as_it_was(
    wordkit: Path, tmp_path: Path
):
    git(wordkit, "checkout", "--quiet", "-b", "feature/x")
    (wordkit / "sitecustomize.py").write_text("raise SystemExit('imported')")
    parcel = await pack(order(wordkit), loaded())
    assert list(parcel.files) == ["wordkit.bundle"]
    (tmp_path / "there.bundle").write_bytes(parcel.files["wordkit.bundle"])
    there, here = await open_source(str(tmp_path / "there.bundle")), await open_source(str(wordkit))
    assert (there.commit, there.ref_name) == (here.commit, "feature/x")


async def test_the_job_is_what_a_person_could_type(wordkit: Path):
    parcel = await pack(order(wordkit, replay=RECORDING), loaded(model="ollama/x", approve="plan"))
    words = shlex.split(parcel.entrypoint("/opt/manta"))
    assert words[:3] == ["exec", "env", "MANTA_APPROVE=plan"]
    assert words[words.index("/opt/manta") :] == [
        "/opt/manta", "run", "Say 'hello'.", "--run-id", "greet",
        "--repo", "wordkit.bundle", "--replay", "recording.jsonl",
    ]  # fmt: skip
    assert sorted(parcel.files) == ["recording.jsonl", "wordkit.bundle"]


@pytest.mark.parametrize("variables", [{}, {"MANTA_APPROVE": "plan"}])
async def test_the_jobs_command_takes_the_place_of_its_shell(
    wordkit: Path, tmp_path: Path, variables: dict[str, str]
):
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\n")
    program.chmod(0o755)
    parcel = replace(await pack(order(wordkit), loaded()), variables=variables)
    # As Ray starts it.
    job = await asyncio.create_subprocess_shell(parcel.entrypoint(str(program)))
    assert await asyncio.wait_for(job.wait(), 20) == 0
    assert int((tmp_path / "pid").read_text()) == job.pid


async def test_what_was_said_here_counts_there_and_the_machines_own_does_not(
    wordkit: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MANTA_LIMITS__MUTANTS", "0")
    monkeypatch.setenv("MANTA_STORE_URL", "postgresql://me:secret@db/manta")
    (wordkit / "manta.toml").write_text('test_command = "make test"\napprove = ["delivery"]\n')
    routes = {"default": {"model": "ollama/x", "temperature": 0.5}}
    flags = {
        "budget": {"usd": 2.5}, "tool_rules": ["ask run *curl*", "deny delete_file"],
        "independent_tests": True, "routes": routes, "cpus": 3, "gateways": 2,
    }  # fmt: skip
    parcel = await pack(order(wordkit), load_settings(flags, repository=wordkit))
    found = dict(parcel.variables)
    assert json.loads(found.pop("MANTA_ROUTES")) == routes
    assert found.pop("MANTA_MEMORY_KEY").startswith("wordkit@")
    assert found == {
        "MANTA_LIMITS__MUTANTS": "0", "MANTA_BUDGET__USD": "2.5", "MANTA_APPROVE": "delivery",
        "MANTA_TEST_COMMAND": "make test", "MANTA_INDEPENDENT_TESTS": "true",
        "MANTA_TOOL_RULES": "ask run *curl*;deny delete_file",
    }  # fmt: skip


async def test_what_is_said_there_is_understood_there(
    wordkit: Path, monkeypatch: pytest.MonkeyPatch
):
    here = loaded(
        approve="plan,delivery", tool_rules="ask run *curl*;deny delete_file", lsp="off",
        routes={"default": "ollama/x", "coder:hard": "ollama/y"}, setup_egress="a:1, b:2",
        limits={"mutants": 3, "killed_share": 0.5}, independent_tests=True,
    )  # fmt: skip
    for name, value in (await pack(order(wordkit), here)).variables.items():
        monkeypatch.setenv(name, value)
    there = loaded().settings
    unlike = {"memory_key"}
    assert there.model_dump(exclude=unlike) == here.settings.model_dump(exclude=unlike)


async def test_a_url_is_read_by_the_job():
    parcel = await pack(order("https://git.example/kit.git", ref="v1"), loaded())
    assert parcel.files == {}
    assert parcel.arguments[-4:] == ("--repo", "https://git.example/kit.git", "--ref", "v1")
    assert parcel.repository == "kit"


@pytest.mark.parametrize(
    "url", ["https://me:secret@git.example/kit.git", f"https://{'t' * 30}@h/k"]
)
async def test_a_password_in_an_address_does_not_become_readable(url: str):
    with pytest.raises(UsageError, match="carries a password") as refused:
        await pack(order(url), loaded())
    assert "secret" not in str(refused.value)


async def test_a_password_in_a_setting_does_not_either(wordkit: Path):
    with pytest.raises(UsageError, match="MANTA_API_BASE carries a password"):
        await pack(order(wordkit), loaded(model="openai/x", api_base="http://me:secret@llm/v1"))


@pytest.mark.parametrize(
    ("flags", "more", "said"),
    [
        ({"mcp": Path("/etc/mcp.json")}, {}, "--mcp does not travel"),
        ({}, {"record": Path("x")}, "--record does not travel"),
        ({"deliver": "patch"}, {}, "--deliver patch needs the repository"),
        ({"deliver": "pr"}, {}, "--deliver pr needs the repository"),
    ],
)
async def test_what_stays_here_is_refused(
    wordkit: Path, flags: dict[str, Any], more: dict[str, Any], said: str
):
    with pytest.raises(UsageError, match=said):
        await pack(order(wordkit, **more), load_settings({"model": "ollama/x", **flags}))


async def test_requests_of_one_id_are_told_apart(wordkit: Path):
    one = await pack(order(wordkit), loaded())
    same = await pack(order(wordkit, replay=RECORDING), loaded(model="ollama/x"))
    other = await pack(Order("Say bye.", str(wordkit), run_id="greet"), loaded())
    assert one.digest == same.digest != other.digest


async def test_a_job_knows_when_another_build_sent_it(wordkit: Path):
    label = (await pack(order(wordkit), loaded())).label
    assert label["job_name"] == "Say 'hello'."
    variable = "RAY_JOB_CONFIG_JSON_ENV_VAR"
    assert other_sender({variable: json.dumps({"metadata": label})}) == ""
    label["manta_build"] = "0.0.9+abc"
    assert other_sender({variable: json.dumps({"metadata": label})}) == "0.0.9+abc"
    assert other_sender({variable: json.dumps({"runtime_env": {}})}) == other_sender({}) == ""
