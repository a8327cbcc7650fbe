"""A stand-in cloud as a process of its own, for whole runs: `python -m tests.actors.sandbox.cloud
e2b|daytona DIRECTORY TOOLCHAIN...` prints the environment that leads to it as JSON, and serves."""

import asyncio
import json
import os
import signal
import sys
from pathlib import Path

from actors.sandbox.local.provider import LocalProvider
from tests.actors.sandbox.cloud.daytona_cloud import KEY as DAYTONA_KEY
from tests.actors.sandbox.cloud.daytona_cloud import DaytonaCloud
from tests.actors.sandbox.cloud.e2b_cloud import KEY as E2B_KEY
from tests.actors.sandbox.cloud.e2b_cloud import E2BCloud


async def serve(level: str, place: Path, toolchains: list[str]) -> None:
    machines = LocalProvider(place, toolchains=toolchains)
    cloud = E2BCloud(machines) if level == "e2b" else DaytonaCloud(machines)
    await cloud.open()
    leads = (
        {"E2B_API_URL": cloud.url, "E2B_SANDBOX_URL": cloud.url, "E2B_API_KEY": E2B_KEY}
        if level == "e2b"
        else {"DAYTONA_API_URL": f"{cloud.url}/api", "DAYTONA_API_KEY": DAYTONA_KEY}
    )
    sys.stdout.write(json.dumps(leads) + "\n")
    sys.stdout.flush()
    asked_to_leave = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, asked_to_leave.set)
    parent = os.getppid()
    while os.getppid() == parent:
        try:
            await asyncio.wait_for(asked_to_leave.wait(), 1.0)
            break
        except TimeoutError:
            continue
    left = [box.id for box in cloud.boxes.values()]
    made = [line for line in cloud.fate.seen if line in ("POST /v2/sandboxes", "POST /api/sandbox")]
    sys.stdout.write(json.dumps({"left": left, "made": len(made)}) + "\n")
    sys.stdout.flush()
    await cloud.close()
    await machines.close()


asyncio.run(serve(sys.argv[1], Path(sys.argv[2]), sys.argv[3:]))
