"""From a command to its run's first model call: cold, warm, as a job; beside Ray alone."""

import statistics
import subprocess
import sys
import time

from benchmarks.cluster_hall import PATIENCE_S, Hall

COLD_AIM_S, WARM_AIM_S = 9.0, 2.0
ALONE = """
import time, sys
began = time.monotonic()
import ray
@ray.remote
class Actor:
    def ping(self): return 1
imported = time.monotonic()
ray.init(address=sys.argv[1], logging_level="ERROR", log_to_driver=False, namespace="bench")
joined = time.monotonic()
ray.get(Actor.remote().ping.remote())
print(imported - began, joined - imported, time.monotonic() - joined)
"""


def report(hall: Hall, times: int) -> str:
    up: list[float] = []
    cold: list[float] = []
    for _ in range(times):
        hall.manta("down")
        began = time.monotonic()
        hall.manta("up")
        up.append(time.monotonic() - began)
        hall.manta("down")
        cold.append(hall.seconds_to_first_call(hall.asked("run")))
    warm = [hall.seconds_to_first_call(hall.asked("run")) for _ in range(times)]
    jobs = [hall.seconds_to_first_call(hall.asked("submit", "--no-follow")) for _ in range(times)]
    alone = [_alone(hall) for _ in range(times)]
    floor = _median(up) + _median(alone)
    rows = [
        ("Ray alone: `manta up`, which is `ray start` and a wait", up, None, None),
        ("Ray alone: a program that joins and calls one actor", alone, None, None),
        ("`manta run`, no cluster running", cold, COLD_AIM_S, floor),
        ("`manta run`, on a running cluster", warm, WARM_AIM_S, _median(alone)),
        ("`manta submit`, on a running cluster", jobs, None, 2 * _median(alone)),
    ]
    lines = [
        "### From a command to its first model call",
        "",
        f"Median of {times}, seconds; the endpoint notes when the first question comes. *Floor* is"
        " what Ray alone takes for the same number of programs and cluster starts, from the rows"
        " above, with one actor where a run needs two, and five on a new cluster.",
        "",
        "| what | s | least to most | aim | x floor |",
        "|---|--:|--:|--:|--:|",
    ]
    for name, taken, aim, below in rows:
        ratio = f"{_median(taken) / below:.2f}" if below else ""
        wanted = f"{aim:g}" if aim else ""
        spread = f"{min(taken):.2f} to {max(taken):.2f}"
        lines.append(f"| {name} | {_median(taken):.2f} | {spread} | {wanted} | {ratio} |")
    return "\n".join(lines)


def _alone(hall: Hall) -> float:
    """A program's life from its start to the answer of its first actor, on the hall's cluster."""
    exports = dict(
        line.removeprefix("export ").split("=", 1) for line in hall.manta("up").stdout.splitlines()
    )
    began = time.monotonic()
    subprocess.run(
        [sys.executable, "-W", "ignore", "-c", ALONE, exports["RAY_ADDRESS"]],
        cwd=hall.place, env={**hall.environment, **exports}, check=True,
        capture_output=True, timeout=PATIENCE_S,
    )  # fmt: skip
    return time.monotonic() - began


def _median(taken: list[float]) -> float:
    return statistics.median(taken)
