"""The theatre: a driver process for the whole session, and what each flow gives undisturbed."""

import json
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from tests.faults.nodes import undisturbed
from tests.faults.oracle import Verdict, check
from tests.faults.plan import Plan, Round

ROOT = Path(__file__).parents[2]


class Theatre:
    """Has plans carried out."""

    def __init__(self, driver: "subprocess.Popen[str]") -> None:
        self._driver = driver
        self._undisturbed: dict[str, Verdict] = {}

    def play(self, plan: Plan) -> Verdict:
        """Carry one plan out."""
        assert self._driver.stdin is not None
        assert self._driver.stdout is not None
        self._driver.stdin.write(plan.model_dump_json() + "\n")
        self._driver.stdin.flush()
        return json.loads(self._driver.stdout.readline())

    def undisturbed(self, flow: str) -> Verdict:
        """What the flow gives when nothing goes wrong."""
        if flow not in self._undisturbed:
            self._undisturbed[flow] = self.play(Plan(flow=flow))
            check(self._undisturbed[flow], self._undisturbed[flow])
        return self._undisturbed[flow]

    def survives(self, flow: str, *rounds: Round, store: str = "") -> Verdict:
        """Carry a plan out, and hold the run against the oracle."""
        before = self.undisturbed(flow)
        verdict = self.play(Plan(flow=flow, rounds=rounds, store=store))
        check(verdict, before)
        return verdict


@pytest.fixture(scope="session")
def theatre(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Theatre]:
    command: Sequence[str] = [sys.executable, "-m", "tests.faults.driver"]
    home = tmp_path_factory.mktemp("faults")
    with subprocess.Popen(
        [*command, str(home)], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as driver:
        yield Theatre(driver)
        assert driver.stdin is not None
        driver.stdin.close()
        assert driver.wait(30) == 0


@pytest.fixture(scope="session")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tree that a run of the sample delivers on one machine."""
    return undisturbed(tmp_path_factory.mktemp("one-machine"))
