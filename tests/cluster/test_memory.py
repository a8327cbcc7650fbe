"""`manta memory`, and how memory is opened: in this process, on real Milvus Lite and real HTTP."""

import asyncio
import json
from collections.abc import AsyncGenerator
from pathlib import Path
from typing import Any

import pytest
from aiohttp import web
from click.testing import CliRunner

from actors.git.identity import local_identity
from actors.memory import Lesson, SourceFile
from actors.memory.memory import Memory
from actors.vector_store.lite import LiteServer
from cluster.commands.memory import memory as command
from cluster.demo.sample import RECORDING, git, lay_out
from cluster.intake import Order, take_in
from cluster.memory import embedding_route
from cluster.residents.memory import open_memory
from cluster.settings import Settings
from tests.actors.models import endpoint as http
from tests.actors.models.desk import MARKS

pytestmark = [pytest.mark.slow, *MARKS]


@pytest.fixture(autouse=True)
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MANTA_STATE_DIR", str(tmp_path / "state"))
    monkeypatch.setenv("MANTA_RECALL_TIMEOUT_S", "30")
    monkeypatch.setenv("OPENAI_API_KEY", http.SECRET)
    return tmp_path / "state"


@pytest.fixture
def wordkit(tmp_path: Path) -> Path:
    lay_out(tmp_path / "wordkit")
    return tmp_path / "wordkit"


def said(*arguments: str | Path) -> tuple[int, list[dict[str, Any]]]:
    """Exit code and JSON lines of `manta memory ...`."""
    done = CliRunner().invoke(command, [*map(str, arguments), "--json"])
    return done.exit_code, [json.loads(line) for line in done.stdout.splitlines()]


def test_what_was_indexed_is_found_and_what_was_forgotten_is_not(wordkit: Path) -> None:
    code, (built,) = said("reindex", "--repo", wordkit)
    assert (code, built["type"], built["note"], built["partly"]) == (0, "reindexed", "", [])
    assert built["pieces"] > 5
    code, (first, *_, end) = said("search", "count the words of a text", "--repo", wordkit)
    assert (code, first["type"], first["rank"]) == (0, "recollection", 1)
    assert first["source"].startswith("wordkit/counting.py:")
    assert first["commit"] == git_head(wordkit)
    assert end["files"] == built["files"]
    code, (gone,) = said("forget", "--repo", wordkit)
    assert (code, gone["texts"]) == (0, built["pieces"])
    _, (empty,) = said("search", "count words", "--repo", wordkit)
    assert (empty["found"], empty["note"]) == (
        0,
        "nothing of it is indexed yet: `manta memory reindex`",
    )


def git_head(repository: Path) -> str:
    return (repository / ".git" / "refs" / "heads" / "main").read_text().strip()


def test_another_repository_of_the_same_name_sees_nothing_of_it(
    wordkit: Path, tmp_path: Path
) -> None:
    lay_out(tmp_path / "elsewhere" / "wordkit")
    said("reindex", "--repo", wordkit)
    _, (end,) = said("search", "count words", "--repo", tmp_path / "elsewhere" / "wordkit")
    assert (end["found"], end["files"]) == (0, 0)


def test_reindexing_keeps_lessons(wordkit: Path, state: Path) -> None:
    async def learn() -> None:
        opened = await open_memory(str(state / "memory.milvus"), 30)
        key = await local_identity(wordkit)
        await opened.remember(key, Lesson("k", "counting was slow", "count once", "c1"))
        await opened.close()

    asyncio.run(learn())
    said("reindex", "--repo", wordkit)
    _, (lesson, _) = said("search", "slow counting", "--repo", wordkit, "--only", "lessons")
    assert (lesson["source"], lesson["commit"]) == ("lesson", "c1")
    assert said("forget", "--repo", wordkit, "--only", "lessons")[1][0]["texts"] == 1


def test_people_see_places_and_excerpts(wordkit: Path) -> None:
    CliRunner().invoke(command, ["reindex", "--repo", str(wordkit)])
    done = CliRunner().invoke(command, ["search", "count words", "--repo", str(wordkit)])
    assert done.stdout.startswith("1. wordkit/counting.py:")
    assert "     def " in done.stdout


