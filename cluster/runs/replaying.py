"""Playing a run again from its start: its replies become a recording, its request a new one."""

import asyncio
from collections.abc import Mapping
from pathlib import Path

from actors.models.recording import read_recording, write_recording
from actors.models.retelling import retold
from cluster.brain import Brain
from cluster.intake import Order
from cluster.settings import Settings
from orchestration.errors import NotFoundError, UsageError
from orchestration.ids import RunId, new_run_id
from orchestration.messages import FeatureRequest
from orchestration.stories import request_of
from orchestration.workflow.journal import Journal


def about(request: FeatureRequest) -> dict[str, str]:
    """What a recording says of the run that it was made of, so that it can be played by itself."""
    return {
        "run": request.run_id,
        "request": request.text,
        "repository": request.origin,
        "commit": request.base.commit,
    }


def order_of(file: Path, repository: str | None, run_id: str | None) -> Order:
    """A recording's own request, of the commit that it was made on.

    Raises:
        UsageError: it does not say what was asked, or its repository is not here.
    """
    told = read_recording(file).about
    if not told.get("request"):
        raise UsageError(
            f"{file} does not say what was asked, as recordings of older versions",
            f"say it: manta run REQUEST --repo PATH --replay {file}",
        )
    return Order(
        text=told["request"],
        repository=repository or _here(file, told),
        ref=told.get("commit") or "HEAD",
        run_id=run_id,
        replay=file,
    )


def _here(file: Path, told: Mapping[str, str]) -> str:
    """The repository that a recording was made of."""
    origin = told.get("repository", "")
    if not origin or (Path(origin).is_absolute() and not Path(origin).exists()):
        raise UsageError(
            f"the repository of {file} is not here{f': {origin}' if origin else ''}",
            "name a copy of it: --repo PATH",
        )
    return origin


async def again(
    journal: Journal, settings: Settings, run_id: RunId, into: RunId | None
) -> FeatureRequest:
    """A run's request once more, under a new id, with its own replies for a brain.

    Raises:
        NotFoundError: there is no such run, or no model answered in it.
    """
    request = await request_of(journal, run_id)
    brain = Brain.model_validate_json(request.brain) if request.brain else Brain()
    file = Path(brain.replay)
    if not await asyncio.to_thread(file.is_file):  # models answered, or their recording is gone
        replies = [reply async for reply in retold(journal, run_id)]
        if not replies:
            raise NotFoundError(f"no model has answered in run {run_id}", "start a new run")
        file = settings.state_dir / "recordings" / f"{run_id}.jsonl"
        await asyncio.to_thread(write_recording, file, replies, about(request))
    played = Brain(replay=str(file), servers=brain.servers)
    change = {"run_id": into or new_run_id(request.text), "brain": played.model_dump_json()}
    return request.model_copy(update=change)
