import asyncio
import re
from html import unescape
from pathlib import Path

import pytest

from actors.tools.text import neutralise
from cluster.desk.known import knowledge
from cluster.steward import LOOK_S, Steward
from orchestration.errors import GitError
from orchestration.ids import RunId
from orchestration.messages import TreeRef
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import RecordKind, RunStatus
from tests.actors.proven import prove
from tests.cluster.web.stage import EVIL, PATH, RUN, Stage

OURS = ['<script src="/static/page.js" defer>', '<img src="/static/manta.svg"']
PAGES = ("", "/evidence", "/log", "/diff", "/diff?file=0&on=new-2")


async def test_a_hostile_run_shows_as_text_on_every_page(stage: Stage) -> None:
    browser = await stage.at_delivery()
    note = {"csrf": stage.form_token(browser), "path": PATH, "on": "new-2", "file": "0"}
    await browser.post(f"/runs/{RUN}/comments", data=note | {"text": EVIL})
    for path in ("/", *(f"/runs/{RUN}{page}" for page in PAGES)):
        answer = await browser.get(path)
        assert answer.status_code == 200, path
        found = re.findall(r'<script[^>]*>|<img[^>]*?"[^>]*?"|<b>bold', answer.text)
        assert found == OURS, path
        assert not re.search(r"\son\w+=|\sstyle=|javascript:", _tags(answer.text)), path
        assert not {"\u202e", "\x1b"} & set(answer.text), path
        assert "alert(1)" in answer.text, "it is told, as text"


def _tags(html: str) -> str:
    """What is markup in it: attribute values that are quoted are left out."""
    return " ".join(re.sub(r'"[^"]*"', '""', tag) for tag in re.findall(r"<[a-z][^>]*>", html))


async def test_approving_by_the_form_decides_and_the_run_goes_on(stage: Stage) -> None:
    browser = await stage.at_delivery()
    answer = await stage.decide(browser, "approve", by="Ada")
    assert (answer.status_code, answer.headers["location"]) == (303, f"/runs/{RUN}#decisions")
    assert (await stage.go_on()).status is RunStatus.DONE
    shown = (await browser.get(f"/runs/{RUN}")).text
    assert "by Ada" in shown
    assert "Delivered" in shown


async def test_comments_on_lines_reach_the_planner_word_for_word(stage: Stage) -> None:
    browser = await stage.at_delivery()
    form = {"csrf": stage.form_token(browser), "path": PATH, "file": "0"}
    await browser.post(f"/runs/{RUN}/comments", data=form | {"on": "new-3", "text": "Why three?"})
    await browser.post(f"/runs/{RUN}/comments", data=form | {"on": "old-2", "text": "Keep two."})
    assert "Why three?" in (await browser.get(f"/runs/{RUN}/diff")).text
    await browser.post(f"/runs/{RUN}/comments/9/delete", data=form)
    await stage.decide(browser, "request-changes", comment="Almost.")
    await stage.go_on()
    said = f"Almost.\n{PATH}:3: Why three?\n{PATH}:2 (as it was before): Keep two."
    assert said in stage.crew.notes
    assert "Sent with" not in (await browser.get(f"/runs/{RUN}")).text


def _inputs(page: str) -> dict[str, str]:
    """What a browser would send of a page's plan, untouched."""
    texts = re.findall(r'<textarea[^>]*name="([\w-]+)"[^>]*>\n?(.*?)</textarea>', page, re.DOTALL)
    lines = re.findall(r'<input id="task[\w-]*" name="([\w-]+)"[^>]*value="(.*?)"', page)
    return {name: unescape(text).replace("\n", "\r\n") for name, text in (*texts, *lines)}


async def test_a_plan_that_nobody_touched_is_built_to_the_letter(stage: Stage) -> None:
    await stage.start()
    browser = await stage.browser()
    shown = _inputs((await browser.get(f"/runs/{RUN}")).text)
    assert shown["task-0-description"] == neutralise(EVIL)
    assert (await stage.decide(browser, "approve", **shown)).status_code == 303
    (decided,) = await stage.journal.read(RUN, kinds=[RecordKind.DECIDED])
    assert "edited" not in decided.body