def test_an_index_that_is_in_use_is_named_with_the_way_out(wordkit: Path, state: Path) -> None:
    state.mkdir()
    other = LiteServer(state / "memory.milvus")
    try:
        code, (error,) = said("search", "x", "--repo", wordkit)
    finally:
        other.close()
    assert (code, error["exit_code"]) == (5, 5)
    assert "in use by another process" in error["what"]
    assert "manta down" in error["what"]


def test_what_is_no_repository_is_a_usage_error(tmp_path: Path) -> None:
    for verb in (["search", "x"], ["reindex"], ["forget"]):
        code, (error,) = said(*verb, "--repo", tmp_path)
        assert (code, error["type"]) == (2, "error")


async def test_a_run_and_the_command_mean_the_same_memory(wordkit: Path, state: Path) -> None:
    order = Order("Do it.", str(wordkit), replay=RECORDING)
    request, _ = await take_in(order, Settings(state_dir=state))
    assert request.memory_key == await local_identity(wordkit)


async def test_guides_and_skills_reach_the_request_and_huge_ones_do_not(
    wordkit: Path, state: Path
) -> None:
    (wordkit / "skills" / "ship").mkdir(parents=True)
    (wordkit / "skills" / "ship" / "SKILL.md").write_text("---\nname: ship\n---\nPush it.\n")
    (wordkit / "AGENTS.md").write_text("x" * 1_000_001)
    git(wordkit, "add", "--all")
    git(wordkit, "commit", "--quiet", "--message=skills")
    order = Order("Do it.", str(wordkit), replay=RECORDING)
    request, _ = await take_in(order, Settings(state_dir=state))
    assert request.guidance.endswith("- ship (`skills/ship/SKILL.md`)")
    assert "xxx" not in request.guidance


# --- embedding ----------------------------------------------------------------------------------


async def letters(request: web.Request) -> web.StreamResponse:
    """An embedding model: how often a, e and z occur."""
    texts: list[str] = (await request.json())["input"]
    data = [
        {"object": "embedding", "index": n, "embedding": [text.count(c) + 0.01 for c in "aez"]}
        for n, text in enumerate(texts)
    ]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    body = {"object": "list", "data": data, "model": "m", "usage": usage}
    return web.json_response(body)


@pytest.fixture
async def server() -> AsyncGenerator[http.Endpoint]:
    async with http.running() as endpoint:
        yield endpoint


async def embedding_memory(server: http.Endpoint, state: Path) -> Memory:
    settings = Settings(state_dir=state, embedding_model="openai/m", api_base=server.url)
    return await open_memory(settings.memory_location, 30, embedding_route(settings))


async def test_with_an_embedding_model_meaning_is_found_over_http(
    server: http.Endpoint, state: Path
) -> None:
    server.will(*[letters] * 3)
    opened = await embedding_memory(server, state)
    files = {"zoo.py": "zz = zzz\n", "tree.py": "ee = eee\n"}
    await opened.index("k", "c1", {p: SourceFile(t, t) for p, t in files.items()})
    report = await opened.recall("k", "zzzzzzzz")
    await opened.close()
    assert (report.note, report.found[0].source) == ("", "zoo.py:1-1")
    assert len(server.asked) == 3


async def test_an_embedding_model_that_does_not_start_leaves_words_and_is_named(
    server: http.Endpoint, state: Path
) -> None:
    opened = await embedding_memory(server, state)
    await opened.index("k", "c1", {"a.py": SourceFile("b", "def refund(card): ...\n")})
    report = await opened.recall("k", "refund card")
    await opened.close()
    assert report.found[0].source == "a.py:1-1 function refund"
    assert report.note.startswith("recalled by words alone, the embedding model did not start")


def test_the_endpoints_address_is_for_models_of_its_provider_only() -> None:
    own = Settings(model="openai/a", embedding_model="openai/b", api_base="http://127.0.0.1:1")
    other = own.model_copy(update={"embedding_model": "cohere/c"})
    assert json.loads(embedding_route(own))["api_base"] == "http://127.0.0.1:1"
    assert json.loads(embedding_route(other))["api_base"] is None
    assert embedding_route(Settings()) == ""
