"""The run's budget, and replies that are kept."""

import asyncio
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.models.budget import Account, RunBudgetError
from actors.models.gateway import ModelReply
from actors.models.governed import GovernedGateway, Settling
from actors.models.governor import Call, Lane, Leave, LocalGovernor
from actors.models.ledger import Driven, Ledger
from actors.models.replies import KeptReplies
from actors.models.scripted import FunctionGateway
from orchestration.clock import ManualClock
from orchestration.errors import WorkerLostError
from orchestration.ids import RunId, StepKey
from orchestration.messages import Budget, Usage
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import Record, RecordKind
from tests.contracts.gateway import HELLO, a_request

LANE = Lane("m")
DEAR = Usage(calls=1, input_tokens=60, output_tokens=40, cost_usd=0.4)


def governor(budget: Budget, spent: Usage | None = None, seconds: float = 0.0) -> LocalGovernor:
    """One whose every run has this budget, with so much gone."""
    clock = ManualClock()

    async def open_account(_: str) -> Account:
        return Account(budget, spent or Usage(), seconds, clock.now())

    return LocalGovernor(open_account, clock)


async def spend(desk: LocalGovernor, times: int, usage: Usage = DEAR) -> list[str]:
    """Make calls one after the other; what people were told."""
    notices: list[str] = []
    for _ in range(times):
        leave = await desk.reserve(Call("run", LANE, 1, 0.01))
        notices.append(await desk.settle(leave, usage))
    return notices


@pytest.mark.parametrize(
    ("budget", "says"),
    [
        (Budget(usd=1.0), r"\$1.20 of \$1.00"),
        (Budget(tokens=250), "300 of 250 tokens"),
        (Budget(usd=1.0, tokens=10_000), "300 of 10,000 tokens"),
    ],
)
async def test_no_call_is_let_go_once_money_or_tokens_are_spent(budget: Budget, says: str):
    desk = governor(budget)
    await spend(desk, 3)

    with pytest.raises(RunBudgetError, match=says) as caught:
        await desk.reserve(Call("run", LANE, 1, 0.01))

    assert "manta resume" in caught.value.fix
    assert caught.value.exit_code == 4


async def test_no_call_is_let_go_once_the_time_is_over():
    desk = governor(Budget(seconds=60), seconds=61)

    with pytest.raises(RunBudgetError, match="61 of 60 seconds"):
        await desk.reserve(Call("run", LANE, 1))


async def test_what_was_spent_before_counts():
    with pytest.raises(RunBudgetError):
        await governor(Budget(usd=1), Usage(cost_usd=1.0)).reserve(Call("run", LANE, 1, 0.01))


async def test_a_call_that_the_rest_cannot_pay_is_not_made():
    with pytest.raises(RunBudgetError):
        await governor(Budget(usd=1)).reserve(Call("run", LANE, 1, 1.01))


async def test_calls_at_once_do_not_spend_the_same_money_twice():
    desk = governor(Budget(usd=1))
    first = await desk.reserve(Call("run", LANE, 1, 0.6))
    second = asyncio.create_task(desk.reserve(Call("run", LANE, 1, 0.6)))
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert not second.done()

    await desk.settle(first, Usage(cost_usd=0.1))

    assert await asyncio.wait_for(second, 5)


async def test_a_call_given_up_gives_its_money_back():
    desk = governor(Budget(usd=1))
    await desk.pause(LANE, 10)
    waiting = asyncio.create_task(desk.reserve(Call("run", LANE, 1, 0.9)))
    await asyncio.sleep(0.01)
    waiting.cancel()
    await asyncio.wait([waiting])

    assert (await desk.account("run")).held == {}


async def test_the_warning_comes_once_before_the_end():
    first, second, third = await spend(governor(Budget(usd=1)), 3)

    assert (first, third) == ("", "")
    assert "$0.80 of $1.00" in second


async def test_a_run_is_not_held_back_by_what_another_spent():
    desk = governor(Budget(usd=1))
    await spend(desk, 3)

    assert await desk.reserve(Call("other", LANE, 1, 0.01))


