"""A recorded run's gateway: plays replies back and says so."""

from pathlib import Path

from actors.models.recording import read_recording
from actors.models.scripted import ScriptedGateway


async def open_recorded(recording: str) -> ScriptedGateway:
    """The replies of a recording file."""
    return ScriptedGateway(read_recording(Path(recording)))