async def test_an_edited_plan_is_the_one_that_is_built(stage: Stage) -> None:
    await stage.start()
    browser = await stage.browser()
    shown = _inputs((await browser.get(f"/runs/{RUN}")).text)
    written = {
        "task-0-title": "Count words",
        "task-1-title": "Say so",
        "task-1-description": "In the README.",
        "task-1-acceptance": "It is there.\r\n\r\nIt is true.",
        "task-1-after": "a",
    }
    assert (await stage.decide(browser, "approve", **shown | written)).status_code == 303
    await stage.go_on()
    plan = (await knowledge(stage.journal, RUN)).plan
    assert plan is not None
    first, second = plan.tasks
    assert (first.title, first.description) == ("Count words", EVIL), "what was not touched stays"
    assert (second.id, second.after) == ("say-so", ("a",))
    assert second.acceptance == ("It is there.", "It is true.")
    assert "approve, with edits" in (await browser.get(f"/runs/{RUN}")).text


@pytest.mark.parametrize(
    ("written", "complaint"),
    [
        ({"task-0-title": "x" * 80}, "task a, title: "),
        ({"task-0-after": "nobody"}, "after unknown tasks nobody"),
        ({"task-0-after": "a"}, "circle"),
        ({"task-0-acceptance": "  "}, "task a, acceptance: "),
        ({"task-0-out": "1"}, "no task is left"),
        ({"task-1-title": "Half a task"}, "task half-a-task, description: "),
    ],
)
async def test_a_plan_that_does_not_hold_together_comes_back_with_what_was_typed(
    stage: Stage, written: dict[str, str], complaint: str
) -> None:
    await stage.start()
    browser = await stage.browser()
    said = {"comment": "Mine.", "by": "Ada"} | written
    answer = await stage.decide(browser, "approve", **said)
    assert answer.status_code == 422
    assert complaint in unescape(answer.text)
    assert all(typed.strip() in answer.text for typed in said.values())
    assert (await stage.asked())["label"] == "plan"


async def test_the_second_of_two_people_hears_what_the_first_decided(stage: Stage) -> None:
    await stage.start()
    one, two = await stage.browser(), await stage.browser()
    asked = await stage.asked()
    await stage.decide(one, "approve", by="Ada")
    form = {"csrf": stage.form_token(two), "label": "plan", "digest": asked["digest"]}
    late = await two.post(f"/runs/{RUN}/decide", data=form | {"answer": "reject"})
    assert late.status_code == 409
    assert "was decided already: approve, by Ada" in late.text


async def test_a_decision_about_a_question_that_has_changed_is_refused(stage: Stage) -> None:
    await stage.start()
    browser = await stage.browser()
    answer = await stage.decide(browser, "approve", digest="0" * 64)
    assert (answer.status_code, (await stage.asked())["label"]) == (409, "plan")


async def test_findings_and_surviving_mutants_stand_beside_their_lines(stage: Stage) -> None:
    browser = await stage.at_delivery()
    rows = (await browser.get(f"/runs/{RUN}/diff")).text.split("<tr ")
    kinds = [row.split('"')[1] for row in rows[1:]]
    assert kinds == ["hunk", "same", "changed", "remark", "added", "remark", "same"]


async def test_the_change_is_read_from_the_commits_where_they_are_there(
    stage: Stage, tmp_path: Path
) -> None:
    proven = prove(tmp_path / "there")
    bundle = await stage.journal.put_blob(proven.checkout.bundle("--all"))
    base = TreeRef(commit=proven.base, bundles=(bundle,))
    stage.crew.base, stage.crew.code = base, TreeRef(commit=proven.code, bundles=(bundle,))
    browser = await stage.at_delivery()
    page = (await browser.get(f"/runs/{RUN}/diff")).text
    assert "def bye(name):" in page
    assert "tests/test_bye.py" in page
    assert PATH not in page


