"""A delivered branch taken from a desk into a repository of this machine."""

import asyncio
from pathlib import Path

from actors.evidence import Evidence
from cluster.desk.protocol import Desk
from cluster.handover.handing import Handover, at_home
from cluster.runs.follow import make_branch
from orchestration.ids import RunId
from orchestration.messages import Delivery


async def fetch_branch(desk: Desk, run_id: RunId, repository: Path, name: str = "") -> Delivery:
    """Make a delivered branch in a repository, with its evidence as a git note.

    `name`: another one for the branch. The working tree, index, hooks and config stay untouched.

    Raises:
        NotFoundError: nothing was delivered.
        ConflictError: there is another branch of this name.
    """
    delivery, bundle = await desk.delivery(run_id)
    evidence = as_stored(await desk.evidence(run_id)).encode()
    place = await asyncio.to_thread(lambda: repository.expanduser().absolute())
    await make_branch(delivery, bundle, evidence, place, name or delivery.branch)
    return delivery


async def brought_home(desk: Desk, made: Handover, home: Path | None) -> Handover:
    """What was made of a delivery; its branch in `home` where nothing was made of it."""
    delivery = made.delivery
    if made.address or home is None or delivery is None or not delivery.branch:
        return made
    await fetch_branch(desk, delivery.run_id, home)
    return at_home(delivery, home)


def as_stored(evidence: Evidence) -> str:
    """Evidence as its run stored it, byte for byte."""
    return evidence.model_dump_json(indent=1)