async def test_the_warning_reaches_the_agent_with_its_reply():
    inner = FunctionGateway(lambda _: ModelReply("x", usage=DEAR))
    gateway = GovernedGateway(inner, governor(Budget(usd=0.45)), LANE)

    assert "nearly spent" in (await gateway.complete(a_request())).notice


async def test_a_reply_does_not_wait_for_a_governor_elsewhere_and_its_warning_comes_with_the_next():
    there = governor(Budget(usd=0.45))
    heard = asyncio.Event()

    class Elsewhere:
        reserve, pause = there.reserve, there.pause

        async def settle(self, leave: Leave, usage: Usage) -> str:
            await heard.wait()
            return await there.settle(leave, usage)

    inner = FunctionGateway(lambda _: ModelReply("x", usage=DEAR))
    gateway = GovernedGateway(inner, Elsewhere(), LANE)
    first = await asyncio.wait_for(gateway.complete(a_request("run/step/1")), 5)
    heard.set()
    await asyncio.sleep(0)
    second = await gateway.complete(a_request("run/step/2"))

    assert first.notice == ""
    assert "nearly spent" in second.notice


class Asked:
    """A governor that counts how often leave was asked for."""

    def __init__(self, budget: Budget) -> None:
        self.inner = governor(budget)
        self.calls: list[Call] = []
        self.pause, self.settle = self.inner.pause, self.inner.settle

    async def reserve(self, call: Call) -> Leave:
        self.calls.append(call)
        return await self.inner.reserve(call)


async def thrice(desk: Asked, lane: Lane) -> GovernedGateway:
    gateway = GovernedGateway(FunctionGateway(lambda _: ModelReply("x", usage=DEAR)), desk, lane)
    for turn in (1, 2, 3):
        await gateway.complete(a_request(f"run/step/{turn}"))
    return gateway


async def test_a_run_without_any_limit_asks_once_in_a_while_and_all_is_counted():
    desk = Asked(Budget())
    await thrice(desk, LANE)

    assert len(desk.calls) == 1
    assert (await desk.inner.account("run")).spent.calls == 3
    assert (await desk.inner.account("run")).held == {}


@pytest.mark.parametrize(
    ("budget", "lane"),
    [
        (Budget(usd=100), LANE),
        (Budget(seconds=1e6), LANE),
        (Budget(), Lane("m", requests=600)),
        (Budget(), Lane("m", tokens=1e6)),
    ],
)
async def test_with_a_limit_every_call_is_asked_for(budget: Budget, lane: Lane):
    desk = Asked(budget)
    await thrice(desk, lane)

    assert len(desk.calls) == 3


async def test_a_lane_that_pauses_is_asked_again():
    desk = Asked(Budget())
    settling = Settling(desk)
    for _ in range(2):
        await settling.settle(await settling.reserve(Call("run", LANE, 1)), Usage())
    await settling.pause(LANE, 0.0)
    await settling.settle(await settling.reserve(Call("run", LANE, 1)), Usage())

    assert len(desk.calls) == 2


async def test_a_reply_that_is_paid_is_not_lost_with_the_governor():
    there = governor(Budget())

    class Gone:
        reserve, pause = there.reserve, there.pause

        async def settle(self, leave: Leave, usage: Usage) -> str:
            raise WorkerLostError("the governor died")

    inner = FunctionGateway(lambda _: ModelReply("paid", usage=DEAR))
    gateway = GovernedGateway(inner, Gone(), LANE)

    assert (await gateway.complete(a_request())).text == "paid"


async def test_the_next_turn_s_question_acknowledges_the_reply_before_and_no_other():
    asked: list[str] = []

    async def ask(key: str) -> ModelReply:
        asked.append(key)
        return ModelReply(key)

    replies = KeptReplies()
    for key in ("a/1", "b/1", "a/2", "a/2", "b/1", "a/1"):
        await replies.get(key, lambda key=key: ask(key))

    assert asked == ["a/1", "b/1", "a/2", "a/1"]


