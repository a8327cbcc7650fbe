"""Manifests that were not run for real are at least true to Ray and to our code."""

import json
import re
import shlex
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import ray.autoscaler
import yaml

from actors.sandbox.protocol import Level
from cluster.cli import door_named
from cluster.settings import FOREIGN_VARIABLES
from cluster.sources import variable_names

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
DOCKERFILE = CLUSTER / "docker" / "worker.Dockerfile"
INSTRUCTIONS = {"FROM", "RUN", "WORKDIR", "COPY", "ENV", "USER", "CMD"}


def load(name: str) -> Any:
    return yaml.safe_load((CLUSTER / name).read_text())


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, comments gone and continued lines joined."""
    lines = [line for line in DOCKERFILE.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    parts = (line.split(maxsplit=1) for line in joined.splitlines() if line.strip())
    return [(name, rest) for name, rest in parts]


def options_of(command: str) -> set[str]:
    return {option for each in door_named(command).params for option in each.opts}


def assert_runs(entrypoint: str) -> dict[str, str]:
    """The entry point is a `manta run` that our command line knows; returns its options."""
    program, command, request, *rest = shlex.split(entrypoint)
    options = dict(zip(rest[::2], rest[1::2], strict=True))
    assert (Path(program).name, command) == ("manta", "run")
    assert request
    assert set(options) <= options_of("run")
    return options


def test_the_launchers_file_fits_rays_own_schema() -> None:
    schema = Path(ray.autoscaler.__file__).with_name("ray-schema.json")

    jsonschema.validate(load("ray/onpremises.yaml"), json.loads(schema.read_text()))


def test_the_launchers_nodes_agree_and_start_ray_with_a_token() -> None:
    config = load("ray/onpremises.yaml")
    node = config["available_node_types"][config["head_node_type"]]
    workers = len(config["provider"]["worker_ips"])
    starts = [config[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker")]

    assert node["min_workers"] == node["max_workers"] == config["max_workers"] == workers
    assert all("RAY_AUTH_MODE=token" in start for start in starts)
    assert all("--dashboard-host=0.0.0.0" not in start for start in starts)
    assert "~/.ray/auth_token" in config["file_mounts"]


def test_the_job_runs_an_image_and_a_version_that_exist_with_a_token() -> None:
    job = load("kubernetes/rayjob.yaml")
    cluster = job["spec"]["rayClusterSpec"]
    templates = [cluster["headGroupSpec"], *cluster["workerGroupSpecs"]]
    images = {t["template"]["spec"]["containers"][0]["image"] for t in templates}

    assert (job["apiVersion"], job["kind"]) == ("ray.io/v1", "RayJob")
    assert cluster["rayVersion"] == version("ray")
    assert cluster["authOptions"] == {"mode": "token"}
    assert images == {f"registry.example/manta-worker:{version('manta-team')}"}


def test_the_job_names_a_level_that_exists_and_gives_pods_what_it_needs() -> None:
    spec = load("kubernetes/rayjob.yaml")["spec"]
    options = assert_runs(spec["entrypoint"])
    groups = [spec["rayClusterSpec"]["headGroupSpec"], *spec["rayClusterSpec"]["workerGroupSpecs"]]

    assert options["--sandbox"] in set(get_args(Level)) - {"none", "in-memory"}
    for group in groups:
        pod = group["template"]["spec"]
        context = pod["containers"][0]["securityContext"]
        assert pod["hostUsers"] is False
        assert context["procMount"] == "Unmasked"
        assert context["seccompProfile"] == context["appArmorProfile"] == {"type": "Unconfined"}
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "privileged" not in context


@pytest.mark.parametrize("name", ["kubernetes/rayjob.yaml", "ray/onpremises.yaml"])
def test_every_variable_a_manifest_names_is_one_we_read(name: str) -> None:
    named = set(re.findall(r"\b(?:MANTA|ANTHROPIC)_[A-Z_]+\b", (CLUSTER / name).read_text()))

    assert named
    assert named <= {*variable_names(), *FOREIGN_VARIABLES}


def test_the_job_in_the_launchers_comment_is_one_our_command_line_knows() -> None:
    text = (CLUSTER / "ray/onpremises.yaml").read_text()
    command = re.search(r"^#\s+(/\S+/manta run .*)$", text, re.MULTILINE)

    assert command
    assert_runs(command[1])


def test_the_dockerfile_has_known_instructions_and_copies_what_exists() -> None:
    found = instructions()
    copied = [source for name, rest in found if name == "COPY" for source in rest.split()[:-1]]

    assert {name for name, _ in found} == INSTRUCTIONS
    assert found[0][0] == "FROM"
    assert copied
    assert [source for source in copied if not (ROOT / source).exists()] == []


def test_the_image_has_the_sandboxs_tools_no_root_and_no_key() -> None:
    found = instructions()
    runs = " ".join(rest for name, rest in found if name == "RUN")
    environment = " ".join(rest for name, rest in found if name == "ENV")

    assert {"bubblewrap", "git", "wget"} <= set(runs.split())
    assert [rest for name, rest in found if name == "USER"] == ["1000"]
    assert not re.search(r"KEY|TOKEN|SECRET|PASSWORD", environment)


@pytest.mark.parametrize("path", sorted(CLUSTER.glob("*/*.yaml")), ids=lambda path: path.name)
def test_every_manifest_says_what_was_not_run_for_real(path: Path) -> None:
    assert "Not run on" in path.read_text()
