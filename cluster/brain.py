"""Whose replies a run gets: models, models being recorded, or a recording."""

from actors.models.routing import Routes
from orchestration.messages import Frozen


class Brain(Frozen):
    """Travels with the request, so that a resumed run thinks with the same models. Holds no key."""

    routes: Routes | None = None
    replay: str = ""
    """Path of a recording to play back instead of asking models."""
    record: str = ""
    """Path of a file to which replies are appended."""
