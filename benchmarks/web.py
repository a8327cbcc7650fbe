"""The review page with 1,000 runs and a change of 20,000 lines: weight, time, and how live it is.

    .venv/bin/python -m benchmarks.web            # prints, and writes docs/benchmarks-web.md

A hall over SQLite, in a thread of this process, and Debian's Chromium without a window. *Server* is
from the first byte asked to the last one had, over HTTP. *Ready* and *painted* are what the browser
says of a page opened anew: its scripts have run, and its first text can be read.
"""

import argparse
import asyncio
import json
import os
import shutil
import statistics
import tempfile
import time
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

from actors.journal.opening import open_journal
from cluster.desk.near import NearDesk
from cluster.desk.store import SharedStore
from cluster.settings import Settings
from cluster.web.access import Access
from cluster.web.hall import Hall
from orchestration.approval import ApprovalPolicy, Rule
from orchestration.delivery import delivery
from orchestration.ids import RunId, StepGrant, StepKey
from orchestration.messages import FeatureRequest, Limits
from orchestration.workflow.engine import Engine
from orchestration.workflow.journal import Journal, NewRecord, RecordKind, RunStatus
from orchestration.workflow.outcome import decide
from orchestration.workflow.retry import Retry
from tests.cluster.web.served import Served, served
from tests.cluster.web.stage import HostileCrew

PAGE = Path(__file__).parents[1] / "docs" / "benchmarks-web.md"
TOKEN = "t" * 43
RUNS, LINES, LIVE = 1_000, 20_000, 20
BIG, BUSY = RunId("the-big-one"), RunId("the-busy-one")
PAGES = {
    "1,000 runs, first page": "/",
    "1,000 runs, last page": "/?page=20",
    "1,000 runs, those that wait": "/?heap=waiting",
    "1,000 runs, a search": "/?q=nr+77",
    "a run that asks for delivery": f"/runs/{BIG}",
    "20,000 lines, first page": f"/runs/{BIG}/diff",
    "20,000 lines, in the middle": f"/runs/{BIG}/diff?file=5&start=600",
    "20,000 lines, a line by its number": f"/runs/{BIG}/diff?path=pkg/part_9.py&line=1990",
    "20,000 lines, a comment's form": f"/runs/{BIG}/diff?file=3&start=900&on=new-1000",
}
TIMES = """() => {
  const [page] = performance.getEntriesByType("navigation");
  const [paint] = performance.getEntriesByName("first-contentful-paint");
  return [page.domContentLoadedEventEnd, paint ? paint.startTime : 0];
}"""
PAINTED = "() => performance.getEntriesByName('first-contentful-paint').length > 0"
HEAR = """() => {
  window.heard = [];
  new MutationObserver(() => {
    for (const [, sent] of document.getElementById("recent").textContent.matchAll(/sent (\\d+)/g)) {
      if (!heard.some(([known]) => known === sent)) heard.push([sent, Date.now()]);
    }
  }).observe(document.body, { childList: true, subtree: true, characterData: true });
}"""


@dataclass(frozen=True)
class Measured:
    """One page."""

    name: str
    weight: int
    server: list[float]
    ready: list[float]
    painted: list[float]


def change() -> str:
    """A unified diff of ten new and changed files, 2,000 lines each."""
    parts: list[str] = []
    for number in range(10):
        path = f"pkg/part_{number}.py"
        old = "".join(f"-    value_{n} = compute({n}, old=True)\n" for n in range(500))
        new = "".join(f"+    value_{n} = compute({n}, fresh={n % 7})\n" for n in range(1_500))
        head = f"diff --git a/{path} b/{path}\n--- a/{path}\n+++ b/{path}\n"
        parts.append(f"{head}@@ -1,500 +1,1500 @@ def part_{number}():\n{old}{new}")
    return "".join(parts)


async def furnish(journal: Journal) -> StepGrant:
    """A thousand runs, twenty of them live; one asks about a big change, one is busy."""
    for number in range(RUNS - 2):
        run_id = RunId(f"run-{number}")
        title = f"Nr {number}: add another function to the package and use it"
        await journal.create_run(run_id, workflow="w", definition="d", title=title, body="{}")
        lease = await journal.claim(run_id, "bench")
        status = RunStatus.SUSPENDED if number % (RUNS // LIVE) == 0 else RunStatus.CANCELLED
        await journal.append(lease, some_steps(200 if status is RunStatus.SUSPENDED else 20))
        await journal.release(lease, status)
    crew = HostileCrew()
    crew.change = change()
    flow = delivery(crew, Limits(), Retry())
    request = FeatureRequest(
        run_id=BIG,
        text="Make the package faster.",
        repository="pkg",
        base=crew.base,
        policy=ApprovalPolicy(gates={"plan": Rule.ASK, "delivery": Rule.ASK}),
    )
    engine = Engine(journal, owner="bench")
    await engine.start(flow, request, run_id=BIG, title=request.text)
    await decide(journal, flow, BIG, '{"answer": "approve"}', by="bench", label="plan")
    await engine.resume(flow, BIG)
    busy = request.model_copy(update={"run_id": BUSY})
    await engine.start(flow, busy, run_id=BUSY, title=busy.text)
    lease = await journal.claim(BUSY, "somebody", ttl_s=3_600.0)
    step = StepKey("at_work")
    await journal.append(lease, [NewRecord(RecordKind.STARTED, step_key=step, attempt=1)])
    return StepGrant(BUSY, step, lease.epoch, 1)


def some_steps(number: int) -> list[NewRecord]:
    return [
        NewRecord(RecordKind.STARTED, step_key=StepKey(f"tasks[t{n % 4}]/step_{n}"), attempt=1)
        for n in range(number)
    ]


def look(page: Page, url: str, name: str, path: str, times: int) -> Measured:
    """One page, opened several times."""
    server: list[float] = []
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=url, headers=headers, timeout=60) as client:
        weight = len(client.get(path).content)
        for _ in range(times):
            began = time.perf_counter()
            client.get(path)
            server.append(time.perf_counter() - began)
    seen: list[tuple[float, float]] = []
    for _ in range(times):
        page.goto(url + path, wait_until="load")
        page.wait_for_function(PAINTED)
        ready, painted = page.evaluate(TIMES)
        seen.append((ready / 1000, painted / 1000))
    return Measured(name, weight, server, [one[0] for one in seen], [one[1] for one in seen])


