"""What the hall costs: starts, memory, and how fresh what a watcher sees is.

    .venv/bin/python -m benchmarks.cluster [--quick]

The real program in processes of its own, on a local Ray cluster that this starts and ends; models
are an endpoint on loopback. Writes docs/benchmarks-cluster.md, one part for each of `PARTS`;
`--quick` measures once and prints only.
"""

import argparse
import os
import tempfile
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

from benchmarks import cluster_events, cluster_memory, cluster_starts
from benchmarks.cluster_hall import Hall
from benchmarks.engine import machine
from benchmarks.engine_contestants import ROOT
from benchmarks.engine_report import write_section

PAGE = ROOT / "docs" / "benchmarks-cluster.md"
Part = Callable[[Hall, int], str]
PARTS: Mapping[str, Part] = {
    "starts": cluster_starts.report,
    "memory": cluster_memory.report,
    "events": cluster_events.report,
}
"""By name, in the order of the page. Each is given the hall, as the one before left it, and how
often to measure; it returns Markdown with a heading of level 3."""


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="measure once; print only")
    quick: bool = parser.parse_args().quick
    loads = [os.getloadavg()[0]]
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as place:
        hall = Hall(Path(place))
        try:
            parts: list[str] = []
            for part in PARTS.values():
                parts.append(part(hall, 1 if quick else 3))
                loads.append(os.getloadavg()[0])
        finally:
            hall.close()
    text = "\n\n".join([_head(loads), *parts])
    if not quick:
        write_section(PAGE, "cluster", text)
    print(text)


def _head(loads: list[float]) -> str:
    at = datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")
    busy = (
        " **The machine was busy with other work: times are what a loaded machine gives. The"
        " ratios, taken in the same minutes, say more.**"
        if max(loads) > (os.cpu_count() or 1) + 1
        else ""
    )
    return (
        f"## The hall\n\nOne run, {at}. Machine: {machine()}; Ray {version('ray')}; load average"
        f" {min(loads):.1f} to {max(loads):.1f}.{busy} The real program on a local cluster of its"
        " own; the model is an endpoint on loopback that refuses at once. To measure anew:"
        " `.venv/bin/python -m benchmarks.cluster`."
    )


if __name__ == "__main__":
    main()
