"""Servers that others wrote, and one over HTTP."""

import subprocess
import sys
from collections.abc import AsyncGenerator, Iterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from actors.mcp.config import ServerConfig
from actors.mcp.host import ClientServers, ServerHost
from actors.tools.remote import RemoteToolset
from cluster.demo.sample import git
from tests.actors.mcp.strangers import filesystem_server, git_server

pytestmark = pytest.mark.slow
WEB = Path(__file__).with_name("web_server.py")
TOKEN = "open-sesame-4711"


@asynccontextmanager
async def toolset(config: ServerConfig) -> AsyncGenerator[RemoteToolset]:
    servers = ClientServers(ServerHost([config]))
    offer = await servers.offer("coder")
    assert offer.troubles == ()
    yield RemoteToolset(servers, "coder", offer.tools)
    await servers.close()


async def test_the_filesystem_server_reads_what_it_may_and_no_more(tmp_path: Path):
    (tmp_path / "shown").mkdir()
    (tmp_path / "shown/notes.txt").write_text("be kind\n")
    (tmp_path / "secret.txt").write_text("hidden\n")
    program = str(filesystem_server())
    async with toolset(ServerConfig("files", (program, str(tmp_path / "shown")))) as tools:
        names = [definition.name for definition in await tools.definitions()]
        assert "files__read_text_file" in names
        path = str(tmp_path / "shown/notes.txt")
        read = await tools.call("files__read_text_file", {"path": path})
        assert read.ok
        assert "be kind" in read.text
        outside = await tools.call("files__read_text_file", {"path": str(tmp_path / "secret.txt")})
        assert not outside.ok
        assert "hidden" not in outside.text


async def test_the_git_server_tells_a_repositorys_log(tmp_path: Path):
    git(tmp_path, "init", "--quiet", "--initial-branch=main")
    (tmp_path / "a.txt").write_text("a\n")
    git(tmp_path, "add", "--all")
    git(tmp_path, "commit", "--quiet", "--message=feat: begin")
    command = (str(git_server()), "--repository", str(tmp_path))
    async with toolset(ServerConfig("git", command)) as tools:
        log = await tools.call("git__git_log", {"repo_path": str(tmp_path)})
        assert log.ok
        assert "feat: begin" in log.text
        elsewhere = await tools.call("git__git_log", {"repo_path": "/no/such/place"})
        assert not elsewhere.ok


class Web:
    """The server over HTTP, which can be ended and begun again at the same port."""

    def __init__(self) -> None:
        self.port = 0
        self.process: subprocess.Popen[str] | None = None
        self.begin()

    def begin(self) -> None:
        command = [sys.executable, str(WEB), TOKEN, str(self.port)]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())

    def end(self) -> None:
        assert self.process
        assert self.process.stdout
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def config(self, token: str = TOKEN) -> ServerConfig:
        return ServerConfig(
            "web",
            url=f"http://127.0.0.1:{self.port}/mcp",
            headers={"Authorization": f"Bearer {token}"},
            call_timeout_s=5,
            start_timeout_s=10,
        )


@pytest.fixture
def web() -> Iterator[Web]:
    server = Web()
    yield server
    server.end()


async def test_a_server_over_http_is_called_with_the_persons_header(web: Web):
    async with toolset(web.config()) as tools:
        assert [d.name for d in await tools.definitions()] == ["web__add", "web__wait"]
        answer = await tools.call("web__add", {"first": 2, "second": 40})
        assert answer.ok
        assert answer.text.endswith("\n42")
        wrong = await tools.call("web__add", {"first": "two", "second": 40})
        assert not wrong.ok


async def test_a_wrong_token_is_a_sentence_without_the_token(web: Web):
    host = ServerHost([web.config("wrong-token-0815")])
    (trouble,) = (await host.offer("run", "coder")).troubles
    assert trouble.startswith("MCP server web: ")
    assert "0815" not in trouble
    await host.close()


async def test_an_unreachable_server_is_a_sentence():
    config = ServerConfig("web", url="http://127.0.0.1:9/mcp", start_timeout_s=10)
    host = ServerHost([config])
    (trouble,) = (await host.offer("run", "coder")).troubles
    assert "connect" in trouble.lower()
    await host.close()


async def test_a_server_over_http_that_was_restarted_is_found_again(
    web: Web, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("actors.mcp.host.BACKOFF_S", (0.0,))
    host = ServerHost([web.config()])
    assert not (await host.offer("run", "coder")).troubles
    web.end()
    arguments = {"first": 1, "second": 2}
    assert not (await host.call("run", "coder", "web", "add", arguments)).ok
    web.begin()
    answers = [await host.call("run", "coder", "web", "add", arguments) for _ in range(2)]
    assert answers[-1].text == "3"
    await host.close()


async def test_a_call_over_http_that_hangs_is_given_up(web: Web):
    host = ServerHost([replace(web.config(), call_timeout_s=1.0)])
    await host.offer("run", "coder")
    answer = await host.call("run", "coder", "web", "wait", {})
    assert answer.text == "wait did not answer within 1 s."
    assert (await host.call("run", "coder", "web", "add", {"first": 1, "second": 1})).ok
    await host.close()
