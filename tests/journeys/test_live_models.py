"""The whole way to a provider: players, gateway, governor, litellm and HTTP, on a real cluster."""

import json
from pathlib import Path

import pytest

from tests.journeys.door import Door
from tests.journeys.provider import provider, route

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]


def test_a_run_thinks_over_http_waits_out_a_rate_limit_and_keeps_to_its_budget(
    door: Door, wordkit: Path
) -> None:
    with provider() as (url, statuses):
        door.environment["MANTA_ROUTES"] = route(url)
        try:
            arguments = ("run", "Add red.", "--repo", str(wordkit), "--run-id", "live", "--json")
            stopped = door.manta(*arguments, "--budget", "0.09usd")
            assert stopped.code == 4, stopped.err
            assert len(statuses) <= 6
            last = door.manta("resume", "live", "--budget", "5usd", "--json")
        finally:
            del door.environment["MANTA_ROUTES"]
        assert last.code == 0, last.err
        evidence = json.loads(door.manta("show", "live", "--evidence").out)
        assert statuses.count(429) == 1
        assert evidence["usage"]["calls"] == statuses.count(200)
        assert evidence["usage"]["cost_usd"] == pytest.approx(0.02 * statuses.count(200))
        assert evidence["models"] == ["openai/loopback"]
