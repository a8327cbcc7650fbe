"""A hall over an in-memory journal, with a run whose every word is hostile, and a browser."""

import asyncio
from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx

from cluster.desk.deciding import Verdict
from cluster.desk.near import Driver, NearDesk
from cluster.desk.store import SharedStore
from cluster.settings import Settings
from cluster.web.access import Access
from cluster.web.application import application
from cluster.web.hall import Hall
from orchestration.approval import Answer, ApprovalPolicy, Rule
from orchestration.clock import ManualClock, SystemClock
from orchestration.crew import Crew
from orchestration.delivery import delivery
from orchestration.errors import MantaError
from orchestration.ids import BlobId, CommitId, RunId, TaskId
from orchestration.messages import (
    Assigned,
    CodeTask,
    Delivery,
    Dossier,
    FeatureRequest,
    FileChange,
    Limits,
    Patch,
    Plan,
    Recollection,
    TreeRef,
    Work,
)
from orchestration.proof import Finding, Outcome, Review, Severity, TestCase, TestReport
from orchestration.strength import Fate, Mutant, Strength, Trial
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import (
    Journal,
    Lease,
    NewRecord,
    RecordKind,
    RunStatus,
    cancelled_body,
)
from orchestration.workflow.outcome import RunOutcome
from orchestration.workflow.retry import Retry
from orchestration.workflow.step import StepContext
from tests.actors.proven import prove

RUN = RunId("run-1")
TOKEN = "t" * 43
EVIL = "<script>alert(1)</script>\"'><img src=x onerror=alert(2)>\u202eevil\x1b[31m"
PATH = "src/<b>bold</b>.py"
BASE, TEST, CODE = (TreeRef(commit=CommitId(n * 40), bundles=()) for n in "123")
OLD, NEW = "tests/test_a.py::test_old", "tests/test_b.py::test_new"
DIFF = f"""\
diff --git a/{PATH} b/{PATH}
index 1111111..2222222 100644
--- a/{PATH}
+++ b/{PATH}
@@ -1,3 +1,4 @@ def f():
 one
-two
+{EVIL}
+three
 last
"""


def _change(path: str) -> FileChange:
    blob = "0" * 40
    return FileChange(
        path=path, status="A", old_mode="0" * 6, new_mode="100644", old_blob=blob, new_blob=blob
    )


