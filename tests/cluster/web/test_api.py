import asyncio
import json
from typing import Any

import pytest

from cluster.web.streaming import stream
from orchestration.events import event_of
from orchestration.workflow.journal import RunStatus
from tests.cluster.web.stage import RUN, Stage

API = f"/api/v1/runs/{RUN}"


async def test_a_program_sees_what_a_run_asks_and_approves_it(stage: Stage) -> None:
    await stage.start()
    async with stage.program() as program:
        detail = (await program.get(API)).json()
        (asked,) = detail["questions"]
        assert (detail["run"]["status"], asked["gate"]) == ("suspended", "plan")
        assert (await program.get(f"{API}/plan")).json()["asked"]["digest"] == asked["digest"]
        said = {"digest": asked["digest"], "by": "Ada"}
        answer = await program.post(f"{API}/approve", json=said)
        assert (answer.status_code, answer.json()["label"]) == (200, "plan")
    outcome = await stage.go_on()
    assert [one.label for one in outcome.suspensions] == ["delivery"]


@pytest.mark.parametrize(
    ("verb", "body"),
    [("approve", {}), ("reject", {}), ("request-changes", {"comment": "Smaller."})],
)
async def test_deciding_twice_conflicts_and_tells_the_first(
    stage: Stage, verb: str, body: dict[str, Any]
) -> None:
    await stage.start()
    async with stage.program() as program:
        first = await program.post(f"{API}/{verb}", json=body | {"by": "Ada"})
        again = await program.post(f"{API}/{verb}", json=body | {"by": "Ada"})
    assert (first.status_code, again.status_code) == (200, 409)
    assert f"{verb}, by Ada" in again.json()["what"]


async def test_of_two_at_once_one_wins_and_one_hears_it(stage: Stage) -> None:
    await stage.start()
    async with stage.program() as program, asyncio.TaskGroup() as group:
        said = [
            group.create_task(program.post(f"{API}/{verb}", json={"by": verb}))
            for verb in ("approve", "reject")
        ]
    assert sorted(task.result().status_code for task in said) == [200, 409]


async def test_changes_are_heard_by_the_planner(stage: Stage) -> None:
    await stage.start()
    async with stage.program() as program:
        await program.post(f"{API}/request-changes", json={"comment": "Smaller steps."})
    await stage.go_on()
    assert stage.crew.notes == ["Smaller steps."]


@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/runs/nobody", None, 404),
        ("GET", "/api/v1/runs/nobody/events", None, 404),
        ("GET", "/api/v1/runs/nobody/events/stream", None, 404),
        ("GET", "/api/v1/runs/nobody/diff", None, 404),
        ("POST", "/api/v1/runs/nobody/approve", {}, 404),
        ("POST", "/api/v1/runs/nobody/cancel", {}, 404),
        ("GET", "/api/v1/runs/No_Body", None, 422),
        ("GET", "/api/v1/runs?limit=0", None, 422),
        ("GET", f"{API}/evidence", None, 404),
        ("GET", f"{API}/bundle", None, 404),
        ("GET", f"{API}/diff", None, 404),
        ("GET", "/api/v1/nothing", None, 404),
        ("DELETE", API, None, 405),
        ("POST", f"{API}/approve", {"label": "delivery"}, 404),
        ("POST", f"{API}/approve", {"digest": "0" * 64}, 409),
        ("POST", f"{API}/approve", {"unknown": 1}, 422),
        ("POST", f"{API}/approve", {"by": "a\nb"}, 422),
        ("POST", f"{API}/approve", {"plan": {"summary": "x", "tasks": [{}]}}, 422),
        ("POST", f"{API}/request-changes", {"comment": "  "}, 422),
        ("POST", f"{API}/request-changes", {}, 422),
    ],
)
async def test_every_error_is_one_sentence_and_a_fix(
    stage: Stage, method: str, path: str, body: object, status: int
) -> None:
    await stage.start()
    before = await stage.happened()
    async with stage.program() as program:
        answer = await program.request(method, path, json=body)
    assert answer.status_code == status, answer.text
    told = answer.json()
    assert {"what", "fix"} <= set(told) <= {"what", "fix", "kind"}
    assert all(told.values())
    assert await stage.happened() == before


async def test_runs_come_in_pages(stage: Stage) -> None:
    await stage.start()
    async with stage.program() as program:
        page = (await program.get("/api/v1/runs?limit=1")).json()
        assert ([run["run_id"] for run in page["runs"]], page["next"]) == ([RUN], None)
        assert (await program.get("/api/v1/runs?offset=1")).json()["runs"] == []


async def test_cancelling_ends_the_run_once(stage: Stage) -> None:
    await stage.start()
    async with stage.program() as program:
        first = (await program.post(f"{API}/cancel", json={})).json()
        again = (await program.post(f"{API}/cancel", json={})).json()
    assert (first["accepted"], again["accepted"]) == (True, False)
    assert (await stage.journal.info(RUN)).status is RunStatus.CANCELLED


# --- events ------------------------------------------------------------------------------------


async def test_events_in_pages_are_all_of_them_once(stage: Stage) -> None:
    await stage.at_delivery()
    found: list[int] = []
    after = 0
    async with stage.program() as program:
        while True:
            page = (await program.get(f"{API}/events", params={"after": after, "limit": 7})).json()
            found += [event["seq"] for event in page["events"]]
            if page["after"] == after:
                break
            after = page["after"]
    assert found == await _all(stage)


async def test_a_stream_that_broke_goes_on_after_the_last_event_seen(stage: Stage) -> None:
    await stage.at_delivery()
    every = await _all(stage)
    async with stage.program() as program:
        whole = await program.get(f"{API}/events/stream")
        assert whole.headers["content-type"].startswith("text/event-stream")
        rest = await program.get(f"{API}/events/stream", headers={"Last-Event-ID": str(every[4])})
        by_url = await program.get(f"{API}/events/stream?after={every[4]}")
    assert _ids(whole.text) == every
    assert _ids(rest.text) == _ids(by_url.text) == every[5:]
    assert "event: end" not in whole.text, "it waits for a person and may go on"


async def test_a_stream_of_a_run_that_has_ended_says_so(stage: Stage) -> None:
    await stage.start()
    async with stage.program() as program:
        await program.post(f"{API}/reject", json={})
        await stage.go_on()
        told = (await program.get(f"{API}/events/stream")).text
    assert told.endswith('event: end\ndata: {"status":"failed"}\n\n')


async def test_a_stream_tells_what_happens_while_it_is_open(stage: Stage) -> None:
    await stage.start()
    journal = stage.journal
    seen = (await journal.info(RUN)).seq
    await journal.claim(RUN, "somebody")
    lines = aiter(stream(stage.hall, RUN, seen).body_iterator)
    async with asyncio.timeout(5):
        assert str(await anext(lines)).startswith("retry: ")
        assert str(await anext(lines)).startswith(f"id: {seen + 1}\n")
        upcoming = asyncio.ensure_future(anext(lines))
        await journal.request_cancel(RUN, by="Ada")
        told = str(await upcoming)
    assert json.loads(told.partition("data: ")[2])["kind"] == "cancel"


async def _all(stage: Stage) -> list[int]:
    records = await stage.journal.read(RUN)
    return [event.seq for event in filter(None, map(event_of, records))]


def _ids(text: str) -> list[int]:
    return [int(line[4:]) for line in text.splitlines() if line.startswith("id: ")]
