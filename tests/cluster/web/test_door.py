"""`manta web` as a process of its own."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Generator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from cluster.configuration.sources import variable_names

pytestmark = pytest.mark.slow


@contextmanager
def served(state: Path, *options: str) -> Generator[tuple[subprocess.Popen[str], dict[str, Any]]]:
    """The process, and the line it prints when it listens."""
    away = {*variable_names(), "RAY_ADDRESS"}
    environment = {name: value for name, value in os.environ.items() if name not in away}
    command = ["-m", "cluster.cli", "web", "--state-dir", str(state), "--json", *options]
    process = subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment | {"XDG_CONFIG_HOME": str(state)},
    )
    try:
        assert process.stdout is not None
        yield process, json.loads(process.stdout.readline())
    finally:
        process.kill()
        process.communicate()


def test_the_printed_address_lets_in_and_sigint_ends_it(tmp_path: Path) -> None:
    with served(tmp_path) as (process, told):
        assert re.fullmatch(r"http://127\.0\.0\.1:\d+", told["url"])
        with httpx.Client(base_url=told["url"]) as browser:
            assert browser.get("/").status_code == 401
            assert "No runs yet" in browser.get(told["enter"], follow_redirects=True).text
            bearer = {"authorization": f"Bearer {told['token']}"}
            assert browser.get("/api/v1/runs", headers=bearer).json()["runs"] == []
        process.send_signal(signal.SIGINT)
        out, errors = process.communicate(timeout=20)
    assert told["token"] not in out + errors


def test_listening_to_other_machines_warns(tmp_path: Path) -> None:
    with served(tmp_path, "--host", "0.0.0.0") as (process, told):
        assert told["url"].startswith("http://0.0.0.0:")
        process.terminate()
        assert "reached from other machines" in process.communicate(timeout=20)[1]


def test_a_port_in_use_is_one_sentence_and_a_fix(tmp_path: Path) -> None:
    with served(tmp_path) as (_, told):
        port = told["url"].rpartition(":")[2]
        with served(tmp_path, "--port", port) as (_, second):
            assert second["type"] == "error"
            assert "cannot listen" in second["what"]