class HostileCrew(Crew):
    """Does everything at once, and means harm in all that it says."""

    def __init__(self) -> None:
        self.notes: list[str] = []
        """What people wanted changed, as planners heard it."""
        self.change = DIFF
        self.base, self.code = BASE, CODE
        self.delivered: Delivery | None = None

    async def recall(self, dossier: Dossier, ctx: StepContext, /) -> tuple[Recollection, ...]:
        return ()

    async def plan(self, dossier: Dossier, ctx: StepContext, /) -> Plan:
        self.notes += dossier.notes
        await ctx.note(EVIL)
        task = CodeTask(
            id=TaskId("a"), title=EVIL[:72], description=EVIL, acceptance=(EVIL,), files=(PATH,)
        )
        return Plan(summary=EVIL, tasks=(task,))

    async def begin(self, assigned: Assigned, ctx: StepContext, /) -> Work:
        return Work(task=assigned.task, base=self.base)

    async def write_test(self, work: Work, ctx: StepContext, /) -> Patch:
        changes = (_change("tests/test_b.py"),)
        return Patch(base=self.base, tree=TEST, title=EVIL, changes=changes)

    async def write_code(self, work: Work, ctx: StepContext, /) -> Patch:
        changes = (_change("tests/test_b.py"), _change(PATH))
        return Patch(base=self.base, tree=self.code, title=EVIL, changes=changes)

    async def verify(self, tree: TreeRef, ctx: StepContext, /) -> TestReport:
        cases = [TestCase(id=OLD, outcome=Outcome.PASSED)]
        if tree == self.code:
            cases.append(TestCase(id=NEW, outcome=Outcome.PASSED))
        elif tree == TEST:
            cases.append(TestCase(id=NEW, outcome=Outcome.FAILED, message=f"assert {EVIL}"))
        code = int(tree == TEST)
        return TestReport(
            commit=tree.commit, command="pytest", cases=tuple(cases), exit_code=code, tail=EVIL
        )

    async def without(self, work: Work, paths: Sequence[str], ctx: StepContext, /) -> TreeRef:
        return self.code

    async def challenge(self, work: Work, ctx: StepContext, /) -> Strength:
        mutant = Mutant(path=PATH, line=3, what=EVIL, start=0, before=EVIL, after="")
        return Strength(trials=(Trial(mutant=mutant, fate=Fate.SURVIVED),), reverted=True)

    async def review(self, work: Work, ctx: StepContext, /) -> Review:
        finding = Finding(file=PATH, line=2, severity=Severity.LOW, why=EVIL, fix=EVIL)
        return Review(approved=True, summary=EVIL, findings=(finding,))

    async def audit(self, work: Work, ctx: StepContext, /) -> Review:
        return Review(approved=True, summary="fine")

    async def merge(self, work: Work, ctx: StepContext, /) -> Work:
        return work.having(merged=self.code)

    async def integrated(self, ctx: StepContext, /) -> TreeRef:
        return self.code

    async def diff(self, dossier: Dossier, ctx: StepContext, /) -> str:
        return self.change

    async def deliver(self, dossier: Dossier, ctx: StepContext, /) -> Delivery:
        if self.delivered:
            return self.delivered
        nothing = BlobId("")
        return Delivery(
            run_id=RUN, branch="", tree=self.code, bundle=nothing, evidence=nothing, summary=EVIL
        )


def hostile_request(crew: HostileCrew, run_id: RunId, *gates: str) -> FeatureRequest:
    """What the crew is asked for."""
    asked: Any = dict.fromkeys(gates, Rule.ASK)
    return FeatureRequest(
        run_id=run_id,
        text=EVIL,
        repository=EVIL,
        base=crew.base,
        policy=ApprovalPolicy(gates=asked),
    )


class Understudy:
    """In place of a house: plays the hostile crew's run, or only writes down what it was told."""

    def __init__(self, stage: "Stage") -> None:
        self._stage, self.journal = stage, stage.journal

    async def start(self, request: FeatureRequest) -> None:
        self._stage.started.append(request)
        if self._stage.drives:
            await self._stage.engine.start(self._stage.flow, request, run_id=request.run_id)

    async def resume(self, run_id: RunId, *, take_over: bool = False) -> None:
        if self._stage.trouble:
            raise self._stage.trouble
        if self._stage.leaving:
            raise self._stage.leaving.pop(0)
        self._stage.resumed.append(run_id)
        if self._stage.drives:
            await self._stage.engine.resume(self._stage.flow, run_id, take_over=take_over)


