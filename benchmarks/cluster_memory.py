"""Memory of the whole local set-up while a run waits for its first model call."""

import re
from dataclasses import dataclass
from pathlib import Path

from benchmarks.cluster_hall import PATIENCE_S, Hall

KINDS = (
    ("ours: the run's supervisor", r"^ray::supervisor"),
    ("ours: checkpoints, the one writer of the store", r"^ray::checkpoints"),
    ("ours: memory (Milvus Lite)", r"^ray::memory"),
    ("ours: models (litellm)", r"^ray::models"),
    ("ours: governor", r"^ray::governor"),
    ("ours: the command that follows the run", r"cluster\.cli"),
    ("ours: the keeper", r"cluster\.machines\.keeper"),
    ("ours: sandboxes", r"bwrap|manta-init"),
    ("Ray: gcs_server", r"/gcs_server"),
    ("Ray: raylet and its agents", r"^\S*/raylet|^ray::(dashboardagent|runtimeenvagent)"),
    ("Ray: dashboard and its parts", r"dashboard|forkserver|resource_tracker"),
    ("Ray: processes in reserve, for the next actors", r"^ray::idle|default_worker"),
    ("ours: an architect, waiting for its model", r"^ray::"),
    ("others", r""),
)


@dataclass(slots=True)
class Held:
    """What processes of a kind hold, in bytes."""

    processes: int = 0
    pss: int = 0
    uss: int = 0


def report(hall: Hall, times: int) -> str:
    del times
    before = len(hall.endpoint.asked)
    hall.endpoint.held.clear()
    running = hall.start(*hall.asked("run"))
    while not hall.endpoint.hears(before + 1) and running.poll() is None:
        continue
    found = measured([*hall.processes(), running.pid])
    hall.endpoint.held.set()
    running.communicate(timeout=PATIENCE_S)
    lines = [
        "### Memory of the whole local set-up",
        "",
        "One run under way, its architect waiting for the model. PSS counts memory that several"
        " processes share by its share of each; USS is what a process has to itself. MB.",
        "",
        "| process | number | PSS | USS |",
        "|---|--:|--:|--:|",
    ]
    for kind, held in found.items():
        lines.append(f"| {kind} | {held.processes} | {_mb(held.pss)} | {_mb(held.uss)} |")
    for name, prefix in (("**ours**", "ours"), ("**Ray's**", "Ray"), ("**all**", "")):
        chosen = [held for kind, held in found.items() if kind.startswith(prefix)]
        count = sum(held.processes for held in chosen)
        pss, uss = sum(held.pss for held in chosen), sum(held.uss for held in chosen)
        lines.append(f"| {name} | {count} | {_mb(pss)} | {_mb(uss)} |")
    return "\n".join(lines)


def measured(pids: list[int]) -> dict[str, Held]:
    """Memory by kind of process; those that end meanwhile do not count."""
    found: dict[str, Held] = {}
    for pid in pids:
        try:
            title = Path(f"/proc/{pid}/cmdline").read_bytes().replace(b"\0", b" ").decode()
            rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
        except OSError:
            continue
        kind = next(kind for kind, mark in KINDS if re.search(mark, title, re.IGNORECASE))
        held = found.setdefault(kind, Held())
        held.processes += 1
        held.pss += _sum(rollup, "Pss")
        held.uss += _sum(rollup, "Private_Clean") + _sum(rollup, "Private_Dirty")
    order = [kind for kind, _ in KINDS]
    return dict(sorted(found.items(), key=lambda pair: order.index(pair[0])))


def _sum(rollup: str, name: str) -> int:
    found = re.search(rf"^{name}:\s+(\d+) kB$", rollup, re.MULTILINE)
    return int(found[1]) * 1024 if found else 0


def _mb(size: int) -> str:
    return f"{size / 1024**2:.0f}"
