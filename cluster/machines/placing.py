"""Where on a cluster things sit: what owns files beside them, workers where labels say.

A state directory is on one machine: the head's, or that of the node with the labels of
`MANTA_STATE_ON`. Who is asked to open it anywhere else waits, or hears that the node is away; no
store is ever opened empty on another node. With PostgreSQL and a Milvus server nothing of a run
depends on a directory.
"""

from collections.abc import Sequence
from typing import Any

import ray

from actors.spawn import ANYWHERE, HEAD, Seat
from cluster.settings import Settings
from orchestration.errors import InfrastructureError, UsageError


def workers_seat(settings: Settings) -> Seat:
    """Where supervisors and players may be."""
    return Seat(labels=pairs(settings.workers_on))


def door_seat() -> Seat:
    """Rather on the node of this driver, whose files it reads or writes."""
    return Seat(near=ray.get_runtime_context().get_node_id())


def hall_seat(replicas: int = 1) -> Seat:
    """Rather on the head: what outlives runs must not keep a node that a run made the cluster add.

    Many replicas are spread.
    """
    heads = [node["NodeID"] for node in _living() if HEAD in node["Resources"]]
    return Seat(near=heads[0]) if heads and replicas == 1 else ANYWHERE


def state_seat(settings: Settings) -> Seat:
    """The node that has the state directory.

    Raises:
        InfrastructureError: no living node carries the labels.
        UsageError: several do, so that nobody could say which one has it.
    """
    labels = pairs(settings.state_on)
    wanted = ",".join(settings.state_on)
    found = [node for node in _living() if set(labels) <= set(node["Labels"].items())]
    if not found:
        raise InfrastructureError(
            f"the node labelled {wanted}, which keeps {settings.state_dir}, is not in the cluster",
            f"start it again: ray start --address=... --labels={wanted}",
        )
    if labels and len(found) > 1:
        names = ", ".join(sorted(node["NodeName"] for node in found))
        raise UsageError(
            f"{len(found)} nodes are labelled {wanted}: {names}",
            f"label only the one that keeps {settings.state_dir}",
        )
    return Seat(labels=labels, has_files=True)


def pairs(labels: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """`KEY=VALUE` texts as pairs."""
    return tuple((key, value) for key, _, value in (label.partition("=") for label in labels))


def _living() -> list[dict[str, Any]]:
    return [node for node in ray.nodes() if node["Alive"]]
