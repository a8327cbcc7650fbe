"""A stand-in for E2B: its control plane and its daemon `envd`, on loopback.

Requests are read, and answers built, with the models and messages that come with the SDK: one that
changes its contract fails our tests.
"""

import base64
import secrets
import struct
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qsl, unquote

from aiohttp import web
from e2b.api.client.models import (
    ConnectSandboxV2,
    ListedSandbox,
    NewSandboxV2,
    SandboxDetail,
    SandboxPauseRequest,
    SandboxState,
    SandboxTimeoutRequest,
)
from e2b.api.client.models import Sandbox as Made
from e2b.envd.process import process_pb
from protobuf import Oneof

from actors.sandbox.protocol import SandboxProvider
from tests.actors.sandbox.cloud.faults import Fate
from tests.actors.sandbox.cloud.machine import Machine

KEY = "e2b_0123456789abcdef0123456789abcdef01234567"


class Box:
    """One sandbox of the account."""

    def __init__(self, machine: Machine, asked: NewSandboxV2) -> None:
        self.id = "i" + secrets.token_hex(10)
        self.token = secrets.token_hex(8)
        self.machine = machine
        self.asked = asked
        self.metadata: dict[str, str] = dict(asked.metadata)  # pyright: ignore
        self.paused = False
        self.started = time.time()
        self.seconds = int(asked.timeout) if isinstance(asked.timeout, int) else 300

    def facts(self) -> dict[str, Any]:
        return {
            "template_id": self.asked.template_id,
            "sandbox_id": self.id,
            "client_id": "c",
            "started_at": datetime.fromtimestamp(self.started, UTC),
            "end_at": datetime.fromtimestamp(self.started + self.seconds, UTC),
            "cpu_count": 2,
            "memory_mb": 512,
            "disk_size_mb": 1024,
            "state": SandboxState.PAUSED if self.paused else SandboxState.RUNNING,
            "envd_version": "0.6.7",
            "metadata": self.metadata,
        }

    def made(self) -> dict[str, Any]:
        return Made(
            template_id=self.asked.template_id,
            sandbox_id=self.id,
            client_id="c",
            envd_version="0.6.7",
            envd_access_token=self.token,
            traffic_access_token="traffic-" + self.token,
        ).to_dict()


