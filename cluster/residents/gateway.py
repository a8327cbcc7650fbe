"""A model gateway's process: the only one that holds model keys and litellm."""

from pathlib import Path

from actors.models.gateway import ModelGateway
from actors.models.litellm import LitellmGateway
from actors.models.recording import RecordingGateway
from actors.models.routing import Routes
from cluster import keys as kept_keys


async def open_gateway(routes: str, keys: str, record: str) -> ModelGateway:
    """litellm with `routes` (JSON); keys from this node's environment or the file `keys`.

    With `record`, every reply is appended to that file.
    """
    if keys:
        kept_keys.adopt(Path(keys))
    gateway = LitellmGateway(Routes.model_validate_json(routes))
    return RecordingGateway(gateway, Path(record)) if record else gateway