class Stage:
    """The hall, its run, and the browser of somebody who came in."""

    def __init__(self, state_dir: Path) -> None:
        self.clock = ManualClock(1_800_000_000.0)
        self.journal = InMemoryJournal(SystemClock())
        self.crew = HostileCrew()
        self.engine = Engine(self.journal, owner="the test")
        self.flow = delivery(self.crew, Limits(), Retry())
        self.access = Access(TOKEN, clock=self.clock)
        self.drives = False
        """Whether runs are played when the desk wants them driven; else `go_on` does it."""
        self.trouble: MantaError | None = None
        """What is in the way of driving."""
        self.leaving: list[MantaError] = []
        """What is in the way for a moment only, try by try."""
        self.resumed: list[RunId] = []
        self.started: list[FeatureRequest] = []
        self.desk = NearDesk(
            Settings(state_dir=state_dir, model="openai/none"),
            SharedStore(self._open, lambda: True),
            self._house,
        )
        self.hall = Hall(self.desk, self.access)
        self.app = application(self.hall)

    @asynccontextmanager
    async def _open(self) -> AsyncGenerator[Journal]:
        yield self.journal

    @asynccontextmanager
    async def _house(self) -> AsyncGenerator[Driver]:
        yield Understudy(self)

    def settle(self, **more: Any) -> None:
        """Give the hall other settings."""
        self.desk.settings = self.desk.settings.model_copy(update=more)

    async def start(self, run_id: RunId = RUN, *gates: str) -> RunOutcome:
        """Play the hostile run up to its first question."""
        request = hostile_request(self.crew, run_id, *(gates or ("plan", "delivery")))
        return await self.engine.start(self.flow, request, run_id=run_id, title=EVIL)

    async def go_on(self, run_id: RunId = RUN) -> RunOutcome:
        return await self.engine.resume(self.flow, run_id)

    async def obey(self, lease: Lease) -> None:
        """What the owner of a run does that is to be cancelled."""
        text = cancelled_body("Ada")
        ended = [NewRecord(RecordKind.FINISHED, body=text)]
        await self.journal.append(lease, ended, status=RunStatus.CANCELLED, release=True)

    async def deliver(self, place: Path) -> Path:
        """Play a run to its end, with real commits. Returns a clone that knows their base."""
        proven = await asyncio.to_thread(prove, place / "work")
        checkout, journal = proven.checkout, self.journal
        whole = await journal.put_blob(checkout.bundle("--all"))
        tree = TreeRef(commit=proven.code, bundles=(whole,))
        self.crew.base, self.crew.code = TreeRef(commit=proven.base, bundles=(whole,)), tree
        self.crew.delivered = Delivery(
            run_id=RUN,
            branch=f"manta/{RUN}",
            tree=tree,
            bundle=await journal.put_blob(checkout.bundle(f"{proven.base}..manta/run")),
            evidence=await journal.put_blob(proven.evidence.model_dump_json(indent=1).encode()),
            summary=EVIL,
        )
        self.drives = True
        await self.start()
        for _ in range(2):
            await self.desk.decide(RUN, Verdict(Answer.APPROVE, "Ada"))
        home = place / "home"
        checkout.git("clone", "--quiet", ".", str(home))
        return home

    def client(self, **headers: str) -> httpx.AsyncClient:
        """A stranger's client."""
        transport = httpx.ASGITransport(self.app)
        return httpx.AsyncClient(
            transport=transport, base_url="http://127.0.0.1:8000", headers=headers
        )

    def program(self) -> httpx.AsyncClient:
        """A program that brings the token."""
        return self.client(authorization=f"Bearer {TOKEN}")

    async def browser(self) -> httpx.AsyncClient:
        """A browser that came in by the address that was printed."""
        browser = self.client()
        await browser.get("/enter", params={"token": TOKEN})
        return browser

    def form_token(self, browser: httpx.AsyncClient) -> str:
        session = browser.cookies.get(self.access.cookie)
        assert session, "it came in"
        return self.access.form_token(session)

    async def asked(self) -> dict[str, Any]:
        """The run's one open question, as the API tells it."""
        async with self.program() as program:
            (question,) = (await program.get(f"/api/v1/runs/{RUN}")).json()["questions"]
            return question

    async def decide(self, browser: httpx.AsyncClient, answer: str, **more: str) -> httpx.Response:
        """Send the form of the open question, as it was shown."""
        asked = await self.asked()
        form = {
            "csrf": self.form_token(browser),
            "label": asked["label"],
            "digest": asked["digest"],
            "answer": answer,
        }
        return await browser.post(f"/runs/{RUN}/decide", data=form | more)

    async def at_delivery(self) -> httpx.AsyncClient:
        """A browser before the delivery gate of the run."""
        await self.start()
        browser = await self.browser()
        await self.decide(browser, "approve")
        outcome = await self.go_on()
        assert [one.label for one in outcome.suspensions] == ["delivery"], outcome.error
        return browser

    async def happened(self) -> int:
        """How many records the run has."""
        return (await self.journal.info(RUN)).seq
