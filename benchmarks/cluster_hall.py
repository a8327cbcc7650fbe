"""A person's shell and a model's endpoint, for the benchmarks of the hall."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cluster.demo.sample import HERE, RECORDING, lay_out
from cluster.machines.processes import family

MANTA = (sys.executable, "-W", "ignore", "-m", "cluster.cli")
REQUEST = (HERE / "request.txt").read_text(encoding="utf-8")
PATIENCE_S = 300.0


class Hall:
    """One state directory, one repository, one endpoint."""

    def __init__(self, place: Path) -> None:
        self.place, self.endpoint = place, Endpoint()
        self.state, self.repository = place / "state", place / "wordkit"
        lay_out(self.repository)
        kept = ("PATH", "LANG", "PYTHONPATH", "HOME", "VIRTUAL_ENV")
        self.environment = {
            **{name: os.environ[name] for name in kept if name in os.environ},
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "MANTA_STATE_DIR": str(self.state),
            "MANTA_LIMITS__MUTANTS": "0",
            "XDG_CONFIG_HOME": str(place / "config"),
            "MANTA_START_TIMEOUT_S": str(PATIENCE_S),
            "OPENAI_API_KEY": "none",
        }
        self._runs = 0

    def manta(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*MANTA, *arguments],
            cwd=self.place, env=self.environment, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=PATIENCE_S,
        )  # fmt: skip

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [*MANTA, *arguments],
            cwd=self.place, env=self.environment, stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )  # fmt: skip

    def asked(self, verb: str, *more: str) -> list[str]:
        """Arguments of a run that asks the endpoint; each has an id of its own."""
        self._runs += 1
        return [
            verb, REQUEST, "--repo", str(self.repository), "--run-id", f"bench-{self._runs}",
            "--model", "openai/bench", "--api-base", self.endpoint.url, *more,
        ]  # fmt: skip

    def recorded(self, run_id: str) -> list[str]:
        return [
            "run", REQUEST, "--repo", str(self.repository), "--run-id", run_id,
            "--replay", str(RECORDING), "--json",
        ]  # fmt: skip

    def seconds_to_first_call(self, arguments: Sequence[str]) -> float:
        """From the start of a command to the endpoint's first question of its run."""
        before = len(self.endpoint.asked)
        began = time.monotonic()
        running = self.start(*arguments)
        while not self.endpoint.hears(before + 1):
            if running.poll() or time.monotonic() > began + PATIENCE_S:
                said = running.communicate(timeout=PATIENCE_S)[0]
                raise RuntimeError(f"no model call came: {said}")
        took = self.endpoint.asked[before] - began
        running.communicate(timeout=PATIENCE_S)
        return took

    def processes(self) -> list[int]:
        """Every process of the local cluster."""
        papers = json.loads((self.state / "cluster" / "address.json").read_text())
        keeper: int = papers["keeper_pid"]
        return sorted({keeper, *family(keeper)})

    def close(self) -> None:
        self.manta("down")
        self.endpoint.close()


class Endpoint:
    """A model that refuses every question, at once or when it is let go."""

    def __init__(self) -> None:
        self.asked: list[float] = []
        """When each question came, by the monotonic clock."""
        self.held = threading.Event()
        self.held.set()
        self._news = threading.Condition()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_port}/v1"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        endpoint = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                with endpoint._news:
                    endpoint.asked.append(time.monotonic())
                    endpoint._news.notify_all()
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                endpoint.held.wait(PATIENCE_S)
                text = json.dumps({"error": {"message": "not today", "code": "refused"}}).encode()
                self.send_response(400)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None: ...  # noqa: A002 - its name

        return Handler

    def hears(self, count: int) -> bool:
        """Wait a second for so many questions to have come."""
        with self._news:
            return self._news.wait_for(lambda: len(self.asked) >= count, 1)

    def close(self) -> None:
        self.held.set()
        self._server.shutdown()
        self._server.server_close()
