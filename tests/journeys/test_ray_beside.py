"""A real Ray cluster with its dashboard runs beside: nothing inside a sandbox reaches it."""

import json
import socket
import stat
from collections.abc import Iterator
from pathlib import Path

import pytest

from actors.sandbox.local.bare import BareProvider
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.protocol import SandboxProvider, SandboxSpec
from tests.journeys.door import Door, family, title

pytestmark = [pytest.mark.ray, pytest.mark.slow]
_PROBE = """
import json, os, socket, sys
asked, reached = json.load(sys.stdin), []
for host, port in asked["ports"]:
    try:
        with socket.create_connection((host, port), 3): reached.append(f"port {port}")
    except OSError: pass
for path in asked["sockets"]:
    made = socket.socket(socket.AF_UNIX)
    made.settimeout(3)
    try: made.connect(path); reached.append(f"socket {path}")
    except OSError: pass
for path in asked["files"]:
    if os.path.lexists(path): reached.append(f"file {path}")
for pid in asked["processes"]:
    if os.path.exists(f"/proc/{pid}/exe") or os.path.exists(f"/proc/{pid}/stat"):
        reached.append(f"process {pid}")
reached += [f"variable {name}" for name in os.environ if name.startswith("RAY_")]
print(json.dumps(reached))
"""


def listening() -> Iterator[tuple[int, str]]:
    """Every listening TCP port of this machine, and its socket's inode."""
    for table in ("tcp", "tcp6"):
        for line in Path(f"/proc/net/{table}").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[3] == "0A":
                yield int(fields[1].rpartition(":")[2], 16), fields[9]


def held(pid: int) -> list[str]:
    """What a process holds open, as its descriptors' links tell."""
    try:
        return [str(link.readlink()) for link in Path(f"/proc/{pid}/fd").iterdir()]
    except OSError:
        return []


def own_address() -> str:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])


class Cluster:
    """What a running cluster can be reached by."""

    def __init__(self, door: Door) -> None:
        papers = json.loads((door.state / "cluster" / "address.json").read_text())
        self.members = [pid for pid in family(papers["keeper_pid"]) if title(pid)]
        links = {link for pid in self.members for link in held(pid)}
        inodes = {link[8:-1] for link in links if link.startswith("socket:[")}
        self.ports = sorted({port for port, inode in listening() if inode in inodes})
        named = {line.split()[-1] for line in _unix() if line.split()[6] in inodes}
        self.sockets = sorted(path for path in named if path.startswith("/"))
        self.files = sorted({str(Path(path).parent) for path in self.sockets})
        self.files += [str(door.state), str(door.state / "cluster" / "address.json")]
        self.files += [link for link in links if link.startswith("/dev/shm/") and there(link)]

    def asked(self) -> bytes:
        hosts = dict.fromkeys(("127.0.0.1", own_address()))
        return json.dumps(
            {
                "ports": [[host, port] for port in self.ports for host in hosts],
                "sockets": self.sockets,
                "files": self.files,
                "processes": self.members,
            }
        ).encode()


def _unix() -> list[str]:
    lines = Path("/proc/net/unix").read_text().splitlines()[1:]
    return [line for line in lines if len(line.split()) == 8]


def there(path: str) -> bool:
    return Path(path).exists()


async def reached(provider: SandboxProvider, cluster: Cluster) -> list[str]:
    sandbox = await provider.create(SandboxSpec(labels={"run": "ray-beside"}))
    result = await sandbox.exec(
        ["/usr/bin/python3", "-S", "-c", _PROBE], timeout_s=120, stdin=cluster.asked()
    )
    await sandbox.terminate()
    await provider.close()
    assert result.ok, result.stderr.decode()
    return json.loads(result.stdout)


async def test_no_port_socket_file_or_process_of_ray_is_reached_from_inside(
    door: Door, tmp_path: Path
) -> None:
    up = door.manta("up", "--json")
    assert up.code == 0, up.err
    cluster = Cluster(door)
    dashboard = int(up.of("up")["dashboard"].rpartition(":")[2].strip("/"))
    assert dashboard in cluster.ports
    assert len(cluster.ports) > 3, "the head, the dashboard and the agents listen"
    assert any("raylet" in path for path in cluster.sockets)
    assert any("plasma" in path for path in cluster.sockets)
    bare = await reached(BareProvider(tmp_path / "bare"), cluster)
    assert {f"port {port}" for port in cluster.ports} <= set(bare)
    assert {f"socket {path}" for path in cluster.sockets if _is_socket(path)} <= set(bare)
    assert {f"file {path}" for path in cluster.files} <= set(bare)
    assert any(line.startswith("process") for line in bare)
    assert await reached(LocalProvider(tmp_path / "local"), cluster) == []


def _is_socket(path: str) -> bool:
    return Path(path).exists() and stat.S_ISSOCK(Path(path).stat().st_mode)