def latency(
    page: Page, hall: Served, journal: Journal, grant: StepGrant, times: int
) -> list[float]:
    """Seconds from before an event is stored to the moment a person could see it."""
    page.goto(f"{hall.url}/runs/{BUSY}", wait_until="load")
    page.evaluate(HEAR)
    for _ in range(times):
        sent = str(int(time.time() * 1000))
        body = json.dumps({"text": f"sent {sent}"})
        hall.do(journal.append_under(grant, [NewRecord(RecordKind.NOTE, body=body)]))
        page.wait_for_function("(sent) => heard.some(([known]) => known === sent)", arg=sent)
        page.wait_for_timeout(700)
    heard = page.evaluate("heard")
    return [(seen - int(sent)) / 1000 for sent, seen in heard]


def measure(place: Path, times: int) -> tuple[list[Measured], list[float]]:
    with served() as hall, sync_playwright() as playwright:
        journal = hall.do(open_journal(place / "runs"))

        @asynccontextmanager
        async def opening() -> AsyncGenerator[Journal]:
            yield journal

        desk = NearDesk(Settings(state_dir=place), SharedStore(opening, lambda: True))
        print("furnishing the store", flush=True)
        grant = asyncio.run_coroutine_threadsafe(furnish(journal), hall.loop).result(1_200)
        hall.open(Hall(desk, Access(TOKEN), drives=False))
        found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))))
        sandboxed = os.getuid() != 0
        browser = playwright.chromium.launch(executable_path=found, chromium_sandbox=sandboxed)
        page = browser.new_page()
        page.set_default_timeout(120_000)
        page.goto(f"{hall.url}/enter?token={TOKEN}")
        measured = [look(page, hall.url, name, path, times) for name, path in PAGES.items()]
        delays = latency(page, hall, journal, grant, times * 2)
        browser.close()
        hall.close()
        hall.do(journal.close())
    return measured, delays


def ms(values: list[float]) -> str:
    return f"{statistics.median(values) * 1000:.0f} ({min(values) * 1000:.0f})"


def written(measured: list[Measured], delays: list[float], times: int, loads: str) -> str:
    lines = [
        "# The review page: weight, time, and how live it is",
        "",
        f"A store of {RUNS:,} runs and a change of {LINES:,} lines in ten files. Milliseconds are "
        f"medians of {times} (the least in parentheses). *Server*: a whole answer over HTTP from a "
        "hall on SQLite. *Ready*: scripts have run (`DOMContentLoaded`); *painted*: the first text "
        "can be read, both as Chromium tells them of a page opened anew, styles and script out of "
        "its cache. Nothing is compressed.",
        "",
        f"Measured {datetime.now(UTC):%Y-%m-%d %H:%M} UTC, 2 cores shared with other work, load "
        f"average {loads}. To measure anew: `.venv/bin/python -m benchmarks.web`.",
        "",
        "| page | KB | server ms | ready ms | painted ms |",
        "|---|--:|--:|--:|--:|",
    ]
    lines += [
        f"| {one.name} | {one.weight / 1000:.0f} | {ms(one.server)} | {ms(one.ready)} | "
        f"{ms(one.painted)} |"
        for one in measured
    ]
    lines += [
        "",
        f"From an event's way into the store to the page that shows it: **{ms(delays)} ms**, "
        f"{sorted(delays)[-1] * 1000:.0f} at most of {len(delays)}. That includes storing it, the "
        "stream, fetching the page anew and putting its parts in place. After an event the page "
        "rests for 400 ms, so that a busy run costs at most two and a half pages a second.",
        "",
        "A change is read and taken apart once for each state of its run; leafing through it costs "
        "a page of 300 rows.",
        "",
    ]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--times", type=int, default=7)
    parser.add_argument("--dry", action="store_true", help="Print only.")
    told = parser.parse_args()
    before = os.getloadavg()[0]
    with tempfile.TemporaryDirectory() as place:
        measured, delays = measure(Path(place), told.times)
    loads = f"{before:.1f} to {os.getloadavg()[0]:.1f}"
    text = written(measured, delays, told.times, loads)
    print(text)
    if not told.dry:
        PAGE.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
