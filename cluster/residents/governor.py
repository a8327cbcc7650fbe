"""The governor's process: one for all gateways of a store. Holds no model library and no key."""

from actors.models.governor import LocalGovernor
from actors.models.ledger import Ledger
from cluster.machines.finding import find_journal
from cluster.telemetry.on_ray import RayMeter
from cluster.telemetry.relay import Parcel, unpack
from orchestration.clock import SystemClock


class MeasuringGovernor(LocalGovernor):
    """Also adds up the figures of processes that come and go: its own stays."""

    meter = RayMeter()

    async def measured(self, parcel: Parcel) -> None:
        """Count what another process has measured."""
        unpack(parcel, self.meter)


async def open_governor(checkpoints: str) -> MeasuringGovernor:
    """A governor whose ledger is read from the store behind the actor `checkpoints`.

    With "" that is the PostgreSQL of the node's environment.
    """
    clock = SystemClock()
    ledger = Ledger(await find_journal(checkpoints), clock)
    return MeasuringGovernor(ledger.account, clock)
