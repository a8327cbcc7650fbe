"""What a run leaves in the figures, read from the cluster's nodes as Prometheus reads them."""

import json
import re
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from cluster.demo.sample import RECORDING, lay_out
from tests.cluster.telemetry.receiver import receiving
from tests.cluster.telemetry.test_dashboard import expressions, named
from tests.journeys.conftest import recorded
from tests.journeys.door import Door, Running, kill

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]

PASSED_ON_S = 30.0
"""Ray passes figures on every 10 s."""
PRICED = "watched/priced"
"""A model that no other run of this cluster has."""


def priced(place: Path) -> Path:
    """The sample's recording, as if it were another model's that has a price and a cache."""
    lines = RECORDING.read_text(encoding="utf-8").splitlines()
    told = [json.loads(line) for line in lines[1:]]
    for line in told:
        line["reply"]["model"] = PRICED
        line["reply"]["usage"] |= {"cost_usd": 0.01, "cached_tokens": 500}
    place.write_text("\n".join([lines[0], *map(json.dumps, told)]) + "\n", encoding="utf-8")
    return place


def eventually(look: Callable[[], Any]) -> Any:
    deadline = time.monotonic() + PASSED_ON_S
    while not (found := look()) and time.monotonic() < deadline:
        time.sleep(0.5)
    return found


def scraped(door: Door) -> str:
    """All nodes' pages."""
    papers = json.loads((door.state / "cluster" / "address.json").read_text())
    listed = Path(papers["session_dir"], "prom_metrics_service_discovery.json").read_text()
    places = [place for group in json.loads(listed) for place in group["targets"]]
    pages = [urllib.request.urlopen(f"http://{p}/metrics", timeout=10) for p in places]
    return "\n".join(page.read().decode() for page in pages)


def shown_by_ray(door: Door) -> set[str]:
    """What the actors are called in the rows and logs of Ray's dashboard."""
    papers = json.loads((door.state / "cluster" / "address.json").read_text())
    token = Path(papers["token_path"]).read_text().strip()
    asked = urllib.request.Request(
        f"{papers['dashboard_url']}/api/v0/actors?detail=1&limit=1000",
        headers={"Authorization": f"Bearer {token}"},
    )
    told = json.loads(urllib.request.urlopen(asked, timeout=30).read())["data"]["result"]
    return {actor["repr_name"] for actor in told["result"] if actor["state"] == "ALIVE"}


class Figures:
    """`manta metrics`, as a program reads it."""

    def __init__(self, door: Door) -> None:
        said = door.manta("metrics", "--json")
        assert said.code == 0, said.err
        self.lines = [line for line in said.lines if line["type"] == "metric"]

    def of(self, name: str, **tags: str) -> float:
        return sum(
            line["value"]
            for line in self.lines
            if line["name"] == f"ray_manta_{name}" and tags.items() <= line["tags"].items()
        )

    def agree(self) -> bool:
        """Whether turns, tokens and cost are of the same calls: Ray passes them on one by one."""
        model = f"recording:{PRICED}"
        calls = self.of("model_turns_total", model=model)
        cached = self.of("model_tokens_total", model=model, kind="cached")
        cost = self.of("model_cost_usd_total", model=model)
        return calls >= 20 and (cached, cost) == pytest.approx((500 * calls, 0.01 * calls))


@dataclass(frozen=True)
class Watched:
    """A run of the sample that was watched: its id, and what was seen of it."""

    run_id: str
    figures: Figures
    scraped: str
    actors: set[str]
    spans: list[dict[str, Any]]


def kill_coders_until_one_was_at_work(door: Door, run: Running) -> None:
    """The run says so by a step that it tries again."""
    for event in run.events():
        if event.get("status") == "retry":
            return
        if (event.get("kind"), event.get("step")) == ("turn", "write_code"):
            for coder in door.processes("/write_code/"):
                kill(coder)
    raise AssertionError(f"none was; {run.rest().err}")