async def test_a_run_that_no_store_knows_has_no_limits():
    clock = ManualClock()
    account = await Ledger(InMemoryJournal(clock), clock).account("nobody")

    assert not account.budget.is_limited


def told(kind: RecordKind, at: float) -> Record:
    return Record(RunId("r"), 1, kind, StepKey(""), attempt=0, epoch=1, at=at, body="{}")


def test_time_counts_only_while_somebody_drives():
    driven = Driven()
    for kind, at in [
        (RecordKind.CREATED, 0), (RecordKind.CLAIMED, 10), (RecordKind.TURN, 40),
        (RecordKind.SUSPENDED, 50), (RecordKind.DECIDED, 5_000), (RecordKind.CLAIMED, 9_000),
        (RecordKind.TURN, 9_020),
    ]:  # fmt: skip
        driven.see(told(kind, at))
    assert driven.seconds(9_100, is_driven=True) == 40 + 100
    assert driven.seconds(99_999, is_driven=False) == 40 + 20
    assert Driven().seconds(5, is_driven=True) == 0


calls = st.lists(
    st.tuples(st.floats(0.001, 0.5), st.floats(0, 0.5), st.booleans()), min_size=1, max_size=30
)


@given(calls)
def test_never_more_is_spent_than_the_budget_and_what_estimates_missed(
    asked: Sequence[tuple[float, float, bool]],
):
    account, missed, flying = Account(Budget(usd=1), Usage(), 0, 0), 0.0, dict[int, float]()
    for number, (expected, real, settles) in enumerate(asked):
        if account.has_room(expected, 1, 0):
            account.hold(number, expected, 1, 0)
            flying[number] = real
            missed += max(0.0, real - expected)
        if settles:
            for done, cost in flying.items():
                account.settle(done, Usage(cost_usd=cost), 0)
            flying.clear()

    assert account.spent.cost_usd <= 1 + missed + 1e-9


async def test_kept_replies_are_bounded_and_the_oldest_goes_first():
    replies, calls = KeptReplies(limit=2), list[str]()

    async def ask(key: str) -> ModelReply:
        async def call() -> ModelReply:
            calls.append(key)
            return HELLO

        return await replies.get(key, call)

    for key in ("a", "b", "c", "b", "c", "a"):
        await ask(key)

    assert calls == ["a", "b", "c", "a"]


async def test_a_failure_is_told_to_all_who_wait_and_not_kept():
    replies, answers = KeptReplies(), [RuntimeError("no"), HELLO]

    async def call() -> ModelReply:
        await asyncio.sleep(0)
        match answers.pop(0):
            case ModelReply() as reply:
                return reply
            case error:
                raise error

    asked = [asyncio.create_task(replies.get("k", call)) for _ in range(2)]
    await asyncio.wait(asked)

    assert [str(task.exception()) for task in asked] == ["no", "no"]
    assert await replies.get("k", call) == HELLO


async def test_a_call_not_yet_sent_is_given_up_with_its_last_asker():
    replies, sent = KeptReplies(), asyncio.Event()
    replies.unsent.add("k")

    async def call() -> ModelReply:
        await asyncio.Event().wait()
        sent.set()
        return HELLO

    asked = [asyncio.create_task(replies.get("k", call)) for _ in range(2)]
    await asyncio.sleep(0)
    asked[0].cancel()
    await asyncio.wait([asked[0]])
    assert "k" in replies.unsent
    asked[1].cancel()
    await asyncio.wait([asked[1]])
    await asyncio.sleep(0)

    assert "k" not in replies.unsent
    assert not sent.is_set()


async def test_closing_ends_what_is_in_flight():
    replies, began = KeptReplies(), asyncio.Event()

    async def call() -> ModelReply:
        began.set()
        await asyncio.Event().wait()
        return HELLO

    asked = asyncio.create_task(replies.get("k", call))
    await began.wait()
    await replies.close()

    with pytest.raises(asyncio.CancelledError):
        await asked
