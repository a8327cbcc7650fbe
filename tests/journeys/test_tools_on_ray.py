"""A person's MCP servers on real Ray: one process has them, and it alone has their secret."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.actors.mcp.test_host import RUDE
from tests.journeys.conftest import recorded
from tests.journeys.door import Door, family

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]
SECRET = "tok-known-to-one-0815"
CALL = """
import asyncio, sys
from pathlib import Path
from actors.handles import ServersHandle
from cluster.machines.connection import connect
from cluster.machines.finding import find
from cluster.machines.local_cluster import cluster_status

async def main():
    name = sys.argv[2]
    servers = ServersHandle(find(name), name, "a run")
    offer = await servers.offer("coder")
    print([tool.name for tool in offer.tools][:1], offer.troubles)
    print((await servers.call("coder", "desk", "secret", {})).text.partition(",")[0])
    print((await servers.call("reviewer", "desk", "secret", {})).text)

connect(cluster_status(Path(sys.argv[1])))
asyncio.run(main())
"""


def test_one_process_runs_them_and_alone_knows_their_secret(
    door: Door, wordkit: Path, tmp_path: Path
) -> None:
    mark = tmp_path / "state"
    desk = {
        "command": sys.executable,
        "args": [str(RUDE), "", str(mark)],
        "env": {"TOKEN": "${DESK_TOKEN}"},
    }
    file = tmp_path / "mcp.json"
    file.write_text(json.dumps({"mcpServers": {"desk": desk}}))
    unset = door.manta(*recorded(wordkit, "--mcp", str(file)))
    assert unset.code == 2
    assert "the server 'desk' needs DESK_TOKEN, which is not set" in unset.err

    running = door.start(
        *recorded(wordkit, "--run-id", "with-tools", "--mcp", str(file)),
        environment={"DESK_TOKEN": SECRET},
    )
    done = running.rest()
    assert done.code == 0, done.err

    papers = json.loads((door.state / "cluster" / "address.json").read_text())
    alive = family(papers["keeper_pid"])
    knowing = {pid: line for pid in alive if (line := _told(pid, SECRET)) is not None}
    assert knowing
    assert all(str(RUDE) in line for line in knowing.values()), knowing
    assert _files_with(door.state, SECRET) == []
    (keys,) = _files_with(Path(papers["private_dir"]), SECRET)
    assert keys.name.startswith("servers-")
    assert keys.stat().st_mode & 0o777 == 0o600
    assert SECRET not in done.out + done.err

    assert len(door.processes("ray::Tools")) == 1
    name = _actor_name(door)
    called = subprocess.run(
        [sys.executable, "-c", CALL, str(door.state), name],
        capture_output=True, text=True, check=True, timeout=120, env=door.environment, cwd="/",
    )  # fmt: skip
    assert called.stdout.splitlines()[-3:] == [
        "['echo'] ()",
        "my token is (hidden)",
        "the reviewer may not call secret of desk.",
    ]


def _told(pid: int, secret: str) -> str | None:
    """A process's command line if it was told the secret, by its environment or arguments."""
    try:
        told = Path(f"/proc/{pid}/environ").read_bytes() + Path(f"/proc/{pid}/cmdline").read_bytes()
        line = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
    except OSError:
        return None
    return line if secret.encode() in told else None


def _files_with(folder: Path, secret: str) -> list[Path]:
    found: list[Path] = []
    for path in folder.rglob("*"):
        try:
            if path.is_file() and not path.is_symlink() and secret.encode() in path.read_bytes():
                found.append(path)
        except OSError:
            continue
    return found


def _actor_name(door: Door) -> str:
    """The actor's name, as the setup of the run's players has it."""
    listed = subprocess.run(
        [sys.executable, "-c", NAMES, str(door.state)],
        capture_output=True, text=True, check=True, timeout=120, env=door.environment, cwd="/",
    )  # fmt: skip
    return next(line for line in listed.stdout.splitlines() if line.startswith("tools-"))


NAMES = """
import sys
from pathlib import Path
import ray
from cluster.machines.connection import connect
from cluster.machines.local_cluster import cluster_status
connect(cluster_status(Path(sys.argv[1])))
for each in ray.util.list_named_actors(all_namespaces=True):
    print(each["name"])
"""
