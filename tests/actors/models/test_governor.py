"""Fair shares of a provider's limits, for the whole fleet."""

import asyncio
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.models.gateway import ModelReply
from actors.models.governed import GovernedGateway, expected_tokens
from actors.models.governor import Call, Lane, LocalGovernor
from actors.models.limiter import Limiter, Rate, Ticket
from actors.models.scripted import FunctionGateway
from orchestration.clock import ManualClock
from orchestration.messages import Usage
from tests.contracts.gateway import HELLO, GatewayContract, Make, Subject, a_request

PLENTY = Rate(requests=1e9, tokens=1e12)


class TestGovernedGateway(GatewayContract):
    @pytest.fixture
    def make(self) -> Make:
        def make(*replies: ModelReply) -> Subject:
            inner = FunctionGateway(lambda r: replace(replies[r.turn - 1], model="function"))
            gateway = GovernedGateway(inner, LocalGovernor(), Lane("m"))
            return Subject(gateway, lambda: len(inner.asked))

        return make


# --- the limiter ---------------------------------------------------------------------------------

runs = st.sampled_from(["a", "b", "c"])
arrivals = st.lists(
    st.tuples(st.floats(0, 30), runs, st.integers(1, 1500)), min_size=1, max_size=40
)


def drive(rate: Rate, asked: list[tuple[float, str, int]]) -> list[tuple[float, Ticket]]:
    """Let calls arrive after pauses and go when they may; returns when each went."""
    limiter, now, went = Limiter(rate, 0.0), 0.0, list[tuple[float, Ticket]]()
    for pause, run, tokens in asked:
        now += pause
        went += [(now, ticket) for ticket in limiter.grant(now)]
        limiter.ask(run, tokens)
    went += [(now, ticket) for ticket in limiter.grant(now)]
    while (wait := limiter.wait_s(now)) is not None:
        now += wait + 1e-9
        went += [(now, ticket) for ticket in limiter.grant(now)]
    return went


@given(arrivals)
def test_every_call_goes_in_the_end_and_a_run_s_calls_go_in_their_order(
    asked: list[tuple[float, str, int]],
):
    went = drive(Rate(requests=20, tokens=1000), asked)

    assert sorted(ticket.number for _, ticket in went) == list(range(1, len(asked) + 1))
    for run in "abc":
        numbers = [ticket.number for _, ticket in went if ticket.run == run]
        assert numbers == sorted(numbers)


@given(arrivals)
def test_no_window_holds_more_than_the_rate_and_one_burst(asked: list[tuple[float, str, int]]):
    rate = Rate(requests=20, tokens=1000)
    went = drive(rate, asked)

    for first, (start, _) in enumerate(went):
        for last in range(first, len(went)):
            minutes = (went[last][0] - start) / 60
            calls = last - first + 1
            tokens = [min(ticket.tokens, 1000) for _, ticket in went[first : last + 1]]
            assert calls <= rate.requests * (1 + minutes) + 1e-6
            assert sum(tokens) <= rate.tokens * (1 + minutes) + 1e-6


@given(st.lists(st.tuples(runs, st.integers(1, 500)), min_size=1, max_size=60))
def test_while_runs_wait_none_gets_ahead_of_another_by_more_than_one_call(
    asked: list[tuple[str, int]],
):
    limiter = Limiter(Rate(requests=1e6, tokens=600), 0.0)
    waiting = {run: [t for r, t in asked if r == run] for run in "abc"}
    for run, tokens in asked:
        limiter.ask(run, tokens)
    served = dict.fromkeys("abc", 0)
    now = 0.0
    while (wait := limiter.wait_s(now)) is not None:
        now += wait + 1e-9
        for ticket in limiter.grant(now):
            behind = [served[run] for run in "abc" if waiting[run]]
            assert served[ticket.run] == min(behind)
            waiting[ticket.run].pop(0)
            served[ticket.run] += ticket.tokens


def test_a_call_larger_than_a_minute_s_worth_goes_when_the_bucket_is_full():
    limiter = Limiter(Rate(requests=10, tokens=1000), 0.0)
    limiter.ask("a", 600)
    limiter.ask("a", 5000)

    assert [t.tokens for t in limiter.grant(0.0)] == [600]
    assert limiter.wait_s(0.0) == pytest.approx(36)
    assert [t.tokens for t in limiter.grant(36.1)] == [5000]


def test_what_was_not_used_is_given_back_and_what_was_used_more_is_owed():
    limiter = Limiter(Rate(requests=10, tokens=1000), 0.0)
    limiter.ask("a", 1000)
    (first,) = limiter.grant(0.0)
    limiter.ask("a", 500)

    assert limiter.wait_s(0.0) == pytest.approx(30)
    limiter.settle(first, 400)
    (second,) = limiter.grant(0.0)
    limiter.settle(second, 1100)
    limiter.ask("b", 500)
    assert limiter.wait_s(0.0) == pytest.approx(60)


