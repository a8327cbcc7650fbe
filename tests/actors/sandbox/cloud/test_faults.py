"""What the clouds do wrong costs time, or is told in our own words; nothing is done twice or lost.

Every case runs through the vendor's own SDK against its stand-in.
"""

import asyncio
import gc
import pickle  # noqa: TID251 - to see that a reference travels
import time
from collections.abc import AsyncGenerator, Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider

from actors.sandbox import opening
from actors.sandbox.cloud import command, remote
from actors.sandbox.local.provider import LocalProvider
from actors.sandbox.opening import connect_or_create, open_provider
from actors.sandbox.protocol import (
    QuotaExceededError,
    RateLimitedError,
    Sandbox,
    SandboxAuthError,
    SandboxError,
    SandboxLostError,
    SandboxProvider,
    SandboxSpec,
    SandboxUnavailableError,
    UnsupportedError,
)
from tests.actors.sandbox.cloud.daytona_cloud import KEY as DAYTONA_KEY
from tests.actors.sandbox.cloud.daytona_cloud import DaytonaCloud
from tests.actors.sandbox.cloud.e2b_cloud import KEY as E2B_KEY
from tests.actors.sandbox.cloud.e2b_cloud import E2BCloud
from tests.actors.sandbox.cloud.faults import Fault

pytestmark = pytest.mark.slow


class Hurry:
    """A clock on which waiting takes no time, and is remembered."""

    def __init__(self) -> None:
        self.waited: list[float] = []

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        self.waited.append(seconds)
        await asyncio.sleep(0)


@dataclass
class Sky:
    """One vendor: its stand-in, its key, and the requests that matter."""

    level: str
    key: str
    variable: str
    cloud: E2BCloud | DaytonaCloud
    clock: Hurry
    make: Callable[..., SandboxProvider]
    creates: str
    runs: str
    lists: str

    def disown(self, name: str) -> None:
        """Make a sandbox somebody else's."""
        box = self.cloud.boxes[name]
        labels = box.asked.labels if isinstance(self.cloud, DaytonaCloud) else box.metadata  # pyright: ignore
        labels.pop(remote.OURS)  # pyright: ignore


