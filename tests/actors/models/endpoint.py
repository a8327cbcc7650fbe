"""A small model endpoint on loopback that answers as it is told, OpenAI-compatible by default."""

import asyncio
import json
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

SECRET = "sk-live-0123456789abcdef"
"""The key that tests give to the client."""
Answer = Callable[[web.Request], Awaitable[web.StreamResponse]]


@dataclass
class Endpoint:
    """What it will answer, in order, and what it was asked."""

    url: str = ""
    answers: list[Answer] = field(default_factory=list[Answer])
    asked: list[dict[str, Any]] = field(default_factory=list[dict[str, Any]])
    paths: list[str] = field(default_factory=list[str])
    keys: list[str] = field(default_factory=list[str])
    released: asyncio.Event = field(default_factory=asyncio.Event)
    """Lets held answers go."""
    heard: asyncio.Event = field(default_factory=asyncio.Event)
    """Set once anything was asked."""

    def will(self, *answers: Answer) -> None:
        self.answers.extend(answers)

    async def serve(self, request: web.Request) -> web.StreamResponse:
        self.asked.append(await request.json())
        self.paths.append(request.path)
        self.heard.set()
        self.keys.append(request.headers.get("Authorization", ""))
        if not self.answers:
            return web.json_response({"error": {"message": "nothing left to say"}}, status=418)
        return await self.answers.pop(0)(request)

    def held(self, answer: Answer) -> Answer:
        """The same answer, but only once `released` is set."""

        async def wait(request: web.Request) -> web.StreamResponse:
            await self.released.wait()
            return await answer(request)

        return wait


def message(finish: str = "stop", usage: dict[str, Any] | None = None, **fields: Any) -> Answer:
    """A completion whose message has these fields."""
    body = {
        "id": "chat-1",
        "object": "chat.completion",
        "created": 1,
        "model": "loopback",
        "choices": [
            {"index": 0, "finish_reason": finish, "message": {"role": "assistant", **fields}}
        ],
        "usage": usage or {"prompt_tokens": 10, "completion_tokens": 5, "total_tokens": 15},
    }
    return document(body)


def document(body: Any, status: int = 200, **headers: str) -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.json_response(
            body, status=status, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )

    return answer


def failure(status: int, words: str = "no", code: str = "", **headers: str) -> Answer:
    """An error in the OpenAI form."""
    return document(
        {"error": {"message": words, "type": "error", "code": code}}, status=status, **headers
    )


def garbage(text: str = "<html>not what you wanted") -> Answer:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.Response(text=text, content_type="application/json")

    return answer


def dropped() -> Answer:
    """Closes the connection without a word."""

    async def answer(request: web.Request) -> web.StreamResponse:
        if request.transport:
            request.transport.close()
        return web.Response()

    return answer


def hang() -> Answer:
    """Never answers."""

    async def answer(_: web.Request) -> web.StreamResponse:
        await asyncio.Event().wait()
        return web.Response()

    return answer


def stream(
    *deltas: dict[str, Any], finish: str = "stop", until: asyncio.Event | None = None
) -> Answer:
    """Server-sent events, one per delta, then (once that is set) the finish and the usage."""

    async def answer(request: web.Request) -> web.StreamResponse:
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream"})
        await response.prepare(request)
        for delta in deltas:
            await response.write(_event([{"index": 0, "delta": delta, "finish_reason": None}]))
        if until:
            await until.wait()
        await response.write(_event([{"index": 0, "delta": {}, "finish_reason": finish}]))
        await response.write(_event([], {"prompt_tokens": 7, "completion_tokens": 3}))
        await response.write(b"data: [DONE]\n\n")
        return response

    return answer


def _event(choices: list[dict[str, Any]], usage: dict[str, int] | None = None) -> bytes:
    chunk: dict[str, Any] = {
        "id": "chat-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "loopback",
        "choices": choices,
    }
    if usage:
        chunk["usage"] = {**usage, "total_tokens": sum(usage.values())}
    return b"data: " + json.dumps(chunk).encode() + b"\n\n"


@asynccontextmanager
async def running() -> AsyncGenerator[Endpoint]:
    endpoint = Endpoint()
    app = web.Application()
    app.router.add_post("/{path:.*}", endpoint.serve)
    runner = web.AppRunner(app, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    port = runner.addresses[0][1]
    endpoint.url = f"http://127.0.0.1:{port}/v1"
    try:
        yield endpoint
    finally:
        await runner.cleanup()
