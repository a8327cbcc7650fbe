"""What every desk promises. A plug's test file subclasses this and says how to reach a stage."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing
from pathlib import Path

import pytest

from cluster.demo.sample import git
from cluster.desk.deciding import Verdict
from cluster.desk.protocol import Desk
from cluster.desk.wire import Recorded
from cluster.desk.wishing import Wishes
from cluster.intake import Order
from orchestration.approval import Answer, Rule
from orchestration.errors import (
    ConflictError,
    ModelError,
    NotFoundError,
    RunOwnedError,
    UsageError,
    WorkerLostError,
)
from orchestration.events import Event, event_of
from orchestration.ids import RunId
from orchestration.messages import Budget
from tests.cluster.web.stage import EVIL, RUN, Stage

TEXT = "Add a greeting."
YES = Verdict(Answer.APPROVE, "Ada")
NOBODY = RunId("nobody")


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small project with a test."""
    place = tmp_path / "greeter"
    (place / "tests").mkdir(parents=True)
    (place / "greeter.py").write_text("def greet():\n    return 'hello'\n", encoding="utf-8")
    (place / "tests" / "test_greeter.py").write_text(
        "from greeter import greet\n\n\ndef test_greet():\n    assert greet() == 'hello'\n",
        encoding="utf-8",
    )
    git(place, "init", "--quiet", "--template=", "--initial-branch=main")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message=feat: greet")
    return place


async def heard(events: AsyncGenerator[Event]) -> list[Event]:
    async with aclosing(events):
        return [event async for event in events]


async def told_by(stage: Stage, run_id: RunId = RUN) -> list[Event]:
    """All that happened, as the journal has it."""
    return list(filter(None, map(event_of, await stage.journal.read(run_id))))