def test_a_run_that_was_idle_has_saved_nothing_up():
    limiter = Limiter(Rate(requests=1000, tokens=1000), 0.0)
    for _ in range(5):
        limiter.ask("busy", 200)
    assert len(limiter.grant(0.0)) == 5
    for _ in range(3):
        limiter.ask("busy", 200)
        limiter.ask("new", 200)

    order = [ticket.run for ticket in limiter.grant(60.0)]

    assert order.count("busy") >= 2


def test_a_pause_holds_everybody_back():
    limiter = Limiter(PLENTY, 0.0)
    limiter.ask("a", 1)
    limiter.pause(0.0, 30.0)

    assert limiter.grant(29.0) == []
    assert limiter.wait_s(29.0) == pytest.approx(1)
    assert len(limiter.grant(30.0)) == 1


# --- the governor --------------------------------------------------------------------------------


async def all_run() -> None:
    """Let every task get as far as it can."""
    for _ in range(10):
        await asyncio.sleep(0)


def narrow(tokens: float, requests: float = 100, name: str = "m") -> Lane:
    return Lane(name, requests, tokens)


def usage(tokens: int) -> Usage:
    return Usage(calls=1, input_tokens=tokens)


async def test_a_call_waits_until_the_minute_has_filled_up():
    clock, lane = ManualClock(), narrow(1000)
    governor = LocalGovernor(clock=clock)
    first = await governor.reserve(Call("a", lane, 1000))
    second = asyncio.create_task(governor.reserve(Call("a", lane, 500)))
    await all_run()

    await clock.advance(29.9)
    assert not second.done()
    await governor.settle(first, usage(1000))
    await all_run()
    await clock.advance(0.2)
    assert second.done()


async def test_one_lane_does_not_wait_for_another():
    governor = LocalGovernor(clock=ManualClock())
    await governor.reserve(Call("a", narrow(1000, name="m"), 1000))

    async with asyncio.timeout(5):
        await governor.reserve(Call("a", narrow(1000, name="n"), 1000))


async def test_a_lane_s_rates_may_change_while_calls_wait():
    clock = ManualClock()
    governor = LocalGovernor(clock=clock)
    await governor.reserve(Call("a", narrow(1000), 1000))
    slow = asyncio.create_task(governor.reserve(Call("a", narrow(1000), 1000)))
    await all_run()
    fast = asyncio.create_task(governor.reserve(Call("b", narrow(100_000), 1000)))
    await all_run()

    assert (slow.done(), fast.done()) == (True, True)


async def test_a_pause_holds_the_whole_fleet_back():
    clock, lane = ManualClock(), Lane("m")
    governor = LocalGovernor(clock=clock)
    await governor.pause(lane, 30)
    calls = [asyncio.create_task(governor.reserve(Call(run, lane, 1))) for run in "abc"]
    await all_run()
    await clock.advance(29)
    assert not any(call.done() for call in calls)
    await clock.advance(1.1)
    assert all(call.done() for call in calls)


async def test_real_use_settles_the_estimate():
    governor = LocalGovernor(clock=ManualClock())
    gateway = GovernedGateway(FunctionGateway(lambda _: HELLO), governor, narrow(5000))

    for number in range(20):  # each is estimated at about a thousand tokens and takes fifteen
        async with asyncio.timeout(5):
            await gateway.complete(a_request(f"k{number}"))

    assert expected_tokens(a_request()) > 1000


async def test_a_call_given_up_leaves_its_place_to_the_next():
    clock, lane = ManualClock(), narrow(1e6, requests=1)
    governor = LocalGovernor(clock=clock)
    await governor.reserve(Call("a", lane, 1))
    given_up = asyncio.create_task(governor.reserve(Call("a", lane, 1)))
    next_one = asyncio.create_task(governor.reserve(Call("b", lane, 1)))
    await all_run()

    given_up.cancel()
    await all_run()
    await clock.advance(60.1)

    assert given_up.cancelled()
    assert next_one.done()


async def test_a_call_given_up_at_the_moment_of_its_leave_hurts_nobody():
    clock, lane = ManualClock(), narrow(1000)
    governor = LocalGovernor(clock=clock)
    first = await governor.reserve(Call("a", lane, 1000))
    given_up = asyncio.create_task(governor.reserve(Call("a", lane, 1000)))
    next_one = asyncio.create_task(governor.reserve(Call("b", lane, 1000)))
    await all_run()

    given_up.cancel()
    await governor.settle(first, Usage())
    await all_run()

    assert next_one.done()


async def test_a_failed_call_gives_its_reservation_back():
    def fail(_: object) -> ModelReply:
        raise ConnectionError("away")

    governor = LocalGovernor(clock=ManualClock())
    gateway = GovernedGateway(FunctionGateway(fail), governor, narrow(1100))
    for _ in range(5):
        with pytest.raises(ConnectionError):
            await gateway.complete(a_request())
