"""How old an event is when somebody who watches sees it."""

import json
import statistics
import time

from benchmarks.cluster_hall import PATIENCE_S, Hall


def report(hall: Hall, times: int) -> str:
    ages: list[float] = []
    for number in range(min(times, 2)):
        ages += _ages(hall, f"watched-{number}")
    ages.sort()
    tenth = ages[len(ages) * 95 // 100]
    return "\n".join(
        [
            "### From an event to whoever watches",
            "",
            "`manta watch --json` of the recorded demo, in a process of its own:"
            f" {len(ages)} events, each from its record's time in the store to the line on the"
            f" watcher's side: median"
            f" {statistics.median(ages) * 1000:.0f} ms, 95 of 100 within {tenth * 1000:.0f} ms, the"
            f" slowest {ages[-1] * 1000:.0f} ms. Record and line are of one machine's clock.",
        ]
    )


def _ages(hall: Hall, run_id: str) -> list[float]:
    """Seconds from each event to its line. Those before the watcher came do not count."""
    running = hall.start(*hall.recorded(run_id))
    assert running.stdout is not None
    for line in running.stdout:
        if '"event"' in line:
            break
    watcher = hall.start("watch", run_id, "--json")
    assert watcher.stdout is not None
    ages: list[float] = []
    began = 0.0
    for line in watcher.stdout:
        if not line.startswith("{"):
            continue
        now, told = time.time(), json.loads(line)
        if told["type"] == "watching":
            began = now
        if told["type"] == "event" and told["at"] > began + 1:
            ages.append(now - told["at"])
    running.communicate(timeout=PATIENCE_S)
    watcher.communicate(timeout=PATIENCE_S)
    return ages
