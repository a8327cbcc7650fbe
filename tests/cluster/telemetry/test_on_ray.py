"""Ray's meter where it must not be in the way; what it exports is seen in `tests/journeys`."""

import logging

import pytest

from actors.meter import COMMANDS, RUNS_NOW, TURNS
from cluster.telemetry.on_ray import RayMeter


def test_a_wrong_tag_is_said_once_and_stops_nobody(caplog: pytest.LogCaptureFixture) -> None:
    meter = RayMeter()
    with caplog.at_level(logging.WARNING):
        for _ in range(3):
            meter.add(TURNS, run="r1")
            meter.observe(COMMANDS, 0.1)
    assert [record.args[0] for record in caplog.records if isinstance(record.args, tuple)] == [
        "model_turns",
        "command_seconds",
    ]


def test_a_tag_with_ever_new_values_is_left_out(caplog: pytest.LogCaptureFixture) -> None:
    meter = RayMeter(series=2)
    with caplog.at_level(logging.WARNING):
        for number in range(5):
            meter.add(TURNS, role="coder", model=f"made-up-{number}")
        meter.add(TURNS, role="coder", model="made-up-0")
    assert [record.getMessage() for record in caplog.records] == [
        "model_turns is not counted: more than 2 series"
    ]


def test_nothing_is_no_count_and_no_time_is_a_duration(caplog: pytest.LogCaptureFixture) -> None:
    meter = RayMeter()
    with caplog.at_level(logging.WARNING):
        meter.add(TURNS, 0, role="coder", model="m")
        meter.observe(COMMANDS, 0.0, level="local", ended="exited")
        meter.set(RUNS_NOW, 0)
    assert caplog.records == []
