"""A model gateway's process: the only one that holds model keys and litellm."""

from pathlib import Path

from actors.handles import GovernorHandle
from actors.models.litellm import LitellmGateway
from actors.models.metered import MeteredGateway
from actors.models.recording import RecordingGateway
from actors.models.routing import Routes
from actors.models.speech import AudibleGateway
from cluster.configuration import keys as kept_keys
from cluster.machines.finding import find
from cluster.telemetry.on_ray import RayMeter


async def open_gateway(
    routes: str, keys: str, record: str, governor: str, number: int
) -> AudibleGateway:
    """litellm with `routes` (JSON); keys from this node's environment or the file `keys`.

    Every call asks the actor `governor` first. With `record`, every reply is appended to that
    file. `number` tells replicas apart.
    """
    del number
    if keys:
        kept_keys.adopt(Path(keys))
    gateway = LitellmGateway(
        Routes.model_validate_json(routes), governor=GovernorHandle(find(governor), governor)
    )
    kept = RecordingGateway(gateway, Path(record)) if record else gateway
    return AudibleGateway(MeteredGateway(kept, RayMeter()), gateway.speeches)
