"""A stand-in for Daytona: its control plane and the toolbox of its sandboxes, on loopback.

Requests are read, and answers built, with the models that come with the SDK: one that changes its
contract fails our tests.
"""

import base64
import json
import secrets
from typing import Any

from aiohttp import BodyPartReader, web
from daytona_api_client_async import CreateSandbox, ListSandboxesResponse, SandboxState
from daytona_api_client_async import Sandbox as Made
from daytona_api_client_async.models.sandbox_list_item import SandboxListItem
from daytona_api_client_async.models.signed_port_preview_url import SignedPortPreviewUrl
from daytona_toolbox_api_client_async import ExecuteRequest, ExecuteResponse

from actors.sandbox.protocol import SandboxProvider
from tests.actors.sandbox.cloud.faults import Fate
from tests.actors.sandbox.cloud.machine import Machine

KEY = "dtn_0123456789abcdef0123456789abcdef"


class Box:
    """One sandbox of the account."""

    def __init__(self, machine: Machine, asked: CreateSandbox) -> None:
        self.id = secrets.token_hex(16)
        self.machine = machine
        self.asked = asked
        self.state = SandboxState.STARTED
        self.deletes_after = asked.auto_delete_interval
        self.ttl = asked.ttl_minutes

    def facts(self, url: str) -> dict[str, Any]:
        return {
            "id": self.id,
            "organization_id": "o",
            "name": self.asked.name or self.id,
            "user": "daytona",
            "env": {},
            "labels": self.asked.labels or {},
            "public": False,
            "network_block_all": bool(self.asked.network_block_all),
            "kvm": False,
            "target": "eu",
            "cpu": 1,
            "gpu": 0,
            "memory": 1,
            "disk": 3,
            "state": self.state,
            "toolbox_proxy_url": f"{url}/toolbox",
        }


