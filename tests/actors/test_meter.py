"""The table of what is measured, and where the players' hands tell a meter."""

import pytest

from actors.memory import RecallReport
from actors.memory_handle import MemoryHandle
from actors.meter import ALL, LEASE_WAIT, TURNS, Count, InMemoryMeter, Level, Spread
from actors.pool import Pool
from orchestration.errors import WorkerLostError


def test_every_metric_has_one_name_of_its_own_and_says_what_it_is() -> None:
    names = [metric.name for metric in ALL]
    assert len(set(names)) == len(names)
    assert all(metric.about.endswith(".") for metric in ALL)
    assert all(isinstance(metric, Count | Level | Spread) for metric in ALL)
    assert {metric.name.endswith("_seconds") for metric in ALL if isinstance(metric, Spread)} == {
        True
    }


def test_no_tag_names_a_run_a_task_or_a_path() -> None:
    tags = {tag for metric in ALL for tag in metric.tags}
    assert tags == {
        "status", "state", "outcome", "step", "gate", "verdict", "what", "role", "level", "ended",
        "model", "kind",
    }  # fmt: skip


def test_tags_that_are_not_the_metrics_own_are_refused() -> None:
    meter = InMemoryMeter()
    with pytest.raises(ValueError, match="role"):
        meter.add(TURNS, role="coder", run="r1")


async def _make(number: int) -> int:
    return number


async def _end(_: int) -> None: ...


async def test_the_wait_for_a_worker_is_told_by_role() -> None:
    meter = InMemoryMeter()
    pool = Pool(_make, _end, limit=1, meter=meter, role="coder")
    async with pool.lease():
        pass
    assert len(meter.spreads[LEASE_WAIT.name, ("coder",)]) == 1


async def test_a_worker_that_died_is_a_recovery_and_one_of_a_closed_pool_is_not() -> None:
    meter = InMemoryMeter()
    pool = Pool(_make, _end, limit=1, meter=meter, role="coder")

    async def die(*, closed: bool) -> None:
        async with pool.lease():
            if closed:
                await pool.close()
            raise WorkerLostError("coder-1 died")

    with pytest.raises(WorkerLostError):
        await die(closed=False)
    assert meter.counts["recoveries", ("worker",)] == 1
    with pytest.raises(WorkerLostError):
        await die(closed=True)
    assert meter.counts["recoveries", ("worker",)] == 1


class Recalling(MemoryHandle):
    """Memory's handle without an actor behind it."""

    async def _ask(self, verb: str, *arguments: object, again: bool = True, **named: object):
        if self._recall_s < 1:
            raise WorkerLostError("memory died")
        return RecallReport()


async def test_recall_is_told_by_whether_memory_answered() -> None:
    meter = InMemoryMeter()
    await Recalling(None, "memory", meter=meter).recall("r", "q")
    await Recalling(None, "memory", recall_s=0.5, meter=meter).recall("r", "q")
    assert sorted(meter.spreads) == [
        ("recall_seconds", ("answered",)),
        ("recall_seconds", ("missed",)),
    ]
