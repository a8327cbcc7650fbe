import asyncio
import json
from typing import Any

import pytest

from actors.lsp.rpc import LSP, MCP, Dialect, GoneError, Json, Peer, RpcError


class Pair:
    """Two peers that hear each other at once."""

    def __init__(self, dialect: Dialect) -> None:
        self.left = Peer(dialect, self._to_right)
        self.right = Peer(dialect, self._to_left, self._answer)
        self.holding, self.held = asyncio.Event(), asyncio.Event()
        self.withdrawn = asyncio.Event()

    async def _to_right(self, data: bytes) -> None:
        for byte in range(0, len(data), 7):  # pipes cut anywhere
            self.right.feed(data[byte : byte + 7])

    async def _to_left(self, data: bytes) -> None:
        self.left.feed(data)

    async def _answer(self, method: str, params: Json) -> Json:
        match method:
            case "echo":
                return params
            case "refuse":
                raise RpcError(-1, "no")
            case "break":
                raise ValueError("broken")
            case "hold":
                self.holding.set()
                try:
                    await self.held.wait()
                except asyncio.CancelledError:
                    self.withdrawn.set()
                    raise
            case _:
                pass
        return None


@pytest.fixture(params=[LSP, MCP], ids=["lsp", "mcp"])
def pair(request: pytest.FixtureRequest) -> Pair:
    return Pair(request.param)


async def test_a_request_is_answered_with_what_was_sent(pair: Pair):
    value: dict[str, Any] = {"text": "ä\n🎉", "list": [1, None]}
    assert await pair.left.request("echo", value, timeout_s=1) == value


async def test_errors_arrive_as_errors(pair: Pair):
    with pytest.raises(RpcError, match="no"):
        await pair.left.request("refuse", {}, timeout_s=1)
    with pytest.raises(RpcError, match="ValueError: broken"):
        await pair.left.request("break", {}, timeout_s=1)


async def test_answers_find_their_requests_in_any_order(pair: Pair):
    async with asyncio.TaskGroup() as group:
        held = group.create_task(pair.left.request("hold", {}, timeout_s=5))
        assert await pair.left.request("echo", 1, timeout_s=1) == 1
        pair.held.set()
    assert held.result() is None


async def test_a_request_given_up_is_withdrawn_at_the_other_end(pair: Pair):
    with pytest.raises(TimeoutError):
        await pair.left.request("hold", {}, timeout_s=0.02)
    await asyncio.wait_for(pair.withdrawn.wait(), 1)


async def test_a_cancelled_request_is_withdrawn_too(pair: Pair):
    asking = asyncio.create_task(pair.left.request("hold", {}, timeout_s=5))
    await asyncio.wait_for(pair.holding.wait(), 1)
    asking.cancel()
    await asyncio.wait_for(pair.withdrawn.wait(), 1)
    with pytest.raises(asyncio.CancelledError):
        await asking


async def test_the_end_of_the_other_side_ends_all_waiting(pair: Pair):
    asking = asyncio.create_task(pair.left.request("hold", {}, timeout_s=5))
    await asyncio.wait_for(pair.holding.wait(), 1)
    pair.left.end("it fell over")
    with pytest.raises(GoneError, match="it fell over"):
        await asking
    with pytest.raises(GoneError, match="it fell over"):
        await pair.left.request("echo", 1, timeout_s=1)
    pair.right.end("done")


async def test_a_pipe_that_is_closed_is_an_end():
    async def closed(data: bytes) -> None:
        raise BrokenPipeError(32, "Broken pipe")

    with pytest.raises(GoneError, match="no more words"):
        await Peer(LSP, closed).request("echo", 1, timeout_s=1)


@pytest.mark.parametrize(
    ("dialect", "data"),
    [
        (LSP, b"Content-Length: 99999999999\r\n\r\n"),
        (LSP, b"Content-Type: x\r\n\r\n"),
        (LSP, b"x" * 10_000),
        (LSP, b"Content-Length: 3\r\n\r\n{{{"),
        (MCP, b"{not json}\n"),
        (MCP, b"{" + b'"a":[' * 100_000 + b"\n"),
    ],
    ids=["too large", "no length", "no head", "no json", "no json line", "too deep"],
)
async def test_nonsense_is_an_end(pair: Pair, dialect: Dialect, data: bytes):
    with pytest.raises(GoneError):
        Pair(dialect).left.feed(data)


async def test_lines_that_are_no_messages_and_answers_to_nothing_are_passed_over():
    peer = Pair(MCP).left
    peer.feed(b"Welcome!\n\n")
    peer.feed(json.dumps({"jsonrpc": "2.0", "id": 77, "result": 1}).encode() + b"\n[1]\n")
