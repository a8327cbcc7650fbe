"""The recorded demo on three Ray nodes of this machine, one of which loses its power on the way.

    .venv/bin/python examples/three_nodes.py

No key, no database, no other machine is needed: models' replies are a recording, and the runs are
kept in SQLite on the head. Every command is printed before it is run; on real machines they are
the same without `--node-ip-address` and `--temp-dir`. `docs/clusters.md` says what survives what.
"""

import json
import os
import secrets
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

from cluster.machines.processes import end, family, is_alive

BIN = Path(sys.executable).parent
SMALL = ["--block", "--object-store-memory=83886080", "--disable-usage-stats"]
ANY_PORTS = ["--min-worker-port=0", "--max-worker-port=0", "--dashboard-agent-listen-port=0"]
HEAD = "127.0.0.11:6381"
Nodes = dict[str, "subprocess.Popen[bytes]"]


def main() -> int:
    place = Path(tempfile.mkdtemp(prefix="three-", dir="/tmp"))
    token = place / "token"
    token.touch(mode=0o600)
    token.write_text(secrets.token_hex(32))
    kept = {name: os.environ[name] for name in ("PATH", "HOME", "TERM") if name in os.environ}
    shared = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN_PATH": str(token)}
    print("\n".join(f"export {name}={value}" for name, value in shared.items()))
    nodes: Nodes = {}
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, place, ignore_errors=True)
        stack.callback(lambda: [cut(node) for node in nodes.values()])
        head = ["--head", f"--port={HEAD.rpartition(':')[2]}", "--include-dashboard=false"]
        for number, (name, options) in enumerate(
            {
                "head": [*head, "--num-cpus=1"],
                "a": [f"--address={HEAD}", "--num-cpus=2", "--labels=pool=agents"],
                "b": [f"--address={HEAD}", "--num-cpus=2", "--labels=pool=agents"],
            }.items(),
            start=11,
        ):
            own = [f"--node-ip-address=127.0.0.{number}", f"--temp-dir={place / name}"]
            command = [str(BIN / "ray"), "start", *options, *own, *SMALL, *ANY_PORTS]
            nodes[name] = start(command, kept | shared, place / f"{name}.log")
        # Agents stay off the head: it keeps the runs.
        told = kept | shared | {"MANTA_WORKERS_ON": "pool=agents", "MANTA_ADDRESS": HEAD}
        return play([str(BIN / "manta"), "demo", "--json"], told, nodes, place)


def start(command: list[str], environment: dict[str, str], log: Path) -> "subprocess.Popen[bytes]":
    """A node in the background, once it is part of the cluster."""
    print(f"\n$ {shlex.join(command)} &", flush=True)
    with log.open("wb") as out:
        node = subprocess.Popen(
            command, env=environment, stdout=out, stderr=out, start_new_session=True, cwd="/"
        )
    while "Ray runtime started" not in log.read_text():
        if node.poll() is not None:
            raise SystemExit(log.read_text())
        time.sleep(0.2)
    return node


def play(command: list[str], environment: dict[str, str], nodes: Nodes, place: Path) -> int:
    """Follow a run, and cut the power of the node on which a coder has just written files."""
    told = environment | {"MANTA_STATE_DIR": str(place / "state")}
    print(f"\n$ MANTA_WORKERS_ON=pool=agents manta demo --address {HEAD}\n", flush=True)
    lost = ""
    with subprocess.Popen(command, env=told, stdout=subprocess.PIPE, text=True) as run:
        assert run.stdout is not None
        for event in map(json.loads, run.stdout):
            tell(event)
            wrote = event.get("step") == "write_code" and event.get("status") == "results"
            if wrote and not lost:
                lost = next(name for name in ("a", "b") if coders(nodes[name]))
                print(f"\n*** node {lost} loses its power: SIGKILL to all of it ***\n", flush=True)
                cut(nodes[lost])
    print(f"\nexit code {run.returncode}; node {lost or '-'} was lost on the way")
    return run.returncode


def coders(node: "subprocess.Popen[bytes]") -> list[int]:
    """Process ids of the coders on a node, by their titles."""
    titles = {pid: Path(f"/proc/{pid}/cmdline").read_bytes() for pid in family(node.pid)}
    return [pid for pid, title in titles.items() if b"ray::Coder" in title or b"/write_" in title]


def cut(node: "subprocess.Popen[bytes]") -> None:
    """End every process of a node at once, and none of another's."""
    end(lambda: {p for p in family(node.pid) | {node.pid} if is_alive(p)}, grace_s=0)
    node.wait()


def tell(event: dict[str, str]) -> None:
    """What matters of an event, on a line."""
    facts = [str(event[name]) for name in ("who", "step", "status", "text") if event.get(name)]
    if event.get("kind") in {"turn", "note", "run"} or event["type"] in {"delivered", "failed"}:
        words = facts or [event.get("branch", ""), event.get("what", "")]
        print(f"  {event.get('kind', event['type'])}: {' '.join(words)[:110]}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