class DaytonaCloud:
    """The account, its sandboxes and the server."""

    def __init__(self, provider: SandboxProvider) -> None:
        self.fate = Fate()
        self.boxes: dict[str, Box] = {}
        self._provider = provider
        self._runner: web.AppRunner | None = None
        self.url = ""

    async def open(self) -> None:
        app = web.Application(middlewares=[self.fate.befall], client_max_size=1 << 31)
        one, toolbox = "/api/sandbox/{id}", "/toolbox/{id}"
        app.add_routes(
            [
                web.post("/api/sandbox", self.create),
                web.get("/api/sandbox", self.list),
                web.get(one, self.info),
                web.delete(one, self.delete),
                web.post(one + "/start", self.start),
                web.post(one + "/stop", self.stop),
                web.post(one + "/last-activity", self.active),
                web.post(one + "/autodelete/{minutes}", self.autodelete),
                web.post(one + "/ttl/{minutes}", self.set_ttl),
                web.get(one + "/ports/{port}/signed-preview-url", self.preview),
                web.post(toolbox + "/process/execute", self.execute),
                web.post(toolbox + "/files/bulk-upload", self.upload),
            ]
        )
        self._runner = web.AppRunner(app, shutdown_timeout=0.1)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def close(self) -> None:
        for box in self.boxes.values():
            await box.machine.destroy()
        if self._runner:
            await self._runner.cleanup()

    # the control plane

    def _account(self, request: web.Request) -> None:
        if request.headers.get("Authorization") != f"Bearer {KEY}":
            raise _no(401, "Invalid credentials")

    def _box(self, request: web.Request) -> Box:
        self._account(request)
        name = request.match_info["id"]
        for box in self.boxes.values():
            if name in (box.id, box.asked.name):
                return box
        raise _no(404, f"Sandbox {name} not found")

    def _shown(self, box: Box) -> web.Response:
        return web.json_response(Made(**box.facts(self.url)).to_dict())

    async def create(self, request: web.Request) -> web.Response:
        self._account(request)
        asked = CreateSandbox.from_dict(await request.json())
        assert asked is not None
        assert asked.network_block_all
        if any(asked.name == box.asked.name for box in self.boxes.values()):
            raise _no(409, "a sandbox with that name exists")
        if asked.snapshot == "no-such-template":
            raise _no(404, "Snapshot no-such-template not found")
        box = Box(await Machine.make(self._provider), asked)
        self.boxes[box.id] = box
        return self._shown(box)

    async def list(self, request: web.Request) -> web.Response:
        self._account(request)
        wanted: dict[str, str] = json.loads(request.query.get("labels", "{}"))
        found = [b for b in self.boxes.values() if wanted.items() <= (b.asked.labels or {}).items()]
        at, size = int(request.query.get("cursor", 0)), 2
        known = set(SandboxListItem.model_fields)
        rows = [
            SandboxListItem(**{k: v for k, v in box.facts(self.url).items() if k in known})
            for box in found[at : at + size]
        ]
        following = str(at + size) if len(found) > at + size else None
        answer = ListSandboxesResponse(items=rows, next_cursor=following)
        return web.json_response({"nextCursor": None, **answer.to_dict()})

    async def info(self, request: web.Request) -> web.Response:
        return self._shown(self._box(request))

    async def delete(self, request: web.Request) -> web.Response:
        box = self._box(request)
        del self.boxes[box.id]
        await box.machine.destroy()
        box.state = SandboxState.DESTROYING
        return self._shown(box)

    async def start(self, request: web.Request) -> web.Response:
        box = self._box(request)
        await box.machine.boot()
        box.state = SandboxState.STARTED
        return self._shown(box)

    async def stop(self, request: web.Request) -> web.Response:
        box = self._box(request)
        await box.machine.halt()
        if box.deletes_after == 0:
            del self.boxes[box.id]
            await box.machine.destroy()
        box.state = SandboxState.STOPPED
        return self._shown(box)

    async def active(self, request: web.Request) -> web.Response:
        self._box(request)
        return web.Response(status=201)

    async def autodelete(self, request: web.Request) -> web.Response:
        box = self._box(request)
        box.deletes_after = int(request.match_info["minutes"])
        return self._shown(box)

    async def set_ttl(self, request: web.Request) -> web.Response:
        box = self._box(request)
        box.ttl = int(request.match_info["minutes"])
        return self._shown(box)

    async def preview(self, request: web.Request) -> web.Response:
        box, port = self._box(request), int(request.match_info["port"])
        url = f"https://{port}-token.proxy.example"
        signed = SignedPortPreviewUrl(sandbox_id=box.id, port=port, token="token", url=url)
        return web.json_response(signed.to_dict())

    # the toolbox

    def _running(self, request: web.Request) -> Box:
        box = self._box(request)
        if box.state != SandboxState.STARTED:
            raise _no(400, "failed to resolve container IP: Is the Sandbox started?")
        return box

    async def execute(self, request: web.Request) -> web.Response:
        """Both streams in one text, as the real one gives them."""
        box = self._running(request)
        asked = ExecuteRequest.from_dict(await request.json())
        assert asked is not None
        text, code = "", None
        line = asked.command
        if box.asked.snapshot == "without-python":
            line = line.replace("python3", "no-python3", 1)
        async for fact in box.machine.run("sh", "-c", line):
            text += _text(fact)
            code = fact.get("exit", code)
        if code is None:
            raise _no(502, "the connection to the sandbox was lost")
        return web.json_response(ExecuteResponse(exit_code=code, result=text).to_dict())

    async def upload(self, request: web.Request) -> web.Response:
        box = self._running(request)
        path = ""
        async for part in await request.multipart():
            assert isinstance(part, BodyPartReader)
            data = bytes(await part.read())
            if str(part.name).endswith(".path"):
                path = data.decode()
            else:
                await box.machine.put(path, data)
        return web.Response(status=200)


def _text(fact: dict[str, Any]) -> str:
    return base64.b64decode(fact.get("data", "")).decode("utf-8", "replace")


def _no(status: int, message: str) -> web.HTTPException:
    text = json.dumps({"statusCode": status, "message": message, "source": "DAYTONA_API"})
    kinds = {
        400: web.HTTPBadRequest,
        401: web.HTTPUnauthorized,
        404: web.HTTPNotFound,
        409: web.HTTPConflict,
    }
    return kinds.get(status, web.HTTPBadGateway)(text=text, content_type="application/json")