class E2BCloud:
    """The account, its sandboxes and the server."""

    def __init__(self, provider: SandboxProvider) -> None:
        self.fate = Fate()
        self.boxes: dict[str, Box] = {}
        self.by_key: dict[str, Box] = {}
        self.cut_streams = 0
        """How many command streams break after their first output."""
        self._provider = provider
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def open(self) -> None:
        app = web.Application(middlewares=[self.fate.befall], client_max_size=1 << 31)
        one = "/sandboxes/{id}"
        app.add_routes(
            [
                web.post("/v2/sandboxes", self.create),
                web.get("/v2/sandboxes", self.list),
                web.post("/v2" + one + "/connect", self.connect),
                web.get(one, self.info),
                web.delete(one, self.kill),
                web.post(one + "/timeout", self.timeout),
                web.post(one + "/pause", self.pause),
                web.get("/health", self.health),
                web.post("/files", self.files),
                web.post("/process.Process/Start", self.start),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", 0)
        await site.start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        for box in self.boxes.values():
            await box.machine.destroy()
        if self._runner:
            await self._runner.cleanup()

    # the control plane

    def _account(self, request: web.Request) -> None:
        if request.headers.get("X-API-KEY") != KEY:
            raise _no(401, "Invalid API key")

    def _box(self, request: web.Request) -> Box:
        self._account(request)
        box = self.boxes.get(request.match_info["id"])
        if box is None:
            raise _no(404, "sandbox not found")
        return box

    async def create(self, request: web.Request) -> web.Response:
        self._account(request)
        asked = NewSandboxV2.from_dict(await request.json())
        assert asked.allow_internet_access is False
        key = request.headers["Idempotency-Key"]
        if asked.template_id == "no-such-template":
            raise _no(404, "template 'no-such-template' not found")
        if key not in self.by_key:
            box = Box(await Machine.make(self._provider), asked)
            self.boxes[box.id] = self.by_key[key] = box
        return web.json_response(self.by_key[key].made(), status=201)

    async def list(self, request: web.Request) -> web.Response:
        self._account(request)
        wanted = {
            unquote(name): unquote(value)
            for name, value in parse_qsl(request.query.get("metadata", ""))
        }
        found = [box for box in self.boxes.values() if wanted.items() <= box.metadata.items()]
        at, size = int(request.query.get("nextToken", 0)), 2
        following = {"x-next-token": str(at + size)} if len(found) > at + size else {}
        page = [ListedSandbox(**box.facts()).to_dict() for box in found[at : at + size]]
        return web.json_response(page, headers=following)

    async def connect(self, request: web.Request) -> web.Response:
        box = self._box(request)
        ConnectSandboxV2.from_dict(await request.json())
        if box.paused:
            await box.machine.sandbox.resume()
            box.paused = False
            return web.json_response(box.made(), status=201)
        return web.json_response(box.made())

    async def info(self, request: web.Request) -> web.Response:
        return web.json_response(SandboxDetail(**self._box(request).facts()).to_dict())

    async def kill(self, request: web.Request) -> web.Response:
        box = self._box(request)
        del self.boxes[box.id]
        await box.machine.destroy()
        return web.Response(status=204)

    async def timeout(self, request: web.Request) -> web.Response:
        box = self._box(request)
        box.seconds = SandboxTimeoutRequest.from_dict(await request.json()).timeout
        return web.Response(status=204)

    async def pause(self, request: web.Request) -> web.Response:
        box = self._box(request)
        SandboxPauseRequest.from_dict(await request.json())
        if box.paused:
            raise _no(409, "already paused")
        await box.machine.sandbox.pause()
        box.paused = True
        return web.Response(status=204)

    # envd

    def _running(self, request: web.Request) -> Box:
        box = self.boxes.get(request.headers["E2b-Sandbox-Id"])
        if box is None or box.paused:
            raise _no(502, "The sandbox was not found")
        if request.headers.get("X-Access-Token") != box.token:
            raise _no(401, "bad token")
        return box

    async def health(self, request: web.Request) -> web.Response:
        self._running(request)
        return web.Response(status=204)

    async def files(self, request: web.Request) -> web.Response:
        box = self._running(request)
        assert request.query["username"] == "root"
        part = await (await request.multipart()).next()
        assert part is not None
        path = request.query["path"]
        await box.machine.put(path, await part.read())  # pyright: ignore
        return web.json_response([{"path": path, "name": path.split("/")[-1], "type": "file"}])

    async def start(self, request: web.Request) -> web.StreamResponse:
        """A Connect stream: five bytes of flags and length before each JSON message."""
        box = self._running(request)
        user = base64.b64decode(request.headers["Authorization"].split()[1])
        assert user == b"root:"
        body = await request.read()
        asked = process_pb.StartRequest.from_json(body[5:])
        assert asked.process
        answer = web.StreamResponse(headers={"Content-Type": "application/connect+json"})
        end = b"{}"
        argv = [asked.process.cmd, *asked.process.args]
        if box.asked.template_id == "without-python":
            argv[-1] = argv[-1].replace("python3", "no-python3", 1)
        ended = False
        if request.get("unheard"):
            async for _ in _events(box, argv):
                pass
            return answer
        await answer.prepare(request)
        async for event in _events(box, argv):
            message = process_pb.StartResponse(event=process_pb.ProcessEvent(event=event))
            await _frame(answer, 0, message.to_json().encode())
            if self.cut_streams and event.field == "data":
                self.cut_streams -= 1
                assert request.transport
                request.transport.abort()
                return answer
            ended = event.field == "end"
        if not ended:
            end = b'{"error": {"code": "unavailable", "message": "the sandbox was not found"}}'
        await _frame(answer, 2, end)
        await answer.write_eof()
        return answer


def _no(status: int, message: str) -> web.HTTPException:
    text = f'{{"code": {status}, "message": "{message}"}}'
    kinds = {401: web.HTTPUnauthorized, 404: web.HTTPNotFound, 409: web.HTTPConflict}
    kind = kinds.get(status, web.HTTPBadGateway)
    return kind(text=text, content_type="application/json")


async def _frame(answer: web.StreamResponse, flags: int, message: bytes) -> None:
    await answer.write(struct.pack("!BI", flags, len(message)) + message)


async def _events(box: Box, argv: list[str]) -> AsyncIterator[Oneof[Any, Any]]:
    events = process_pb.ProcessEvent
    async for fact in box.machine.run(*argv):
        if "pid" in fact:
            yield Oneof("start", events.StartEvent(pid=fact["pid"]))
        elif "exit" in fact:
            code = fact["exit"]
            yield Oneof("end", events.EndEvent(exit_code=code, exited=True, status="exit"))
        else:
            data = Oneof(fact["name"], base64.b64decode(fact["data"]))
            yield Oneof("data", events.DataEvent(output=data))
