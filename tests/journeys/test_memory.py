"""Memory's own process on a real cluster: asked at the door, hung, and opened in another way."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.journeys.door import Door

pytestmark = [pytest.mark.ray, pytest.mark.slow, pytest.mark.timeout(400)]


def test_memory_on_a_cluster_is_searched_and_one_that_hangs_costs_a_moment(
    door: Door, wordkit: Path
) -> None:
    door.manta("up")
    built = door.manta("memory", "reindex", "--repo", str(wordkit), "--json")
    assert built.code == 0, built.err
    search = ("memory", "search", "count words", "--repo", str(wordkit), "--json")
    found = door.manta(*search)
    assert found.lines[0]["source"].startswith("wordkit/")
    assert "use by another process" not in found.err
    (memory,) = door.processes("ray::Memory")
    os.kill(memory, signal.SIGSTOP)
    try:
        began = time.monotonic()
        hung = door.manta(*search)
        assert time.monotonic() - began < 60
        assert hung.code == 5
        assert "does not answer" in hung.of("error")["what"]
    finally:
        os.kill(memory, signal.SIGCONT)
    assert door.manta(*search).lines == found.lines


def test_memory_that_is_opened_in_another_way_takes_over(door: Door, wordkit: Path) -> None:
    search = ("memory", "search", "count words", "--repo", str(wordkit), "--json")
    door.manta("up")
    door.manta("memory", "reindex", "--repo", str(wordkit))
    before = door.processes("ray::Memory")
    door.environment["MANTA_RECALL_TIMEOUT_S"] = "20"
    try:
        found = door.manta(*search)
    finally:
        del door.environment["MANTA_RECALL_TIMEOUT_S"]
    assert found.code == 0, found.out
    assert found.lines[0]["source"].startswith("wordkit/")
    assert len(before) == 1
    assert not set(before) & set(door.processes("ray::Memory"))
