"""A run of the sample on several nodes, and how it is held against an undisturbed one."""

import json
import os
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from cluster.demo.sample import lay_out
from tests.cluster.nodes.machines import FarDoor, Machines, Node
from tests.journeys.conftest import recorded
from tests.journeys.door import Door, Running, Said
from tests.journeys.test_faults import CALLS, merges, tree

CALLS_MODEL = {"kind": "turn", "status": "reply"}
"""An event that says so."""
SUPERVISORS = ("ray::Supervisor",)
CODERS = ("ray::Coder", "/write_test/", "/write_code/")
"""Titles of their processes, idle and at work."""


@dataclass
class Scene:
    """One run, followed from a door on the head's machine."""

    machines: Machines
    place: Path
    run_id: str
    environment: Mapping[str, str] = field(default_factory=dict[str, str])

    def __post_init__(self) -> None:
        self.place.mkdir(parents=True, exist_ok=True)
        self.repository = self.place / "wordkit"
        lay_out(self.repository)
        self.move_to(self.machines)

    def move_to(self, machines: Machines) -> None:
        """A shell on the machine of this head."""
        self.machines = machines
        self.door = FarDoor(self.place, machines, **self.environment)

    def start(self) -> Running:
        return self.door.start(*recorded(self.repository, "--run-id", self.run_id))

    def close(self) -> None:
        for running in self.door.started:
            running.close()

    def check(self, expected: str, said: Said) -> None:
        """The oracle: the same tree, every merge once, every reply journaled once, nothing left."""
        assert said.code == 0, said.err
        assert tree(self.repository, self.run_id) == expected
        assert merges(self.repository, self.run_id) == 3
        evidence = json.loads(self.door.manta("show", self.run_id, "--evidence").out)
        assert evidence["usage"]["calls"] == CALLS

    def left(self, node: Node) -> list[str]:
        """Labels of the sandboxes that runs have left on a node."""
        papers = (node.state / "sandboxes").glob("*/sandbox.json")
        found = [json.loads(paper.read_text())["spec"]["labels"] for paper in papers]
        return [labels["run"] for labels in found if "run" in labels]


def undisturbed(place: Path) -> str:
    """The tree that a run on one machine delivers."""
    ours = {"PYTHONPATH": os.environ["PYTHONPATH"]} if "PYTHONPATH" in os.environ else {}
    door = Door(place, MANTA_START_TIMEOUT_S="180", **ours)
    lay_out(place / "wordkit")
    try:
        said = door.manta(*recorded(place / "wordkit", "--run-id", "undisturbed"))
        assert said.code == 0, said.err
        return tree(place / "wordkit", "undisturbed")
    finally:
        door.close()


class Watch:
    """Seconds since something was done."""

    def __init__(self, what: str) -> None:
        self._what, self._began = what, time.monotonic()

    def say(self, until: str) -> float:
        """Print a figure for the report (`pytest -s`), and return it."""
        seconds = time.monotonic() - self._began
        print(f"\n[figure] {self._what} -> {until}: {seconds:.1f} s")  # noqa: T201
        return seconds
