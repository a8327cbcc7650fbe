"""The review page in a real browser."""

import os
import shutil
from collections.abc import AsyncGenerator, Generator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, BrowserContext, Locator, Page, expect, sync_playwright

from actors.models.gateway import ModelReply, ModelRequest
from cluster.desk.near import Driver, NearDesk
from cluster.desk.store import SharedStore
from cluster.settings import Settings
from cluster.web.access import SESSION_S, Access
from cluster.web.hall import Hall
from orchestration.ids import RunId, StepGrant, StepKey
from orchestration.messages import FeatureRequest
from orchestration.workflow.journal import Journal, NewRecord, RecordKind, RunStatus
from tests.cluster.web.served import Served, served
from tests.cluster.web.stage import EVIL, PATH, RUN, TOKEN, Stage
from tests.journeys.bench import Bench, minds, plan, steady, task

pytestmark = [pytest.mark.slow, pytest.mark.timeout(240)]
PATIENCE_MS = 60_000.0
WATCH = """
window.trouble = [];
addEventListener("securitypolicyviolation", (event) => trouble.push(event.violatedDirective));
for (const name of ["alert", "confirm", "prompt"]) window[name] = () => trouble.push(name);
"""
"""What a page notes of scripts that should not run."""


@pytest.fixture(scope="module")
def browser() -> Generator[Browser]:
    """One for all tests here."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))))
    with sync_playwright() as playwright:
        opened = playwright.chromium.launch(
            executable_path=found, chromium_sandbox=os.getuid() != 0
        )
        yield opened
        opened.close()


@dataclass
class Person:
    """Somebody at a browser of their own."""

    context: BrowserContext
    page: Page
    hall: Served
    trouble: list[str] = field(default_factory=list[str])

    def open(self, path: str = "/") -> Page:
        self.page.goto(self.hall.url + path)
        return self.page

    def sign_in(self) -> Page:
        self.open()
        self.page.get_by_label("Token").fill(self.hall.token)
        self.page.get_by_role("button", name="Sign in").click()
        return self.page

    def decide(self, answer: str, comment: str = "", by: str = "") -> None:
        asked = self.page.locator(".question")
        if comment:
            asked.get_by_label("Comment").fill(comment)
        if by:
            asked.get_by_label("Your name").fill(by)
        asked.get_by_role("button", name=answer, exact=True).click()


class People:
    """Opens a person's browser; all are closed after the test."""

    def __init__(self, browser: Browser, hall: Served) -> None:
        self._browser, self._hall = browser, hall
        self.opened: list[BrowserContext] = []

    def one(self, **how: Any) -> Person:
        context = self._browser.new_context(**how)
        context.set_default_timeout(PATIENCE_MS)
        context.add_init_script(WATCH)
        self.opened.append(context)
        person = Person(context, context.new_page(), self._hall)
        person.page.on("dialog", lambda dialog: person.trouble.append(dialog.message))
        person.page.on("pageerror", lambda error: person.trouble.append(str(error)))
        return person


@pytest.fixture
def hall() -> Generator[Served]:
    with served() as made:
        yield made


@pytest.fixture
def people(browser: Browser, hall: Served) -> Generator[People]:
    expect.set_options(timeout=PATIENCE_MS)
    made = People(browser, hall)
    yield made
    for context in made.opened:
        context.close()


@pytest.fixture
def staged(stage: Stage, hall: Served) -> Stage:
    """The hostile run before its plan gate, played on when it is decided."""
    stage.drives = True
    hall.do(stage.start())
    hall.open(stage.hall)
    return stage


# --- a real team -------------------------------------------------------------------------------


