"""The recipe of the sandbox's image names what exists, and the names that people are told."""

import re
from pathlib import Path

from actors.sandbox.container.engines import understood
from actors.sandbox.container.provider import DEFAULT_IMAGE

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "cluster" / "docker" / "sandbox.Dockerfile"
INSTRUCTIONS = {"ARG", "FROM", "RUN", "COPY", "WORKDIR"}


def instructions() -> list[tuple[str, str]]:
    """Comments gone and continued lines joined."""
    lines = [line for line in RECIPE.read_text().splitlines() if not line.startswith("#")]
    joined = re.sub(r"\\\n\s*", "", "\n".join(lines))
    return [(line.split()[0], line) for line in joined.splitlines() if line]


def test_every_instruction_is_one_and_what_is_copied_exists() -> None:
    assert {name for name, _ in instructions()} == INSTRUCTIONS
    copied = [line.split()[1] for name, line in instructions() if name == "COPY"]
    assert copied == ["cluster/docker/sandbox.lock"]
    assert all((ROOT / path).is_file() for path in copied)


def test_what_commands_need_is_installed() -> None:
    installed = next(line for _, line in instructions() if "apt-get install" in line).split()
    assert {"bash", "git", "tar", "procps", "patch"} <= set(installed)


def test_people_are_told_to_build_the_image_that_is_looked_for() -> None:
    for engine in ("podman", "docker"):
        fix = understood(engine, "image not known").fix
        assert fix.startswith(f"build it: {engine} build -f {RECIPE.relative_to(ROOT)} ")
        assert f"-t {DEFAULT_IMAGE} ." in fix
        command = fix.removeprefix("build it: ")
        assert command in RECIPE.read_text()
