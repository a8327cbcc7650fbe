"""The governor's process: one for all gateways of a store. Holds no model library and no key."""

from actors.models.governor import LocalGovernor
from actors.models.ledger import Ledger
from cluster.finding import find_journal
from orchestration.clock import SystemClock


async def open_governor(checkpoints: str) -> LocalGovernor:
    """A governor whose ledger is read from the store behind the actor `checkpoints`.

    With "" that is the PostgreSQL of the node's environment.
    """
    clock = SystemClock()
    ledger = Ledger(await find_journal(checkpoints), clock)
    return LocalGovernor(ledger.account, clock)