@pytest.fixture(scope="module")
def watched(door: Door, tmp_path_factory: pytest.TempPathFactory) -> Watched:
    """A run whose coders die, whose model has a price, and whose spans are received.

    Others have run on this cluster before it, and are in its figures.
    """
    wordkit = tmp_path_factory.mktemp("watched") / "wordkit"
    lay_out(wordkit)
    assert door.manta("up").code == 0
    earlier = Figures(door).of("runs_total", status="done")
    with receiving() as receiver:
        run = door.start(
            *recorded(wordkit)[:-1],
            str(priced(door.place / "priced.jsonl")),
            environment={"MANTA_TRACES": "on", "OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url},
        )
        run.until(step="write_code", status="started")
        actors = shown_by_ray(door)
        kill_coders_until_one_was_at_work(door, run)
        driven = eventually(lambda: "ray_manta_runs_driven{" in scraped(door) and scraped(door))
        said = run.rest()
        assert said.code == 0, said.err

        def done() -> Figures | None:
            found = Figures(door)
            ended = found.of("runs_total", status="done") > earlier
            return found if ended and found.agree() else None

        figures = eventually(done)
        assert figures, "they never came, or do not agree"
        # Ray forgets what stood at a process once that is gone.
        seen = f"{driven or ''}\n{scraped(door)}"
        return Watched(said.of("watching")["run_id"], figures, seen, actors, receiver.spans)


def test_a_run_with_a_death_in_it_fills_every_panel(watched: Watched) -> None:
    exists = set(re.findall(r"^(ray_manta_\w+)\{", watched.scraped, re.MULTILINE))
    assert set().union(*map(named, expressions())) - exists == set()


def test_figures_are_those_of_the_run(watched: Watched) -> None:
    figures = watched.figures
    assert figures.of("recoveries_total", what="worker") >= 1
    assert figures.of("step_failures_total", outcome="retry") >= 1
    assert figures.of("tasks_ended_total", outcome="merged") >= 3
    for gate in ("red", "green", "review", "merge"):
        assert figures.of("gate_verdicts_total", gate=gate, verdict="passed") >= 3
    commands = figures.of("command_seconds_count", level="local")
    assert commands > figures.of("workspace_seconds_count") > 5
    assert figures.of("lease_wait_seconds_count", role="coder") >= 6
    assert figures.of("recall_seconds_count", outcome="answered") >= 1


def test_no_figure_names_a_run(watched: Watched) -> None:
    ours = [line for line in watched.scraped.splitlines() if "ray_manta_" in line]
    assert watched.run_id not in "".join(ours)


def test_rays_dashboard_shows_a_team(watched: Watched) -> None:
    assert {name.rstrip("-0123456789") for name in watched.actors} >= {
        "architect", "coder", "checkpoints", "governor", "memory", "models",
    }  # fmt: skip
    assert f"supervisor:{watched.run_id}" in watched.actors


def test_spans_are_one_tree_under_the_run(watched: Watched) -> None:
    spans = watched.spans
    (root,) = [span for span in spans if span["name"] == "invoke_workflow delivery"]
    agents = [span for span in spans if span["gen_ai.operation.name"] == "invoke_agent"]
    below = [span for span in spans if span not in (root, *agents)]
    assert {span["gen_ai.agent.name"] for span in agents} == {
        "architect", "coder", "reviewer", "security",
    }  # fmt: skip
    assert {span["parent"] for span in agents} == {root["id"]}
    assert {span["trace"] for span in spans} == {root["trace"]}
    # Only what a dead coder had under its hands has no parent.
    assert len([span for span in below if span["parent"] in {a["id"] for a in agents}]) > 40
    assert {span["gen_ai.operation.name"] for span in below} == {"chat", "execute_tool"}
    assert (root["manta.run"], root["manta.status"]) == (watched.run_id, "done")
