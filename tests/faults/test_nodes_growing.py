"""A cluster that is only a head without CPUs: a run makes it grow, delivers, and it shrinks back.

Ray's autoscaler (version 2, which knows labels) with its provider for tests, whose nodes are real
raylets on this machine. What has to be set is in `docs/clusters.md`.
"""

import json
import socket
import time
from pathlib import Path

import pytest

from tests.cluster.nodes.machines import machines
from tests.faults.nodes import Scene, Watch

pytestmark = [pytest.mark.ray, pytest.mark.faults, pytest.mark.timeout(900)]
HEAD_ID = "f" * 51 + "00000"
SHRINKS_WITHIN_S = 180
COMMANDS = (
    *("initialization", "setup", "head_setup", "worker_setup"),
    *("head_start_ray", "worker_start_ray"),
)


def autoscaling(port: int) -> dict[str, object]:
    """What a cluster file says, for nodes of this machine."""
    return {
        "cluster_name": "growing",
        "max_workers": 2,
        "upscaling_speed": 1.0,
        "idle_timeout_minutes": 0.1,
        "provider": {
            # Not `fake_multinode`: that name wants a file which Ray's wheel leaves out.
            "type": "external",
            "module": "ray.autoscaler._private.fake_multi_node.node_provider.FakeMultiNodeProvider",
            "use_node_id_as_ip": True,
            "disable_node_updaters": True,
            "disable_launch_config_check": True,
            "gcs_address": f"127.0.0.1:{port}",
            "head_node_id": HEAD_ID,
            "launch_multiple": True,
        },
        "head_node_type": "ray.head.default",
        "available_node_types": {
            "ray.head.default": {"resources": {"CPU": 0}, "node_config": {}, "max_workers": 0},
            "agents": {
                "resources": {"CPU": 2, "object_store_memory": 83886080},
                "labels": {"pool": "agents"},
                "node_config": {},
                "min_workers": 0,
                "max_workers": 2,
            },
        },
        "auth": {},
        "cluster_synced_files": [],
        **{f"{name}_commands": [] for name in COMMANDS},
        "file_mounts": {},
    }


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_run_makes_the_cluster_grow_from_nothing_and_it_shrinks_back(
    tmp_path: Path, expected: str
) -> None:
    port = free_port()
    file = tmp_path / "autoscaling.json"
    file.write_text(json.dumps(autoscaling(port)))
    with machines(
        AUTOSCALER_UPDATE_INTERVAL_S="1",
        RAY_FAKE_CLUSTER="1",
        RAY_enable_autoscaler_v2="1",
        RAY_CLOUD_INSTANCE_ID=HEAD_ID,
        RAY_OVERRIDE_NODE_ID_FOR_TESTING=HEAD_ID,
    ) as grown:
        head = grown.head(f"--autoscaling-config={file}", cpus=0, port=port)
        assert len(head.running("raylet/raylet")) == 1
        scene = Scene(grown, tmp_path / "many", "grow", {"MANTA_WORKERS_ON": "pool=agents"})
        watch = Watch("submitted to a head without CPUs")
        running = scene.start()
        running.until(kind="turn", status="reply")
        watch.say("first model call, a node started meanwhile")
        assert len(head.running("raylet/raylet")) > 1
        scene.check(expected, running.rest())
        watch = Watch("delivered")
        deadline = time.monotonic() + SHRINKS_WITHIN_S
        while len(head.running("raylet/raylet")) > 1:
            assert time.monotonic() < deadline, "idle nodes stay"
            time.sleep(1)
        watch.say("no node but the head")
