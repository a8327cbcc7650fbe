"""Our own deadlines and cancellations hold, whatever a vendor's SDK does with them."""

import asyncio
import time
from collections.abc import Callable

import pytest

from actors.sandbox.cloud.vendor import patient, said_by
from actors.sandbox.protocol import SandboxUnavailableError


async def stubborn(end: asyncio.Event) -> str:
    """A call that swallows its cancellation, as SDKs have been seen to do."""
    while not end.is_set():
        try:
            await end.wait()
        except asyncio.CancelledError:
            continue
    return "late"


@pytest.fixture
async def end() -> asyncio.Event:
    return asyncio.Event()


async def test_a_deadline_holds_for_a_call_that_will_not_be_cancelled(end: asyncio.Event) -> None:
    began = time.monotonic()
    with pytest.raises(SandboxUnavailableError, match="no answer within"):
        await patient(stubborn(end), 0.01, "s1")
    assert time.monotonic() - began < 1
    end.set()


async def test_a_cancellation_is_felt_at_once_by_who_asked(end: asyncio.Event) -> None:
    task = asyncio.create_task(patient(stubborn(end), 60, "s1"))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(task, 1)
    end.set()


async def test_an_answer_and_an_error_come_through() -> None:
    async def answers() -> int:
        return 7

    async def fails() -> int:
        raise ValueError("theirs")

    assert await patient(answers(), 1, "s1") == 7
    with pytest.raises(ValueError, match="theirs"):
        await patient(fails(), 1, "s1")


@pytest.mark.parametrize("wrap", [str, repr])
def test_no_key_is_told_in_an_errors_words(
    monkeypatch: pytest.MonkeyPatch, wrap: Callable[[str], str]
) -> None:
    monkeypatch.setenv("SOME_API_KEY", "k-123")
    assert "k-123" not in said_by(ValueError(wrap("bad key k-123!")), "SOME_API_KEY")
