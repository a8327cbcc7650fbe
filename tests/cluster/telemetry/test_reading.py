import json
from pathlib import Path

import pytest

from cluster.machines.papers import ClusterAddress
from cluster.telemetry.reading import DISCOVERY, figures, targets
from orchestration.errors import InfrastructureError


async def test_a_cluster_that_was_just_started_has_no_figures(tmp_path: Path) -> None:
    address = ClusterAddress("127.0.0.1:1", session_dir=str(tmp_path))
    assert targets(address) == ()
    (tmp_path / DISCOVERY).write_text(json.dumps([{"targets": []}]))
    assert targets(address) == ()
    assert await figures(targets(address)) == []


async def test_nodes_that_do_not_answer_are_an_error() -> None:
    with pytest.raises(InfrastructureError, match=r"shows its figures \(127.0.0.1:1"):
        await figures(["127.0.0.1:1"])
