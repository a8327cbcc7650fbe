"""The review page as a Serve application, on a real cluster."""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from cluster.web.access import TOKEN_FILE

pytest.importorskip("ray.serve", reason="ray[serve] is not installed")
pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(300)]
ENVIRONMENT = os.environ | {"MANTA_CPUS": "4", "MANTA_START_TIMEOUT_S": "180"}
SERVE = """
import socket, sys
from pathlib import Path
from ray import serve
from cluster.machines.connection import connect
from cluster.machines.local_cluster import cluster_status
from cluster.web.serving import Wanted, app

connect(cluster_status(Path(sys.argv[1])))
with socket.socket() as free:
    free.bind(("127.0.0.1", 0))
    port = free.getsockname()[1]
serve.start(http_options={"host": "127.0.0.1", "port": port})
serve.run(app(Wanted(url="https://manta.example.org")))
print(port, flush=True)
sys.stdin.readline()
serve.shutdown()
"""


@pytest.fixture
def state(tmp_path: Path) -> Iterator[Path]:
    """A state directory with a cluster."""
    manta(tmp_path, "up")
    yield tmp_path
    manta(tmp_path, "down")


def manta(state: Path, command: str) -> None:
    arguments = [sys.executable, "-m", "cluster.cli", command, "--state-dir", str(state)]
    subprocess.run(arguments, env=ENVIRONMENT, check=True, timeout=240)


def test_served_by_ray_it_lets_in_by_token_streams_and_keeps_strangers_out(state: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", SERVE, str(state)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stdout is not None
        port = next(line for line in process.stdout if line.strip().isdigit()).strip()
        token = (state / TOKEN_FILE).read_text()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as browser:
            assert browser.get("/").status_code == 401
            foreign = browser.get("/", headers={"host": "evil.example"})
            assert foreign.status_code == 403
            ours = browser.get("/", headers={"host": "manta.example.org"})
            assert ours.status_code == 401
            page = browser.get("/enter", params={"token": token}, follow_redirects=True)
            assert "No runs yet" in page.text
            assert "default-src 'none'" in page.headers["content-security-policy"]
            bearer = {"authorization": f"Bearer {token}"}
            assert browser.get("/api/v1/runs", headers=bearer).json()["runs"] == []
            told = browser.get("/api/v1/runs/nobody/events/stream", headers=bearer)
            assert (told.status_code, set(json.loads(told.text)) >= {"what", "fix"}) == (404, True)
        process.communicate("\n", timeout=60)
        assert process.returncode == 0
    finally:
        process.kill()
        process.communicate()
