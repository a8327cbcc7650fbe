"""Commands of the person's own when a run waits or ends: a message, a sound, a ticket.

A hook is an argument list, never a shell line. What happened is on its stdin as JSON; `MANTA_RUN`
and `MANTA_HOOK` name run and moment. It gets no model's key, has half a minute, and whatever
becomes of it never changes a run. The door that follows a run calls them, and so does a hall.
"""

import asyncio
import contextlib
import json
import os
import signal
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Literal, get_args

from cluster.configuration import keys
from cluster.desk.protocol import Desk
from cluster.desk.wire import RunDetail
from orchestration.errors import MantaError
from orchestration.ids import RunId

Moment = Literal["waiting", "delivered", "failed", "cancelled"]
Hooks = Mapping[Moment, tuple[str, ...]]
MOMENTS: tuple[Moment, ...] = get_args(Moment)
TIMEOUT_S = 30.0
LOOK_S = 5.0
WATCHED = 200
"""Runs that a hall keeps an ear on: the newest."""
_OF: dict[str, Moment] = {
    "suspended": "waiting",
    "done": "delivered",
    "failed": "failed",
    "dead-letter": "failed",
    "cancelled": "cancelled",
}


async def ring(hooks: Hooks, detail: RunDetail, complain: Callable[[str], None]) -> None:
    """Call the hook of how a run stands now, if there is one. `complain` hears what went wrong."""
    moment = _OF.get(detail.run.status)
    if moment is None or not (command := hooks.get(moment)):
        return
    trouble = await _called(command, moment, detail)
    if trouble:
        complain(f"the hook for {moment} ({Path(command[0]).name}) {trouble}")


async def _called(command: tuple[str, ...], moment: Moment, detail: RunDetail) -> str:
    """What went wrong, or nothing."""
    try:
        process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.DEVNULL,
            env=_environment() | {"MANTA_RUN": detail.run.run_id, "MANTA_HOOK": moment},
            start_new_session=True,
        )
    except OSError as error:
        return f"cannot be started: {error.strerror or error}"
    try:
        await asyncio.wait_for(process.communicate(_told(moment, detail)), TIMEOUT_S)
    except TimeoutError:
        return f"did not end within {TIMEOUT_S:.0f} seconds"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        await process.wait()
    return f"ended with exit code {process.returncode}" if process.returncode else ""


def _environment() -> dict[str, str]:
    """Ours without the keys; where a proxy is may be known."""
    secret = {name for each in keys.PURPOSES for name in keys.select(os.environ, each)}
    kept = {name for name in secret if name.upper().endswith("_PROXY")}
    return {name: os.environ[name] for name in os.environ if name not in secret - kept}


def _told(moment: Moment, detail: RunDetail) -> bytes:
    told = {"moment": moment, **detail.model_dump(mode="json", exclude={"tasks", "decisions"})}
    return json.dumps(told).encode()


class Bell:
    """Rings for all runs of a desk, from now on."""

    def __init__(self, desk: Desk, hooks: Hooks, complain: Callable[[str], None]) -> None:
        self._desk, self._hooks, self._complain = desk, hooks, complain
        self._known: dict[str, tuple[str, int]] | None = None

    async def keep(self, pause: Callable[[float], Awaitable[None]] = asyncio.sleep) -> None:
        """Listen, for as long as the hall is open."""
        while self._hooks:
            with contextlib.suppress(MantaError):
                await self.listen()
            await pause(LOOK_S)

    async def listen(self) -> None:
        """Ring for every run that came to rest since the last time. The first time only looks."""
        runs = (await self._desk.runs(limit=WATCHED)).runs
        before = self._known
        self._known = {run.run_id: (run.status, run.seq) for run in runs}
        if before is None:
            return
        for run in runs:
            if run.status in _OF and before.get(run.run_id) != (run.status, run.seq):
                await ring(self._hooks, await self._desk.run(RunId(run.run_id)), self._complain)