class Team:
    """A real team in this process, whose models are one function; driven by the hall."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.heard: list[str] = []
        self.bench: Bench = minds(place, self._mind)

    def _mind(self, request: ModelRequest) -> ModelReply:
        if request.role == "architect":
            self.heard.append(str(request.messages))
            return plan(task("red"))
        return steady(request)

    def hall(self) -> Hall:
        store = SharedStore(self._open, lambda: True)
        settings = Settings(state_dir=self.place, model="openai/none")
        return Hall(NearDesk(settings, store, self._house), Access(TOKEN))

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[Journal]:
        yield self.bench.journal

    @asynccontextmanager
    async def _house(self) -> AsyncGenerator[Driver]:
        yield TeamDriver(self.bench)


@dataclass
class TeamDriver:
    """A house whose one supervisor is here."""

    bench: Bench

    @property
    def journal(self) -> Journal:
        return self.bench.journal

    async def start(self, request: FeatureRequest) -> None:
        await self.bench.drive(request)

    async def resume(self, run_id: RunId, *, take_over: bool = False) -> None:
        await self.bench.drive()


def test_a_person_takes_a_real_run_from_its_plan_to_its_branch(
    people: People, hall: Served, tmp_path: Path
) -> None:
    team = Team(tmp_path)

    async def begin() -> None:
        await team.bench.drive(await team.bench.request("plan", "delivery", text="Add red."))

    hall.do(begin())
    hall.open(team.hall())
    person = people.one()
    page = person.sign_in()
    expect(page.get_by_role("link", name="Waiting 1")).to_be_visible()
    page.get_by_role("link", name="Add red.").click()

    # The plan is edited and approved; the run goes on and the page follows without a reload.
    page.get_by_text("Edit red").click()
    page.get_by_label("Title").first.fill("Add the colour red")
    person.decide("Approve", by="Ada")
    expect(page.get_by_text("approve, with edits")).to_be_visible()
    expect(page.locator(".decisions")).to_contain_text("by Ada")
    page.evaluate("window.mark = 'still the same page'")
    expect(page.get_by_role("heading", name="Deliver this change?")).to_be_visible()
    expect(page.locator(".card").get_by_text("Add the colour red")).to_be_visible()
    assert page.evaluate("window.mark") == "still the same page"

    # A comment on a line reaches the agents.
    page.get_by_role("link", name="Review the change side by side").click()
    expect(page.locator(".proven").get_by_text("1 failed before").first).to_be_visible()
    page.get_by_role("link", name="wordkit/red.py").click()
    page.get_by_label("Comment on new line 5").click()
    page.get_by_label("Comment on new line 5").last.fill("Say it in capitals.")
    page.get_by_role("button", name="Keep comment").click()
    expect(page.locator("tr.draft")).to_contain_text("Say it in capitals.")
    person.decide("Request changes", "Nearly.")
    expect(page.get_by_role("heading", name="Approve this plan?")).to_be_visible()
    assert "Nearly.\\nwordkit/red.py:5: Say it in capitals." in team.heard[-1]
    assert not person.trouble


# --- whoever means harm ------------------------------------------------------------------------


def test_no_word_of_a_hostile_run_becomes_a_script(
    people: People, hall: Served, staged: Stage
) -> None:
    person = people.one()
    page = person.sign_in()
    looked: list[str] = []

    def look(*paths: str) -> None:
        for path in paths:
            person.open(path)
            assert page.evaluate("window.trouble") == [], path
            looked.append(page.locator("body").inner_text())

    look("/", f"/runs/{RUN}", f"/runs/{RUN}/log", "/?q=" + "%3Cscript%3Ealert(1)%3C/script%3E")
    person.open(f"/runs/{RUN}")
    person.decide("Approve", EVIL, by="<b>Eve</b>")
    expect(page.get_by_role("heading", name="Deliver this change?")).to_be_visible()
    person.open(f"/runs/{RUN}/diff?file=0&on=new-2")
    page.get_by_label("Comment on new line 2").last.fill(EVIL)
    page.get_by_role("button", name="Keep comment").click()
    look(*(f"/runs/{RUN}{part}" for part in ("", "/diff", "/evidence", "/log")))
    assert sum("alert(1)" in text for text in looked) >= 7, "it is told, as text"
    assert not person.trouble
    page.evaluate("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(3)>')")
    page.wait_for_function("() => window.trouble.length > 0")
    assert "alert" not in page.evaluate("window.trouble"), "even one that got in would not run"


# --- reading and writing under hard conditions -------------------------------------------------


def test_everything_can_be_read_and_decided_without_scripts(
    people: People, hall: Served, staged: Stage
) -> None:
    person = people.one(java_script_enabled=False)
    page = person.sign_in()
    page.get_by_role("link", name="Waiting 1").click()
    page.locator(".runs a").click()
    page.locator("summary", has_text="Edit a").click()
    page.get_by_label("Title").first.fill("Count words")
    person.decide("Approve")
    expect(page.get_by_text("approve, with edits")).to_be_visible()
    hall.do(_until(staged, "delivery"))
    page.reload()
    page.get_by_role("link", name="Review the change side by side").click()
    page.get_by_label("Comment on new line 2").click()
    page.get_by_label("Comment on new line 2").last.fill("Why?")
    page.get_by_role("button", name="Keep comment").click()
    page.get_by_role("link", name="Evidence").first.click()
    expect(page.get_by_role("heading", name="Evidence")).to_be_visible()
    page.get_by_role("link", name="Diff").click()
    person.decide("Request changes", "Smaller.")
    hall.do(_until(staged, "plan"))
    assert f"Smaller.\n{PATH}:2: Why?" in staged.crew.notes


def test_keys_alone_are_enough(people: People, hall: Served, staged: Stage) -> None:
    page = people.one().sign_in()
    _shows(page, page.locator(".runs"))
    page.keyboard.press("j")
    page.keyboard.press("Enter")
    _shows(page, page.locator(".question"))
    page.keyboard.press("?")
    expect(page.get_by_role("dialog")).to_contain_text("all runs")
    page.keyboard.press("Escape")
    expect(page.get_by_role("dialog")).to_have_count(0)
    page.keyboard.press("a")
    expect(page.locator(".question textarea[name=comment]")).to_be_focused()
    page.keyboard.type("Smaller steps.")
    _tab_to(page, page.get_by_role("button", name="Request changes"))
    page.keyboard.press("Enter")
    _shows(page, page.locator("#decisions ~ .decisions").get_by_text("Smaller steps."))
    hall.do(_until(staged, "plan"))
    page.keyboard.press("e")
    _shows(page, page.get_by_role("heading", name="Evidence"))
    page.keyboard.press("u")
    _shows(page, page.locator(".runs"))
    page.keyboard.press("/")
    page.keyboard.type("nothing of the kind")
    page.keyboard.press("Enter")
    expect(page.get_by_text("No such runs.")).to_be_visible()


def _shows(page: Page, wanted: Locator) -> None:
    """The page with this on it, once it listens to keys."""
    expect(wanted).to_be_visible()
    page.wait_for_load_state("load")


def _tab_to(page: Page, target: Locator) -> None:
    for _ in range(30):
        if target.evaluate("(each) => each === document.activeElement"):
            return
        page.keyboard.press("Tab")
    raise AssertionError("not to be reached by keys")


async def _until(stage: Stage, label: str) -> None:
    """Until the run asks this, and nothing drives it."""
    while True:
        info = await stage.journal.info(RUN)
        asked = [one.label for one in (await _asked(stage))]
        if info.status is RunStatus.SUSPENDED and asked == [label]:
            return
        await stage.journal.wait(RUN, after=info.seq, timeout_s=0.2)


async def _asked(stage: Stage) -> tuple[Any, ...]:
    return (await stage.desk.run(RUN)).questions


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_phone_shows_every_page_without_scrolling_sideways(
    people: People, hall: Served, staged: Stage, theme: str
) -> None:
    person = people.one(viewport={"width": 390, "height": 780}, color_scheme=theme)
    page = person.sign_in()
    person.open(f"/runs/{RUN}")
    person.decide("Approve")
    expect(page.get_by_role("heading", name="Deliver this change?")).to_be_visible()
    for part in ("", "/diff", "/diff?file=0&on=new-2", "/evidence", "/log"):
        person.open(f"/runs/{RUN}{part}")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390, part
    colour = page.evaluate("getComputedStyle(document.body).backgroundColor")
    assert (colour == "rgb(18, 22, 24)") is (theme == "dark")


# --- time and trouble --------------------------------------------------------------------------


def test_a_page_goes_on_where_it_was_after_the_server_came_back(
    people: People, hall: Served, stage: Stage
) -> None:
    hall.do(stage.start())
    grant = hall.do(_working(stage))
    hall.open(stage.hall)
    person = people.one()
    page = person.sign_in()
    person.open(f"/runs/{RUN}")
    hall.do(_note(stage, grant, "before it went"))
    expect(page.locator("#recent")).to_contain_text("before it went")
    seen = hall.do(stage.happened())
    page.evaluate("window.mark = 'still the same page'")
    hall.close()
    hall.do(_note(stage, grant, "while it was away"))
    hall.open(Hall(stage.desk, stage.access))
    expect(page.locator("#recent")).to_contain_text("while it was away")
    hall.do(_note(stage, grant, "after it came back"))
    expect(page.locator("#recent")).to_contain_text("after it came back")
    assert page.evaluate("window.mark") == "still the same page"
    assert hall.resumed_after[0] == str(seen)


async def _working(stage: Stage) -> StepGrant:
    """Somebody drives the run; a step of it is begun."""
    lease = await stage.journal.claim(RUN, "somebody", ttl_s=600.0)
    step = StepKey("somewhere")
    begun = NewRecord(RecordKind.STARTED, step_key=step, attempt=1)
    await stage.journal.append(lease, [begun])
    return StepGrant(RUN, step, lease.epoch, 1)


async def _note(stage: Stage, grant: StepGrant, text: str) -> None:
    note = NewRecord(RecordKind.NOTE, body=f'{{"text": "{text}"}}')
    await stage.journal.append_under(grant, [note])


@pytest.mark.parametrize("scripts", [True, False])
def test_a_browser_left_open_until_its_session_ended_loses_nothing_that_was_written(
    people: People, hall: Served, staged: Stage, scripts: bool
) -> None:
    person = people.one(java_script_enabled=scripts)
    page = person.sign_in()
    person.open(f"/runs/{RUN}")
    hall.do(staged.clock.advance(SESSION_S + 1))
    person.decide("Request changes", "Written over a whole day.", by="Ada")
    expect(page.get_by_role("alert")).to_contain_text("nothing was sent")
    page.get_by_label("Token").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_label("Token").fill(TOKEN)
    page.get_by_role("button", name="Sign in").click()
    expect(page.get_by_role("heading", name="This was not sent yet")).to_be_visible()
    expect(page.get_by_text("Written over a whole day.")).to_be_visible()
    page.get_by_role("button", name="Send it now").click()
    expect(page.locator(".decisions")).to_contain_text("Written over a whole day.")
    expect(page.locator(".decisions")).to_contain_text("by Ada")


def test_a_form_of_an_earlier_session_still_counts_in_the_same_browser(
    people: People, hall: Served, staged: Stage
) -> None:
    person = people.one()
    page = person.sign_in()
    person.open(f"/runs/{RUN}")
    hall.do(staged.clock.advance(SESSION_S + 1))
    other = person.context.new_page()
    other.goto(f"{hall.url}/enter?token={TOKEN}")
    person.decide("Approve")
    expect(page.locator(".decisions")).to_contain_text("approve")


def test_what_is_being_written_survives_a_server_that_is_away(
    people: People, hall: Served, staged: Stage
) -> None:
    person = people.one()
    page = person.sign_in()
    person.open(f"/runs/{RUN}")
    page.get_by_text("Edit a").click()
    page.get_by_label("Title").first.fill("Half written")
    page.get_by_label("Comment").fill("Half a thought")
    hall.close()
    page.get_by_role("button", name="Approve").click()
    page.wait_for_url("chrome-error://**")
    hall.open(Hall(staged.desk, staged.access))
    person.open(f"/runs/{RUN}")
    expect(page.get_by_label("Comment")).to_have_value("Half a thought")
    expect(page.get_by_label("Title").first).to_have_value("Half written")
    expect(page.get_by_text("What you had written here is back.")).to_be_visible()
    person.decide("Approve")
    expect(page.get_by_text("approve, with edits")).to_be_visible()


def test_the_second_of_two_people_hears_the_first_and_keeps_what_they_wrote(
    people: People, hall: Served, staged: Stage
) -> None:
    staged.drives = False
    first, second = people.one(), people.one()
    for person in (first, second):
        person.sign_in()
        person.open(f"/runs/{RUN}")
    second.page.get_by_label("Comment").fill("I think not")  # so that the page leaves it alone
    first.decide("Approve", by="Ada")
    expect(first.page.locator(".decisions")).to_contain_text("by Ada")
    second.decide("Reject", by="Bob")
    expect(second.page.get_by_role("alert")).to_contain_text("decided already: approve, by Ada")
    expect(second.page.locator(".decisions")).not_to_contain_text("Bob")


def test_a_run_that_ended_meanwhile_takes_no_answer(
    people: People, hall: Served, staged: Stage
) -> None:
    person = people.one()
    person.sign_in()
    page = person.open(f"/runs/{RUN}")
    page.get_by_label("Comment").fill("Let me see")
    hall.do(staged.journal.request_cancel(RUN, by="Ada"))
    person.decide("Approve")
    expect(page.locator("#trouble")).to_contain_text("too late to decide")
