"""Ray's dashboard as its clients meet it, over real HTTP: jobs are kept, and nothing is run."""

import json
import threading
from collections.abc import Generator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from cluster.machines.places import PLACE


class Dashboard:
    """What it answers, and what it was given."""

    def __init__(self) -> None:
        self.jobs: dict[str, dict[str, Any]] = {}
        self.packages: dict[str, bytes] = {}
        self.places = 1
        self.version = "2.60.0"
        self.status = 200
        """Of every answer."""
        self.words: dict[str, str] = {}
        self.stopped: list[str] = []
        self.url = ""
        self.body: bytes | None = None
        """In place of every answer."""

    def add(self, name: str, status: str = "RUNNING", at: int = 0, **metadata: str) -> None:
        told = {"manta_run": name, "manta_digest": "", "job_name": name, **metadata}
        self.jobs[name] = {
            "type": "SUBMISSION", "submission_id": name, "status": status, "entrypoint": "",
            "start_time": at or len(self.jobs) + 1, "metadata": told,
        }  # fmt: skip

    def end(self, name: str, status: str, code: int | None = None, message: str = "") -> None:
        self.jobs[name] |= {"status": status, "driver_exit_code": code, "message": message}

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        path = path.partition("?")[0]
        match path:
            case "/api/version":
                return 200, {"version": "4", "ray_version": self.version, "ray_commit": "x"}
            case "/api/v0/nodes":
                return 200, self._nodes()
            case "/api/jobs/" if method == "POST":
                return self._submit(json.loads(body))
            case "/api/jobs/":
                return 200, list(self.jobs.values())
            case _ if path.startswith("/api/packages/"):
                return self._package(method, path, body)
            case _:
                return self._about(path)

    def _about(self, path: str) -> tuple[int, object]:
        name, _, rest = path.removeprefix("/api/jobs/").partition("/")
        if name not in self.jobs:
            return 404, f"Job {name} does not exist"
        if rest == "stop":
            self.stopped.append(name)
            return 200, {"stopped": True}
        if rest == "logs":
            return 200, {"logs": self.words.get(name, "")}
        return 200, self.jobs[name]

    def _package(self, method: str, path: str, body: bytes) -> tuple[int, object]:
        if method == "PUT":
            self.packages[path] = body
        return (200 if path in self.packages else 404), {}

    def _submit(self, asked: dict[str, Any]) -> tuple[int, object]:
        name = asked["submission_id"]
        if name in self.jobs:
            return 500, f"ValueError: Job with submission_id {name} already exists."
        self.add(name, "PENDING", **asked["metadata"])
        self.jobs[name] |= {"asked": asked}
        return 200, {"job_id": name, "submission_id": name}

    def _nodes(self) -> dict[str, Any]:
        node = {
            "node_id": "0" * 56, "node_ip": "127.0.0.1", "is_head_node": True, "state": "ALIVE",
            "node_name": "head", "resources_total": {PLACE: self.places} if self.places else {},
            "labels": {}, "start_time_ms": 1, "end_time_ms": 0, "state_message": None,
        }  # fmt: skip
        listed = {
            "total": 1, "num_after_truncation": 1, "num_filtered": 1, "result": [node],
            "partial_failure_warning": "", "warnings": [],
        }  # fmt: skip
        return {"result": True, "msg": "", "data": {"result": listed}}


@contextmanager
def dashboard() -> Generator[Dashboard]:
    """One that listens on a port of its own."""
    held = Dashboard()

    class Handler(BaseHTTPRequestHandler):
        def _answer(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            status, said = held.answer(self.command, self.path, body)
            status = held.status if held.status != 200 else status
            data = said.encode() if isinstance(said, str) else json.dumps(said).encode()
            data = data if held.body is None else held.body
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = do_PUT = do_DELETE = _answer  # noqa: N815 - their names

        def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - its name

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    held.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield held
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
