"""A shepherd's last words are told from a command's own, however they arrive."""

import json
import subprocess
import sys

import pytest

from actors.sandbox.commands.orders import INTERPRETER, SHEPHERD, Order, ShepherdWire
from actors.sandbox.commands.process import Verdict
from actors.sandbox.protocol import SandboxLimits

_ORDER = Order(["true"], "/", {"PATH": "/usr/bin:/bin"}, SandboxLimits())


def token_of(wire: ShepherdWire) -> bytes:
    return json.loads(wire.order(_ORDER))["token"].encode()


@pytest.mark.parametrize("size", [1, 2, 7, 31, 32, 33, 1000])
def test_last_words_are_cut_out_wherever_the_stream_is_torn(size: int) -> None:
    wire = ShepherdWire()
    token = token_of(wire)
    own = b"oops " + token[:20] + b" almost " + token[:-1] + b"\n"
    stream = b"a warning" + token + own + token + b'{"code": 3}'
    parts = [stream[at : at + size] for at in range(0, len(stream), size)]
    assert b"".join(wire.incoming("stderr", part) for part in parts) == own
    assert wire.verdict() == Verdict("exited", 3)
    assert wire.preface == b"a warning"


def test_before_the_shepherd_speaks_all_words_are_the_engines() -> None:
    wire = ShepherdWire()
    assert wire.incoming("stderr", b"no such container") == b""
    assert (wire.begun, wire.preface, wire.verdict()) == (False, b"no such container", None)
    wire.incoming("stderr", token_of(wire))
    assert wire.begun


def test_stdout_is_never_listened_to() -> None:
    wire = ShepherdWire()
    forged = token_of(wire) + b'{"code": 0}'
    assert wire.incoming("stdout", forged) == forged
    assert wire.verdict() is None


@pytest.mark.parametrize(
    ("said", "verdict"),
    [
        (b'{"signal": 11}', Verdict("signaled", None, 11)),
        (b"{}", Verdict("cancelled")),
        (b'{"code": ', None),
        (b"", None),
    ],
)
def test_words_become_a_verdict(said: bytes, verdict: Verdict | None) -> None:
    wire = ShepherdWire()
    wire.incoming("stderr", 2 * token_of(wire) + said)
    assert wire.verdict() == verdict


def test_input_is_framed_and_its_end_is_no_end_of_the_pipe() -> None:
    wire = ShepherdWire()
    assert wire.outgoing(b"abc") == b"\0\0\0\3abc"
    assert wire.outgoing(b"") == b""
    assert wire.end() == b"\0\0\0\0"


def shepherd(stdin: bytes) -> subprocess.CompletedProcess[bytes]:
    program = [sys.executable, *INTERPRETER[1:], str(SHEPHERD), "run"]
    return subprocess.run(program, input=stdin, capture_output=True, check=False, env={})


def test_a_shepherd_feeds_its_command_and_says_how_it_ended() -> None:
    wire = ShepherdWire()
    order = Order(["sh", "-c", "wc -c; exit 7"], "/", {"PATH": "/usr/bin:/bin"}, SandboxLimits())
    frames = wire.outgoing(wire.order(order)) + wire.outgoing(b"x" * 300_000) + wire.end()
    with subprocess.Popen(
        [sys.executable, *INTERPRETER[1:], str(SHEPHERD), "run"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env={},
    ) as process:
        assert process.stdin
        assert process.stdout
        assert process.stderr
        process.stdin.write(frames)
        process.stdin.flush()
        assert process.stdout.read().strip() == b"300000"
        assert wire.incoming("stderr", process.stderr.read()) == b""
    assert wire.verdict() == Verdict("exited", 7)


def test_a_shepherd_whose_order_never_comes_does_nothing() -> None:
    wire = ShepherdWire()
    whole = wire.outgoing(wire.order(_ORDER))
    for torn in (b"", whole[:3], whole[:-1]):
        done = shepherd(torn)
        assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_whoever_hangs_up_ends_the_command() -> None:
    wire = ShepherdWire()
    order = Order(["sleep", "600"], "/", {"PATH": "/usr/bin:/bin"}, SandboxLimits())
    done = shepherd(wire.outgoing(wire.order(order)))
    wire.incoming("stderr", done.stderr)
    assert wire.verdict() == Verdict("cancelled")