async def test_a_large_diff_is_leafed_through_in_light_pages(stage: Stage) -> None:
    lines = "".join(f"+line {n}\n" for n in range(10_000))
    big = "".join(
        f"diff --git a/{name} b/{name}\n--- a/{name}\n+++ b/{name}\n@@ -0,0 +1,10000 @@\n{lines}"
        for name in ("one.py", "two.py")
    )
    stage.crew.change = big
    browser = await stage.at_delivery()
    page = await browser.get(f"/runs/{RUN}/diff")
    assert len(page.content) < 80_000
    assert "+20000" in page.text
    last = (await browser.get(f"/runs/{RUN}/diff?file=1&start=9901")).text
    assert ">line 9999<" in last
    assert ">line 9899<" not in last


async def test_a_thousand_runs_are_listed_page_by_page(stage: Stage) -> None:
    journal = stage.journal
    assert isinstance(journal, InMemoryJournal)
    for number in range(1_000):
        await journal.create_run(
            RunId(f"run-{number}"), workflow="w", definition="d", title=f"Nr {number}.", body="{}"
        )
    browser = await stage.browser()
    first = (await browser.get("/")).text
    assert len(first) < 50_000
    assert first.count("/runs/run-") == 50
    last = (await browser.get("/?page=20")).text
    assert "Nr 0." in last
    assert "Older" not in last


async def test_cancelling_asks_the_store(stage: Stage) -> None:
    await stage.start()
    browser = await stage.browser()
    await browser.post(f"/runs/{RUN}/cancel", data={"csrf": stage.form_token(browser)})
    assert (await stage.journal.info(RUN)).status is RunStatus.CANCELLED
    late = await browser.post(
        f"/runs/{RUN}/decide",
        data={
            "csrf": stage.form_token(browser),
            "label": "plan",
            "digest": "0",
            "answer": "approve",
        },
    )
    assert late.status_code == 409
    assert "too late" in late.text


@pytest.mark.parametrize("path", ["/runs/nobody", "/runs/nobody/diff", "/runs/nobody/log", "/x"])
async def test_what_is_not_there_is_a_page_that_says_so(stage: Stage, path: str) -> None:
    browser = await stage.browser()
    answer = await browser.get(path)
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")


async def test_an_empty_list_says_how_to_begin(stage: Stage) -> None:
    assert "No runs yet" in (await (await stage.browser()).get("/")).text


async def test_why_a_run_does_not_go_on_is_on_its_page_and_another_try_takes_it_away(
    stage: Stage,
) -> None:
    await stage.start()
    browser = await stage.browser()
    stage.hall.steward = Steward(stage.hall.store.use, _refused)
    await stage.decide(browser, "approve")
    assert "goes on in a moment" in (await browser.get(f"/runs/{RUN}")).text
    await stage.hall.steward.look()
    told = (await browser.get(f"/runs/{RUN}")).text
    assert "its objects are gone" in told
    assert "goes on in a moment" not in told
    stage.hall.steward = Steward(stage.hall.store.use, stage.desk.resume)
    stage.drives = True
    assert await stage.hall.steward.look() == [RUN]
    assert "its objects are gone" not in (await browser.get(f"/runs/{RUN}")).text


async def _refused(run_id: RunId) -> None:
    raise GitError("its objects are gone", "fetch them")


async def test_a_decision_is_acted_on_at_once(stage: Stage) -> None:
    stage.drives = True
    await stage.start()
    browser = await stage.browser()
    async with stage.hall.open(), asyncio.timeout(LOOK_S / 2):
        await stage.journal.wait(RUN, after=0, timeout_s=1)
        await stage.decide(browser, "approve")
        while not [one for one in (await stage.desk.run(RUN)).questions if one.gate == "delivery"]:
            await stage.journal.wait(RUN, after=await stage.happened(), timeout_s=0.2)
    assert stage.resumed == [RUN]
