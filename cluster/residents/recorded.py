"""A recorded run's gateway: plays replies back and says so."""

from pathlib import Path

from actors.handles import GovernorHandle
from actors.models.governed import GovernedGateway
from actors.models.governor import Lane
from actors.models.metered import MeteredGateway
from actors.models.recording import read_recording
from actors.models.scripted import ScriptedGateway
from actors.models.speech import AudibleGateway, Speeches
from cluster.machines.finding import find
from cluster.telemetry.on_ray import RayMeter


async def open_recorded(recording: str, governor: str) -> AudibleGateway:
    """The replies of a recording file; what they cost then counts in the run's budget."""
    gateway = ScriptedGateway(read_recording(Path(recording)))
    governed = GovernedGateway(gateway, GovernorHandle(find(governor), governor), Lane("recording"))
    return AudibleGateway(MeteredGateway(governed, RayMeter()), Speeches())
