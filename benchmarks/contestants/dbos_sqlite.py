"""DBOS on an SQLite file. It needs a newer SQLite than some systems have, so it brings one."""

import asyncio
import os
import sys
import threading

import pysqlite3

sys.modules["sqlite3"] = pysqlite3

from dbos import DBOS, SetWorkflowID  # noqa: E402 - after its SQLite is in place

from benchmarks.contestants.meter import (  # noqa: E402 - as above
    Job,
    Resumed,
    measured,
    number_of,
    payload,
    read_job,
)

GATED, WAITS_S = "gated", 0.3
resumed, is_recovered = Resumed(), threading.Event()


@DBOS.step()
def work(value: str, size: int) -> str:
    return payload(number_of(value) + 1, size)


@DBOS.step()
async def work_on_item(item: int, size: int) -> str:
    return payload(item, size)


@DBOS.workflow()
def chain(steps: int, size: int) -> int:
    value = payload(0, size)
    for _ in range(steps):
        value = work(value, size)
    return number_of(value)


@DBOS.workflow()
async def fan(steps: int, size: int) -> int:
    async with asyncio.TaskGroup() as group:
        found = [group.create_task(work_on_item(item, size)) for item in range(steps)]
    return len(found)


@DBOS.step()
def behind(value: str) -> str:
    resumed.reached()
    return value


@DBOS.workflow()
def gated() -> str:
    is_recovered.set()
    return behind(DBOS.recv("gate", timeout_seconds=120))


def play(job: Job) -> None:
    with SetWorkflowID(job.name):
        if job.work == "fan":
            assert asyncio.run(fan(job.steps, job.size)) == job.steps
        else:
            assert chain(job.steps, job.size) == job.steps


def suspend() -> None:
    """DBOS has no suspended state: the process is ended while its workflow waits."""
    with SetWorkflowID(GATED):
        DBOS.start_workflow(gated)
    is_recovered.wait()
    threading.Event().wait(WAITS_S)
    os._exit(0)


def resume() -> None:
    is_recovered.wait(60)
    threading.Event().wait(WAITS_S)  # it waits for the answer by now
    resumed.call()
    DBOS.send(GATED, "yes", "gate")
    DBOS.retrieve_workflow(GATED).get_result()
    resumed.report()


def main() -> None:
    job = read_job()
    DBOS(
        config={
            "name": "benchmark",
            "system_database_url": f"sqlite:///{job.directory}/dbos.db",
            "notification_listener_polling_interval_sec": job.poll_s,
            "log_level": "ERROR",
        }
    )
    DBOS.launch()
    if job.work == "suspend":
        suspend()
    elif job.work == "resume":
        resume()
    else:
        measured(play, DBOS.destroy, job)


if __name__ == "__main__":
    main()
