"""The guest as root, as it is at E2B: out of reach of the commands that it runs."""

import ast
import base64
import json
import os
import shutil
import subprocess
import zlib

import pytest

from actors.sandbox.cloud.guest_call import program
from actors.sandbox.commands.orders import walls
from actors.sandbox.guest.wire import Answer, Head, pack, unpack

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        os.geteuid() != 0 or not shutil.which("bwrap"), reason="needs root and bubblewrap"
    ),
]
LIMITS = {"file": 1_000_000, "output": 1_000_000}
BOX = [
    "bwrap", "--unshare-pid", "--unshare-net", "--die-with-parent", "--proc", "/proc",
    "--dev", "/dev", "--ro-bind", "/usr", "/usr", "--symlink", "usr/bin", "/bin",
    "--symlink", "usr/lib", "/lib", "--symlink", "usr/lib64", "/lib64",
    "--ro-bind", "/etc/passwd", "/etc/passwd", "--perms", "1777", "--tmpfs", "/tmp",
]  # fmt: skip


def asked(*calls: tuple[Head, bytes]) -> list[Answer]:
    """What the guest answers to calls, one after the other, in a fresh place."""
    lines = [
        f"({program()} {pack({'nonce': f'n{number}', **head}, blob).decode()})"
        for number, (head, blob) in enumerate(calls)
    ]
    done = subprocess.run(
        [*BOX, "bash", "-c", "\n".join(lines)], capture_output=True, text=True, check=False
    )
    found = [line.split(":")[2] for line in done.stdout.splitlines() if line.startswith("manta:")]
    assert len(found) == len(calls), done.stderr
    return [unpack(line.encode()) for line in found]


def prepared() -> tuple[Head, bytes]:
    return {
        "op": "prepare",
        "programs": [],
        "spec": {"env": {}, "limits": LIMITS, "walls": walls(1_000_000, 40)},
    }, b""


def command(script: str, name: str = "c1") -> tuple[Head, bytes]:
    return {
        "op": "start", "id": name, "argv": ["bash", "-c", script], "cwd": ".", "env": {},
        "kept": 10_000, "heard": None, "eof": True, "timeout": 20, "unheard": 20, "linger": 20,
        "listen": 0, "wait": 20,
    }, b""  # fmt: skip


def test_commands_run_as_somebody_who_can_gain_nothing() -> None:
    script = "id -u; grep NoNewPrivs /proc/self/status; touch /workspace/mine; ls -n /workspace"
    _, (head, said) = asked(prepared(), command(script))
    assert head["end"]["code"] == 0, said
    uid, privileges, *_ = said.decode().splitlines()
    assert int(uid) >= 1000
    assert privileges.split() == ["NoNewPrivs:", "1"]
    assert f" {uid} " in said.decode().splitlines()[-1]


def test_a_command_reaches_neither_its_keeper_nor_what_was_asked_for() -> None:
    script = "kill -9 $PPID; ls /tmp/.manta-0; cat /proc/$PPID/environ; echo alive; exit 7"
    _, (head, said) = asked(prepared(), command(script))
    assert (head["end"]["ended"], head["end"]["code"]) == ("exited", 7)
    assert said.decode().splitlines()[0] == "alive"
    assert said.count(b"Permission denied") + said.count(b"not permitted") == 3


def test_a_fork_bomb_is_held_and_dead_at_its_end() -> None:
    bomb = "import os\nwhile True:\n try: os.fork()\n except OSError: pass"
    late = ({**command(f"python3 -S -c '{bomb}'")[0], "timeout": 2}, b"")
    _, (head, _), (after, said) = asked(
        prepared(), late, command("ls -d /proc/[0-9]* | wc -l", "2")
    )
    assert head["end"]["ended"] == "timeout"
    assert (after["end"]["code"], int(said) < 12) == (0, True)


def test_files_are_written_as_the_workspaces_owner_through_no_link_out() -> None:
    calls = [
        prepared(),
        command("ln -s /tmp out; ln -s /etc/passwd secret"),
        ({"op": "write", "path": "d/f", "mode": 0o640}, b"x"),
        command("stat -c '%u %a' d/f; id -u", "c2"),
        ({"op": "write", "path": "out/f", "mode": 0o644}, b"x"),
        ({"op": "read", "path": "secret", "offset": 0, "limit": 9}, b""),
    ]
    answers = asked(*calls)
    owner, own = answers[3][1].decode().splitlines()
    assert owner == f"{own} 640"
    assert [answer["refused"] for answer, _ in answers[4:]] == ["outside", "outside"]


def test_a_command_that_was_ended_before_it_began_never_begins() -> None:
    kill: tuple[Head, bytes] = ({"op": "kill", "id": "c1"}, b"")
    answers = asked(
        prepared(),
        kill,
        command("touch ran"),
        ({"op": "entries", "path": ".", "depth": 1, "limit": 9}, b""),
    )
    assert answers[2][0]["end"]["ended"] == "cancelled"
    assert answers[3][0]["found"] == []


def test_the_same_command_asked_for_twice_runs_once() -> None:
    once = command("echo x >> log; sleep 0.1; wc -l < log")
    _, first, second = asked(prepared(), once, once)
    assert first[1] == second[1] == b"1\n"


def test_it_is_written_in_the_python_that_images_have() -> None:
    """3.9 is promised; and it must fit into one argument beside a request."""
    sources = json.loads(zlib.decompress(base64.b64decode(program().split('"')[1])))
    for name, text in sources:
        ast.parse(text, name, feature_version=(3, 9))
    assert len(program()) < 20_000
