"""The Grafana dashboard: every metric of ours is in it, and nothing that does not exist."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from actors.meter import ALL, PREFIX, Level, Spread
from cluster.machines.keeper import OUR_DASHBOARD
from cluster.telemetry.reading import exported

NAMES = {exported(metric) for metric in ALL}
BUCKETS = {f"ray_{PREFIX}{metric.name}_bucket" for metric in ALL if isinstance(metric, Spread)}
PROMETHEUS = OUR_DASHBOARD.with_name("prometheus.yaml")
COMPOSE = OUR_DASHBOARD.with_name("compose.yaml")


def dashboard() -> dict[str, Any]:
    return json.loads(OUR_DASHBOARD.read_text(encoding="utf-8"))


def expressions() -> Iterator[str]:
    for panel in dashboard()["panels"]:
        yield from (target["expr"] for target in panel.get("targets", ()))


def named(expression: str) -> set[str]:
    return set(re.findall(r"ray_\w+", expression))


def test_panels_name_only_metrics_that_are_exported() -> None:
    assert set().union(*map(named, expressions())) <= NAMES | BUCKETS


def test_every_metric_is_in_a_panel() -> None:
    shown = set().union(*map(named, expressions()))
    bare = {name.removesuffix("_bucket").removesuffix("_count") for name in shown}
    assert {exported(metric).removesuffix("_count") for metric in ALL} <= bare


def test_panels_group_only_by_tags_that_their_metric_has() -> None:
    by_name = {exported(m).removesuffix("_count").removesuffix("_total"): m for m in ALL}
    for expression in expressions():
        groups = re.findall(
            r"by \(([\w, ]+)\) \((?:rate\()?(ray_\w+?)(?:_bucket|_count|_total)?\{", expression
        )
        for tags, name in groups:
            wanted = {tag.strip() for tag in tags.split(",")} - {"le"}
            assert wanted <= set(by_name[name].tags), expression


def test_what_only_grows_is_never_shown_as_a_level() -> None:
    levels = {exported(metric) for metric in ALL if isinstance(metric, Level)}
    for expression in expressions():
        if "rate(" in expression:
            assert not named(expression) & levels, expression


def test_every_panel_has_a_title_a_sentence_and_a_place_of_its_own() -> None:
    panels = dashboard()["panels"]
    shown = [panel for panel in panels if panel["type"] != "row"]
    assert all(panel["title"] and panel["description"].endswith(".") for panel in shown)
    assert len({panel["id"] for panel in panels}) == len(panels)
    cells = [
        (x, y)
        for panel in panels
        for place in [panel["gridPos"]]
        for x in range(place["x"], place["x"] + place["w"])
        for y in range(place["y"], place["y"] + place["h"])
    ]
    assert len(set(cells)) == len(cells)
    assert max(x for x, _ in cells) < 24


def test_panels_take_the_session_and_the_datasource_that_people_choose() -> None:
    assert {one["name"] for one in dashboard()["templating"]["list"]} == {
        "datasource",
        "SessionName",
    }
    assert all('SessionName=~"$SessionName"' in expression for expression in expressions())


def test_the_docs_explain_every_metric() -> None:
    text = Path("docs/monitoring.md").read_text(encoding="utf-8")
    told = set(re.findall(r"^\| `(ray_manta_\w+)`", text, re.MULTILINE))
    assert told == {exported(metric).removesuffix("_count") for metric in ALL}


def test_prometheus_is_told_to_read_the_list_that_ray_keeps() -> None:
    scrapes = yaml.safe_load(PROMETHEUS.read_text(encoding="utf-8"))["scrape_configs"]
    assert [scrape["job_name"] for scrape in scrapes] == ["ray"]
    assert scrapes[0]["file_sd_configs"] == [
        {"files": ["/ray/prom_metrics_service_discovery.json"]}
    ]