@pytest.fixture(params=["e2b", "daytona"])
async def sky(
    request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> AsyncGenerator[Sky]:
    machines = LocalProvider(tmp_path / "machines")
    level: str = request.param
    cloud = E2BCloud(machines) if level == "e2b" else DaytonaCloud(machines)
    await cloud.open()
    for variable in ("E2B_API_URL", "E2B_SANDBOX_URL"):
        monkeypatch.setenv(variable, cloud.url)
    monkeypatch.setenv("DAYTONA_API_URL", f"{cloud.url}/api")
    monkeypatch.setenv("E2B_API_KEY", E2B_KEY)
    monkeypatch.setenv("DAYTONA_API_KEY", DAYTONA_KEY)
    for variable in ("OTEL_ENABLED", "EXPERIMENTAL_OTEL_ENABLED", "TARGET", "HAPPY_EYEBALLS_DELAY"):
        monkeypatch.delenv(f"DAYTONA_{variable}", raising=False)
    clock = Hurry()
    plug = opening._plug(level)  # pyright: ignore[reportPrivateUsage]

    def make(**options: object) -> SandboxProvider:
        return plug(tmp_path, clock=clock, **options)

    if level == "e2b":
        lines = ("POST /v2/sandboxes", "POST /process.Process/Start", "GET /v2/sandboxes")
        yield Sky(level, E2B_KEY, "E2B_API_KEY", cloud, clock, make, *lines)
    else:
        lines = ("POST /api/sandbox", "/process/execute", "GET /api/sandbox")
        yield Sky(level, DAYTONA_KEY, "DAYTONA_API_KEY", cloud, clock, make, *lines)
    await cloud.close()
    await machines.close()
    gc.collect()  # what the SDK leaves of cancelled calls speaks up now, not in somebody's parser


@pytest.fixture
async def provider(sky: Sky) -> AsyncGenerator[SandboxProvider]:
    provider = sky.make()
    yield provider
    await provider.close()


@pytest.fixture
async def sandbox(provider: SandboxProvider) -> Sandbox:
    return await provider.create(SandboxSpec(labels={"run": "r1"}))


async def test_a_missing_key_names_where_to_get_one(
    sky: Sky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(sky.variable)
    with pytest.raises(SandboxAuthError, match=f"{sky.variable} is not set") as caught:
        await open_provider(sky.level, tmp_path)
    assert "https://" in caught.value.fix
    assert sky.cloud.fate.seen == []


async def test_a_wrong_key_is_told_once_and_not_repeated(
    sky: Sky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(sky.variable, "wrong-key-0123456789")
    with pytest.raises(SandboxUnavailableError, match="refuses the key"):
        await open_provider(sky.level, tmp_path)
    sky.cloud.fate.send(Fault("sandbox", "answer", 401, "bad key wrong-key-0123456789"))
    before = len(sky.cloud.fate.seen)
    provider = sky.make()
    with pytest.raises(SandboxAuthError) as caught:
        await provider.create(SandboxSpec())
    await provider.close()
    assert "wrong-key" not in str(caught.value)
    assert [line for line in sky.cloud.fate.seen[before:] if "socket.io" not in line] == [
        sky.creates
    ]


async def test_a_full_account_is_told_and_not_hammered(sky: Sky, provider: SandboxProvider) -> None:
    sky.cloud.fate.send(Fault(sky.creates, "answer", 403, "limit reached", times=9))
    with pytest.raises(QuotaExceededError, match="limit reached"):
        await provider.create(SandboxSpec())
    assert sky.cloud.fate.seen.count(sky.creates) == 1


async def test_a_rate_limit_is_waited_for(sky: Sky, provider: SandboxProvider) -> None:
    wait = {"Retry-After": "7" if sky.level == "daytona" else "0"}
    sky.cloud.fate.send(Fault(sky.creates, "answer", 429, "slow down", wait))
    assert (await (await provider.create(SandboxSpec())).exec("true", timeout_s=20)).ok
    assert sky.level == "e2b" or sky.clock.waited[0] == 7.0


async def test_a_rate_limit_that_stays_is_told(sky: Sky, provider: SandboxProvider) -> None:
    fault = Fault(sky.creates, "answer", 429, "slow down", {"Retry-After": "0"}, times=99)
    sky.cloud.fate.send(fault)
    with pytest.raises(RateLimitedError, match="fewer calls"):
        await provider.create(SandboxSpec())


@pytest.mark.parametrize("kind", ["answer", "reset", "lost"])
async def test_exactly_one_sandbox_is_made_whatever_becomes_of_the_answer(
    sky: Sky, provider: SandboxProvider, kind: str
) -> None:
    sky.cloud.fate.send(Fault(sky.creates, kind))  # pyright: ignore[reportArgumentType]
    sandbox = await provider.create(SandboxSpec(labels={"run": "r1"}))
    assert list(sky.cloud.boxes) == [sandbox.ref.id]
    assert (await sandbox.exec("true", timeout_s=20)).ok


async def test_a_cloud_that_hangs_is_given_up_on_and_tried_again(
    sky: Sky, provider: SandboxProvider, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(remote, "_READY_S", 2.0)
    sky.cloud.fate.send(Fault(sky.creates, "hang"))
    sandbox = await provider.create(SandboxSpec())
    assert list(sky.cloud.boxes) == [sandbox.ref.id]


@pytest.mark.parametrize("kind", ["answer", "reset", "lost", "hang"])
async def test_a_command_runs_exactly_once_whatever_becomes_of_the_answer(
    sky: Sky, sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    monkeypatch.setattr(command, "WAIT_S", 1.0)
    monkeypatch.setattr(command, "ANSWER_S", 2.0)
    sky.cloud.fate.send(Fault(sky.runs, kind, 500, times=2))  # pyright: ignore[reportArgumentType]
    result = await sandbox.exec("echo x >> log; wc -l < log", timeout_s=30)
    assert (result.ok, result.stdout) == (True, b"1\n")


async def test_a_stream_that_breaks_in_the_middle_loses_nothing(sky: Sky, sandbox: Sandbox) -> None:
    if isinstance(sky.cloud, E2BCloud):
        sky.cloud.cut_streams = 1
    else:
        sky.cloud.fate.send(Fault(sky.runs, "lost"))
    result = await sandbox.exec("seq 1 50000 | tee log | md5sum; wc -l < log", timeout_s=30)
    assert result.stdout.split()[-1] == b"50000"


async def test_written_stdin_is_taken_once_though_the_answer_is_lost(
    sky: Sky, sandbox: Sandbox
) -> None:
    process = await sandbox.spawn(["cat"])
    sky.cloud.fate.send(Fault(sky.runs, "lost"))
    await process.write(b"once\n")
    await process.close_stdin()
    result = await process.wait(timeout_s=20)
    assert result is not None
    assert result.stdout == b"once\n"


async def test_stdin_whose_writer_was_given_up_comes_once_before_what_is_written_next(
    sky: Sky, sandbox: Sandbox
) -> None:
    process = await sandbox.spawn(["cat"])
    sky.cloud.fate.send(Fault(sky.runs, "lost", times=99))
    with pytest.raises((TimeoutError, SandboxUnavailableError)):
        async with asyncio.timeout(0.5):
            await process.write(b"first\n")
    sky.cloud.fate.waiting.clear()
    await process.write(b"then\n")
    await process.close_stdin()
    result = await process.wait(timeout_s=20)
    assert result is not None
    assert result.stdout == b"first\nthen\n"


async def test_a_cloud_that_never_answers_is_said_to_be_away(sky: Sky, sandbox: Sandbox) -> None:
    sky.cloud.fate.send(Fault(sky.runs, "answer", 503, "maintenance", times=99))
    with pytest.raises(SandboxUnavailableError):
        await sandbox.exec("true", timeout_s=5)
    with pytest.raises(SandboxUnavailableError):
        await sandbox.read_file("f")


async def test_a_cloud_that_is_not_there_is_told(
    sky: Sky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("E2B_API_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("DAYTONA_API_URL", "http://127.0.0.1:9/api")
    monkeypatch.setenv("E2B_CONNECTION_RETRIES", "0")
    with pytest.raises(SandboxUnavailableError, match="does not work here"):
        await open_provider(sky.level, tmp_path)


async def test_a_sandbox_that_ended_elsewhere_is_lost_for_good(sky: Sky, sandbox: Sandbox) -> None:
    other = sky.make()
    assert [ref.id for ref in await other.sweep({"run": "r1"})] == [sandbox.ref.id]
    await other.close()
    for attempt in (
        sandbox.exec("true", timeout_s=5),
        sandbox.read_file("f"),
        sandbox.write_file("f", b"x" * 200_000),
        sandbox.set_ttl(60),
    ):
        with pytest.raises(SandboxLostError):
            await attempt
    await sandbox.terminate()


async def test_what_ended_behind_our_back_is_lost_to_who_connects_again(
    sky: Sky, provider: SandboxProvider, sandbox: Sandbox
) -> None:
    await sky.cloud.boxes.pop(sandbox.ref.id).machine.destroy()
    with pytest.raises(SandboxLostError):
        await provider.connect(sandbox.ref)
    again = await connect_or_create(provider, SandboxSpec(labels={"run": "r1"}))
    assert again.ref.id != sandbox.ref.id


async def test_what_is_not_ours_is_neither_found_nor_swept(
    sky: Sky, provider: SandboxProvider, sandbox: Sandbox
) -> None:
    sky.disown(sandbox.ref.id)
    assert await provider.find({}) == []
    assert await provider.sweep({}) == []
    assert list(sky.cloud.boxes) == [sandbox.ref.id]


async def test_more_sandboxes_than_a_page_holds_are_all_found(provider: SandboxProvider) -> None:
    made = {(await provider.create(SandboxSpec(labels={"run": "r1"}))).ref.id for _ in range(5)}
    assert {ref.id for ref in await provider.find({"run": "r1"})} == made


async def test_the_reference_travels_and_holds_no_secret(sky: Sky, sandbox: Sandbox) -> None:
    packed = pickle.dumps(sandbox.ref)
    assert sky.key.encode() not in packed
    assert pickle.loads(packed) == sandbox.ref
    assert sandbox.ref.labels == {"run": "r1"}


async def test_no_key_is_inside(sky: Sky, sandbox: Sandbox) -> None:
    seen = await sandbox.exec("env; cat /proc/*/environ /proc/*/cmdline", timeout_s=20)
    assert sky.key.encode() not in seen.stdout


async def test_while_it_is_paused_nothing_can_be_asked_and_then_all_goes_on(
    sky: Sky, provider: SandboxProvider, sandbox: Sandbox
) -> None:
    await sandbox.write_file("kept", b"1")
    process = await sandbox.spawn("while sleep 0.05; do echo tick; done")
    await sandbox.pause()
    await sandbox.pause()
    with pytest.raises(SandboxUnavailableError, match="paused"):
        await sandbox.exec("true", timeout_s=5)
    await sandbox.resume()
    await sandbox.resume()
    assert await sandbox.read_file("kept") == b"1"
    if provider.capabilities.pause_memory:
        assert b"tick" in await process.read(timeout_s=10)
    else:
        lost = await process.wait(timeout_s=10)
        assert lost is not None
        assert lost.ended == "lost"
    assert (await sandbox.exec("true", timeout_s=20)).ok


async def test_paused_by_one_handle_it_is_paused_for_all_and_connecting_resumes_it(
    sky: Sky, sandbox: Sandbox
) -> None:
    await sandbox.write_file("kept", b"1")
    other = sky.make()
    await (await other.connect(sandbox.ref)).pause()
    with pytest.raises(SandboxUnavailableError, match="resume it first"):
        await sandbox.exec("true", timeout_s=5)
    third = sky.make()
    assert await (await third.connect(sandbox.ref)).read_file("kept") == b"1"
    assert (await sandbox.exec("true", timeout_s=20)).ok
    await other.close()
    await third.close()


async def test_being_used_keeps_it_and_a_set_end_is_kept_to(
    sky: Sky, provider: SandboxProvider
) -> None:
    fixed = await provider.create(SandboxSpec(ttl_s=90))
    idle = await provider.create(SandboxSpec())
    other = sky.make()
    renewal = "/timeout" if sky.level == "e2b" else "/last-activity"
    assert (await (await other.connect(fixed.ref)).exec("true", timeout_s=20)).ok
    assert not [line for line in sky.cloud.fate.seen if renewal in line]
    assert (await (await other.connect(idle.ref)).exec("true", timeout_s=20)).ok
    assert [line for line in sky.cloud.fate.seen if renewal in line and idle.ref.id in line]
    box = sky.cloud.boxes[fixed.ref.id]
    assert getattr(box, "seconds", 90) == 90
    assert getattr(box, "ttl", 2) == 2
    await fixed.set_ttl(None)
    assert getattr(box, "seconds", 1800) == 1800
    assert getattr(box, "ttl", 0) == 0
    await other.close()


async def test_a_port_is_opened_to_whoever_has_the_endpoint(sandbox: Sandbox) -> None:
    endpoint = await sandbox.expose(8000, ttl_s=60)
    assert endpoint.url.startswith("https://8000-")
    assert endpoint.expires > time.time()


async def test_what_the_level_cannot_do_is_refused(provider: SandboxProvider) -> None:
    for spec in (SandboxSpec(egress=("pypi.org:443",)), SandboxSpec(snapshot="s")):
        with pytest.raises(UnsupportedError):
            await provider.create(spec)
    with pytest.raises(UnsupportedError):
        await (await provider.create(SandboxSpec())).snapshot()


async def test_an_image_without_what_we_need_is_told_and_leaves_no_sandbox(sky: Sky) -> None:
    provider = sky.make(image="without-python")
    with pytest.raises(SandboxError, match="no python3") as caught:
        await provider.create(SandboxSpec())
    assert "image with python3" in caught.value.fix
    assert sky.cloud.boxes == {}
    await provider.close()


async def test_an_unknown_image_is_told(sky: Sky) -> None:
    provider = sky.make(image="no-such-template")
    with pytest.raises(SandboxError, match="no-such-template") as caught:
        await provider.create(SandboxSpec())
    assert not isinstance(caught.value, SandboxLostError | SandboxUnavailableError)
    assert "MANTA_SANDBOX_IMAGE" in caught.value.fix
    await provider.close()


async def test_a_clock_that_jumps_ends_nothing_early_or_late(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    honest = time.time
    monkeypatch.setattr(time, "time", lambda: honest() + 10_000_000)
    assert (await sandbox.exec("sleep 0.2; echo x", timeout_s=20)).stdout == b"x\n"
    monkeypatch.setattr(time, "time", lambda: honest() - 10_000_000)
    assert (await sandbox.exec("sleep 60", timeout_s=0.2)).ended == "timeout"


async def test_a_command_whose_keeper_died_is_lost_not_forged(sandbox: Sandbox) -> None:
    result = await sandbox.exec("kill -9 $PPID; sleep 60", timeout_s=20)
    assert (result.ended, result.exit_code) == ("lost", None)


async def test_files_of_the_working_directory_decide_nothing(
    sky: Sky, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hostile = "DAYTONA_OTEL_ENABLED=true\nDAYTONA_API_KEY=theirs\nDAYTONA_TARGET=theirs\n"
    hostile += "E2B_API_KEY=theirs\nDAYTONA_HAPPY_EYEBALLS_DELAY=nonsense\n"
    (tmp_path / ".env").write_text(hostile)
    monkeypatch.chdir(tmp_path)
    provider = await open_provider(sky.level, tmp_path)
    assert (await (await provider.create(SandboxSpec())).exec("true", timeout_s=20)).ok
    await provider.close()
    assert not isinstance(trace.get_tracer_provider(), TracerProvider)