class DeskContract:
    """The fixture `desk` returns one over the stage."""

    async def test_an_order_becomes_a_run_that_is_driven(
        self, desk: Desk, stage: Stage, repository: Path
    ) -> None:
        wishes = Wishes(approve=("delivery",), budget=Budget(usd=2.0), test_command="pytest -q")
        order = Order(TEXT, str(repository), run_id="one")
        begun = await desk.submit(order, wishes)
        (request,) = stage.started
        assert (begun.run_id, begun.is_new) == ("one", True)
        assert (request.run_id, request.text, request.repository) == ("one", TEXT, "greeter")
        assert request.policy.rule("delivery") is Rule.ASK
        assert (request.budget.usd, request.test_command) == (2.0, "pytest -q")
        (bundle,) = request.base.bundles
        assert await stage.journal.get_blob(bundle)

    async def test_the_same_order_again_attaches_and_another_one_conflicts(
        self, desk: Desk, stage: Stage, repository: Path
    ) -> None:
        stage.drives = True
        order = Order(TEXT, str(repository), run_id="one")
        await desk.submit(order, Wishes(approve=("plan",)))
        again = await desk.submit(order)
        assert (again.run_id, again.is_new) == ("one", False)
        assert len(stage.started) == 1
        with pytest.raises(ConflictError, match="another run one"):
            await desk.submit(Order("Something else.", str(repository), run_id="one"))

    async def test_a_wish_never_makes_the_hall_less_careful(
        self, desk: Desk, stage: Stage, repository: Path
    ) -> None:
        stage.settle(approve=("plan",), allow=("tests",), budget=Budget(usd=1.0, tokens=50))
        wishes = Wishes(approve=("tests",), budget=Budget(usd=9.0, tokens=20, seconds=60.0))
        await desk.submit(Order(TEXT, str(repository)), wishes)
        (request,) = stage.started
        assert request.policy.rule("plan") is request.policy.rule("tests") is Rule.ASK
        assert request.budget == Budget(usd=1.0, tokens=20, seconds=60.0)

    @pytest.mark.parametrize(
        ("text", "run_id", "wishes", "told"),
        [
            (" ", None, Wishes(), "empty"),
            ("x" * 20_001, None, Wishes(), "20000"),
            (TEXT, "No Way", Wishes(), "No Way"),
            (TEXT, None, Wishes(approve=("lunch",)), "lunch"),
        ],
    )
    async def test_what_cannot_be_meant_is_refused(
        self, desk: Desk, stage: Stage, repository: Path,
        text: str, run_id: RunId | None, wishes: Wishes, told: str,
    ) -> None:  # fmt: skip
        with pytest.raises(UsageError, match=told):
            await desk.submit(Order(text, str(repository), run_id=run_id), wishes)
        assert stage.started == []

    # --- looking -------------------------------------------------------------------------------

    async def test_runs_come_in_pages_newest_first(self, desk: Desk, stage: Stage) -> None:
        await stage.start(RunId("first"))
        await stage.start(RunId("second"))
        page = await desk.runs(limit=1)
        assert ([run.run_id for run in page.runs], page.next) == (["second"], 1)
        rest = await desk.runs(limit=1, offset=1)
        assert ([run.run_id for run in rest.runs], rest.next) == (["first"], None)

    async def test_a_run_is_shown_with_what_it_asks(self, desk: Desk, stage: Stage) -> None:
        await stage.start()
        detail = await desk.run(RUN)
        (question,) = detail.questions
        assert (detail.run.status, detail.request, question.gate) == ("suspended", EVIL, "plan")
        assert (detail.delivery, detail.error, detail.recorded) == (None, None, False)
        plan = await desk.plan(RUN)
        assert (plan.plan.summary, plan.asked) == (EVIL, question)
        graph = await desk.graph(RUN)
        assert graph.run_id == RUN
        assert "waiting" in graph.steps.values()

    async def test_events_are_told_once_and_end_where_the_run_waits(
        self, desk: Desk, stage: Stage
    ) -> None:
        await stage.start()
        every = await told_by(stage)
        assert await heard(desk.events(RUN)) == every
        assert await heard(desk.events(RUN, follow=False)) == every
        assert await heard(desk.events(RUN, after=every[2].seq)) == every[3:]
        assert await heard(desk.events(RUN, after=every[2].seq, follow=False)) == every[3:]

    async def test_the_past_is_told_although_the_run_goes_on(
        self, desk: Desk, stage: Stage
    ) -> None:
        await stage.start()
        await stage.journal.claim(RUN, "somebody")
        async with asyncio.timeout(5):
            assert await heard(desk.events(RUN, follow=False)) == await told_by(stage)

    async def test_what_happens_meanwhile_is_told(self, desk: Desk, stage: Stage) -> None:
        await stage.start()
        await stage.journal.claim(RUN, "somebody")
        seen = (await told_by(stage))[-1].seq
        async with asyncio.timeout(5), aclosing(desk.events(RUN, after=seen)) as events:
            upcoming = asyncio.ensure_future(anext(events))
            await stage.journal.request_cancel(RUN, by="Ada")
            assert (await upcoming).kind == "cancel"

    async def test_a_delivery_is_handed_out_whole(
        self, desk: Desk, stage: Stage, tmp_path: Path
    ) -> None:
        await stage.deliver(tmp_path / "there")
        delivery, bundle = await desk.delivery(RUN)
        assert (delivery.branch, (await desk.run(RUN)).delivery) == (f"manta/{RUN}", delivery)
        assert bundle == await stage.journal.get_blob(delivery.bundle)
        evidence = await desk.evidence(RUN)
        stored = await stage.journal.get_blob(delivery.evidence)
        assert evidence.model_dump_json(indent=1).encode() == stored
        diff = await desk.diff(RUN)
        assert [file.path for file in diff.files] == ["greet.py", "tests/test_bye.py"]
        assert b"def bye(name):" in await desk.patch(RUN)
        assert (await desk.letter(RUN)).into == "HEAD"
        made = await desk.hand_over(RUN, make=True)
        assert (made.delivery, made.address) == (delivery, "")

    async def test_a_delivery_is_brought_into_a_repository_here(
        self, desk: Desk, stage: Stage, tmp_path: Path
    ) -> None:
        home = await stage.deliver(tmp_path / "there")
        made = await desk.hand_over(RUN, make=True, home=home)
        assert (made.address, made.home) == (str(home), home)
        git(home, "cat-file", "-e", f"manta/{RUN}:tests/test_bye.py")
        git(home, "notes", "--ref=manta", "show", f"manta/{RUN}")

    async def test_what_is_not_there_is_named(self, desk: Desk, stage: Stage) -> None:
        asking = (
            desk.run, desk.plan, desk.diff, desk.graph, desk.evidence, desk.delivery, desk.patch,
            desk.letter, desk.resume,
        )  # fmt: skip
        for ask in asking:
            with pytest.raises(NotFoundError, match="nobody"):
                await ask(NOBODY)
        for follow in (True, False):
            with pytest.raises(NotFoundError, match="nobody"):
                await heard(desk.events(NOBODY, follow=follow))
        for act in (desk.decide(NOBODY, YES), desk.cancel(NOBODY, by="Ada")):
            with pytest.raises(NotFoundError, match="nobody"):
                await act
        await stage.start()
        for ask in (desk.diff, desk.evidence, desk.delivery):
            with pytest.raises(NotFoundError, match="nothing"):
                await ask(RUN)
        for ask in (desk.patch, desk.letter):
            with pytest.raises(UsageError, match="nothing"):
                await ask(RUN)

    # --- deciding ------------------------------------------------------------------------------

    async def test_a_run_goes_on_by_itself_once_nothing_is_asked(
        self, desk: Desk, stage: Stage
    ) -> None:
        stage.drives = True
        await stage.start()
        recorded = await desk.decide(RUN, YES)
        assert (recorded.label, recorded.goes_on, recorded.trouble) == ("plan", True, None)
        (question,) = (await desk.run(RUN)).questions
        assert question.gate == "delivery"
        (decision,) = (await desk.run(RUN)).decisions
        assert (decision.answer, decision.by) == ("approve", "Ada")

    async def test_a_run_stays_as_it_is_where_that_is_wanted(
        self, desk: Desk, stage: Stage
    ) -> None:
        await stage.start()
        recorded = await desk.decide(RUN, YES, resume=False)
        assert (recorded.goes_on, recorded.next) == (False, f"manta resume {RUN}")
        assert stage.resumed == []
        await desk.resume(RUN)
        assert stage.resumed == [RUN]

    async def test_a_decision_stands_although_the_run_cannot_go_on(
        self, desk: Desk, stage: Stage
    ) -> None:
        await stage.start()
        stage.trouble = ModelError("no key for openai", "set OPENAI_API_KEY")
        recorded = await desk.decide(RUN, YES)
        assert (recorded.goes_on, recorded.next) == (False, f"manta resume {RUN}")
        assert recorded.trouble
        assert (recorded.trouble.what, recorded.trouble.kind) == ("no key for openai", "ModelError")
        with pytest.raises(ModelError, match="no key"):
            await desk.resume(RUN)
        assert (await desk.run(RUN)).questions == ()

    async def test_the_first_decision_counts_and_the_second_hears_of_it(
        self, desk: Desk, stage: Stage
    ) -> None:
        await stage.start()
        await desk.decide(RUN, YES)
        for late in (YES, Verdict(Answer.REJECT, "Bob", label="plan")):
            with pytest.raises(ConflictError, match="approve, by Ada") as refused:
                await desk.decide(RUN, late)
            assert refused.value.exit_code == 2

    async def test_of_two_people_at_once_one_wins(self, desk: Desk, stage: Stage) -> None:
        await stage.start()

        async def decide(verdict: Verdict) -> Recorded | ConflictError:
            try:
                return await desk.decide(RUN, verdict)
            except ConflictError as error:
                return error

        async with asyncio.TaskGroup() as group:
            both = [
                group.create_task(decide(verdict))
                for verdict in (YES, Verdict(Answer.REJECT, "Bob"))
            ]
        said = {type(task.result()) for task in both}
        assert len(said) == 2
        assert Recorded in said

    async def test_a_decision_after_the_end_is_too_late(self, desk: Desk, stage: Stage) -> None:
        await stage.start()
        assert (await desk.cancel(RUN, by="Ada")).accepted
        assert not (await desk.cancel(RUN, by="Ada")).accepted
        with pytest.raises(ConflictError, match="too late"):
            await desk.decide(RUN, YES)

    @pytest.mark.parametrize(
        ("verdict", "kind", "told"),
        [
            (Verdict(Answer.APPROVE, "Ada", digest="0" * 64), ConflictError, "has changed"),
            (Verdict(Answer.APPROVE, "Ada", label="delivery"), NotFoundError, "delivery"),
            (Verdict(Answer.APPROVE, "Ada", plan="{}"), UsageError, "hold together"),
            (Verdict(Answer.APPROVE, "Ada", budget="9usd"), UsageError, "larger budget"),
            (Verdict(Answer.CHANGES, "Ada", comment="  "), UsageError, "what to change"),
        ],
    )
    async def test_an_answer_that_does_not_fit_changes_nothing(
        self, desk: Desk, stage: Stage, verdict: Verdict, kind: type[Exception], told: str
    ) -> None:
        await stage.start()
        before = await stage.happened()
        with pytest.raises(kind, match=told):
            await desk.decide(RUN, verdict)
        assert (await stage.happened(), stage.resumed) == (before, [])

    async def test_an_edited_plan_takes_the_place_of_the_one_shown(
        self, desk: Desk, stage: Stage
    ) -> None:
        stage.drives = True
        await stage.start()
        plan = (await desk.plan(RUN)).plan.model_copy(update={"summary": "Mine."})
        await desk.decide(RUN, Verdict(Answer.APPROVE, "Ada", plan=plan.model_dump_json()))
        assert (await desk.plan(RUN)).plan.summary == "Mine."

    async def test_a_run_goes_on_when_whoever_drove_it_up_to_its_question_has_left(
        self, desk: Desk, stage: Stage
    ) -> None:
        await stage.start()
        stage.leaving = [RunOwnedError("it is just leaving"), WorkerLostError("it left")]
        recorded = await desk.decide(RUN, YES)
        assert (recorded.goes_on, stage.resumed, stage.leaving) == (True, [RUN], [])

    async def test_who_drives_a_run_is_told_to_who_wants_to(self, desk: Desk, stage: Stage) -> None:
        stage.drives = True
        await stage.start()
        await stage.journal.claim(RUN, "supervisor:run-1")
        with pytest.raises(RunOwnedError, match="supervisor:run-1"):
            await desk.resume(RUN)
