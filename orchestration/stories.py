"""Which story a run plays: the delivery of `delivery.py`, or a workflow that a person names."""

from collections.abc import Callable
from dataclasses import replace
from functools import cache
from importlib import import_module

from orchestration.crew import Crew
from orchestration.delivery import delivery
from orchestration.errors import InvalidWorkflowError, MantaError, UsageError
from orchestration.ids import RunId
from orchestration.messages import Delivery, FeatureRequest, Limits
from orchestration.workflow.journal import Journal
from orchestration.workflow.outcome import input_of
from orchestration.workflow.retry import Retry
from orchestration.workflow.shape import Flow


def played(name: str, crew: Crew, limits: Limits, retry: Retry) -> Flow[FeatureRequest, Delivery]:
    """The workflow called `module:function`, played by `crew`; without a name the story above.

    The function is called like `delivery`. Naming one is trusting it: it runs beside the team,
    outside of any sandbox, and so is never named by a repository.

    Raises:
        UsageError: there is no such function, or what it gives is not a delivery.
    """
    tell = _named(name) if name else delivery
    try:
        flow = tell(crew, limits, retry)
    except MantaError:
        raise
    except Exception as error:
        raise UsageError(
            f"workflow {name!r} could not be made: {type(error).__name__}: {error}",
            "make it a function (crew, limits, retry) -> Flow[FeatureRequest, Delivery]",
        ) from error
    if isinstance(flow, Flow) and (flow.takes, flow.gives) == (FeatureRequest, Delivery):
        return flow
    raise InvalidWorkflowError(
        f"workflow {name!r} does not turn a FeatureRequest into a Delivery",
        "give a committed workflow: Workflow(id, FeatureRequest)...commit()",
    )


def _named(name: str) -> Callable[[Crew, Limits, Retry], object]:
    module, _, function = name.partition(":")
    try:
        return getattr(import_module(module), function)
    except Exception as error:
        raise UsageError(
            f"there is no workflow {name!r}: {type(error).__name__}: {error}",
            "name it MODULE:FUNCTION and have the module importable wherever Manta runs",
        ) from error


@cache
def unplayed(name: str = "") -> Flow[FeatureRequest, Delivery]:
    """A workflow without its players: the story as a text, to read stored runs by."""
    return played(name, type("Unplayed", (Crew,), {})(), Limits(), Retry())


async def request_of(journal: Journal, run_id: RunId) -> FeatureRequest:
    """What a run was asked for, whichever workflow it plays. A fork has an id of its own.

    Raises:
        NotFoundError: there is no such run.
    """
    info = await journal.info(run_id)
    request = await input_of(journal, replace(unplayed(), id=info.workflow), run_id)
    return request.model_copy(update={"run_id": run_id})
