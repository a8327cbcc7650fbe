"""What models say right now, asked of the gateways of the cluster that this process is in."""

import asyncio
import logging
from contextlib import suppress

import ray
import ray.exceptions

from actors.handles import GatewayHandle
from actors.models.speech import Words
from actors.spawn import residents
from actors.tools.text import neutralise
from cluster.desk.overhearing import Doing, Speaking
from orchestration.errors import MantaError
from orchestration.ids import RunId

SHOWN = 100
"""Characters of a reply that people see, the latest."""
_log = logging.getLogger(__name__)


async def doing(run_id: RunId) -> Doing:
    """What models are saying in a run; nothing where no cluster runs, or nobody streams."""
    said: list[Words] = []
    try:
        found = await asyncio.to_thread(residents, "models") if ray.is_initialized() else []
        for name, actor in found:
            with suppress(MantaError):  # another build's, or just gone
                said += await GatewayHandle(actor, name).doing(run_id)
    except ray.exceptions.RayError as error:  # the cluster is going
        _log.debug("nobody is overheard: %r", error)
    return Doing(words=tuple(map(spoken, said)))


def spoken(words: Words) -> Speaking:
    """The end of what is said, on one line and harmless."""
    line = " ".join(neutralise(words.text).split())
    text = line if len(line) <= SHOWN else f"…{line[-SHOWN + 1 :]}"
    return Speaking(role=words.role, conversation=words.conversation, text=text)
