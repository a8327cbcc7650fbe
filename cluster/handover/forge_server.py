"""A pull request through an MCP server of the person's own that speaks as GitHub's does.

It is called outside of any run, with the person's own login, which only the server knows. What it
says is a stranger's word: nothing but an address is taken from it.
"""

import json
import os
import re
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from actors.git.command import Git
from actors.git.publishing import Hosted, PullRequest, base_branch, hosted
from actors.mcp.config import ServerConfig, expand, read
from actors.mcp.connection import Connection, ServerFailedError
from actors.mcp.pipes import LocalPipe
from actors.mcp.protocol import RemoteAnswer, RemoteTool
from actors.tools.text import neutralise, one_line
from cluster.settings import Settings
from cluster.tools.servers import own_file
from orchestration.errors import GitError, UsageError

CREATE = "create_pull_request"
LIST = "list_pull_requests"
_INSTEAD = "or leave pr_server out and use gh, or take a branch: --deliver branch"
_ADDRESS = re.compile(r"https?://[^\s\"'<>\\]+/pulls?/[^\s\"'<>\\]+")
_SAID = 300


async def open_forge(settings: Settings) -> "ServerForge":
    """The server that `pr_server` names.

    Raises:
        UsageError: it is not in the person's own file, or a variable of it is not set.
    """
    name, file = settings.pr_server, own_file(settings)
    known = {config.name: config for config in (read(file) if file else ())}
    if name not in known:
        raise UsageError(
            f"no MCP server {name!r} is there to open pull requests",
            f"known are: {', '.join(known) or 'none'} ({file or 'write ~/.config/manta/mcp.json'})",
        )
    return ServerForge(expand(known[name], os.environ, str(file)))


@dataclass(frozen=True, slots=True)
class ServerForge:
    """Implements `Forge`. Starts the server for each question and ends it after."""

    config: ServerConfig

    async def require(self, git: Git) -> None:
        await _hosted(git)
        async with self._talk():
            pass

    async def open(self, git: Git, asked: PullRequest) -> str:
        there = await _hosted(git)
        base = await base_branch(git, asked.into)
        if not base:
            raise GitError(f"origin has neither {asked.into!r} nor a default branch", "push one")
        async with self._talk() as talk:
            if known := await self._known(talk, there, asked.branch):
                return known
            told: dict[str, Any] = {
                **{"owner": there.owner, "repo": there.name, "head": asked.branch, "base": base},
                **{"title": asked.title, "body": asked.body},
            }
            if "show_ui" in talk.tools[CREATE].parameters.get("properties", {}):
                told["show_ui"] = False  # or it may show a form to nobody, and wait
            made = await talk.call(CREATE, told)
            if url := _address([*_objects(made.text)], made.text):
                return url
        raise GitError(
            f"{self.config.name} said nothing of the pull request that it made: "
            f"{_shown(made.text)!r}",
            f"look at the pull requests of {there.owner}/{there.name}",
        )

    async def _known(self, talk: "_Talk", there: Hosted, branch: str) -> str:
        """The address of an open pull request of the branch; "" where there is none."""
        if LIST not in talk.tools:
            return ""
        head = f"{there.owner}:{branch}"
        where = {"owner": there.owner, "repo": there.name}
        said = await talk.call(LIST, {**where, "state": "open", "head": head})
        return _address([one for one in _objects(said.text) if _ref_of(one) == branch])

    @asynccontextmanager
    async def _talk(self) -> "AsyncGenerator[_Talk]":
        """A conversation with the server, which offers what is needed.

        Raises:
            UsageError: it cannot be started, or offers no such tool.
        """
        connection = Connection(self.config, LocalPipe.open)
        try:
            await connection.start()
            tools = {tool.name: tool for tool in await connection.tools()}
        except ServerFailedError as error:
            await connection.close()
            raise UsageError(
                f"the MCP server {self.config.name} cannot be used: {_shown(str(error))}",
                f"try `manta tools`; {_INSTEAD}",
            ) from None
        try:
            if CREATE not in tools:
                raise UsageError(
                    f"the MCP server {self.config.name} offers no {CREATE}",
                    f"let it offer its tools for pull requests; {_INSTEAD}",
                )
            yield _Talk(self.config.name, connection, tools)
        finally:
            await connection.close()


@dataclass(frozen=True, slots=True)
class _Talk:
    """A server that is running, and what it offers."""

    server: str
    connection: Connection
    tools: dict[str, RemoteTool]

    async def call(self, tool: str, arguments: dict[str, Any]) -> RemoteAnswer:
        """Its answer.

        Raises:
            GitError: it refuses, hangs or dies.
        """
        try:
            answer = await self.connection.call(tool, arguments)
        except ServerFailedError as error:
            raise GitError(f"{tool} of {self.server} failed: {_shown(str(error))}") from None
        if not answer.ok:
            raise GitError(
                f"{tool} of {self.server} failed: {_shown(answer.text)}",
                "check what its token may do, and the repository that origin names",
            )
        return answer


async def _hosted(git: Git) -> Hosted:
    there = await hosted(git)
    if there is None:
        raise UsageError(
            "the address of origin does not say whose repository it is",
            f"an MCP server needs one such as https://github.com/OWNER/NAME; {_INSTEAD}",
        )
    return there


def _objects(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects of an answer: of a list, alone, or in a list of an object."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return
    if isinstance(value, dict):
        lists = [inner for inner in value.values() if isinstance(inner, list)]
        value = [value, *(each for inner in lists for each in inner)]
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def _ref_of(one: dict[str, Any]) -> str:
    head = one.get("head")
    ref = head.get("ref") if isinstance(head, dict) else head
    return ref if isinstance(ref, str) else ""


def _address(told: Sequence[dict[str, Any]], text: str = "") -> str:
    """Where a pull request is, by the first of these objects that says it, or by a text."""
    named = (one.get(key) for one in told for key in ("html_url", "url"))
    for said in (*(each for each in named if isinstance(each, str)), text):
        for url in _ADDRESS.findall(said):
            return url.rstrip(".,;)")
    return ""


def _shown(text: str) -> str:
    return one_line(neutralise(text), _SAID)
