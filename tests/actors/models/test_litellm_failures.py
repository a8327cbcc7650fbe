"""A provider that is slow, broken, away or unwilling, over real HTTP."""

import asyncio
import pickle  # noqa: TID251 - what Ray does to errors and routes on their way
from collections.abc import AsyncGenerator

import pytest

from orchestration.errors import ModelError
from tests.actors.models import endpoint as http
from tests.actors.models.desk import MARKS, Desk
from tests.actors.models.endpoint import SECRET, Endpoint
from tests.contracts.gateway import a_request

pytestmark = [pytest.mark.slow, *MARKS]


@pytest.fixture
async def desk(server: Endpoint) -> AsyncGenerator[Desk]:
    desk = Desk(server)
    yield desk
    await desk.close()


async def test_a_rate_limit_is_waited_out_as_long_as_the_provider_says(desk: Desk):
    reply = await desk.ask(http.failure(429, "slow", Retry_After="42"), http.message(content="ok"))

    assert reply.text == "ok"
    assert 42 <= desk.clock.waited[0] <= 43


@pytest.mark.parametrize(
    "answer",
    [
        http.failure(500, "oops"),
        http.failure(503, "oops"),
        http.failure(529, "overloaded"),
        http.dropped(),
        http.garbage(),
        http.document([]),
        http.document({"id": "x", "choices": []}),
    ],
    ids=["500", "503", "529", "dropped", "garbage", "list", "no choices"],
)
async def test_passing_trouble_is_tried_again_with_growing_waits(desk: Desk, answer: http.Answer):
    reply = await desk.ask(answer, answer, answer, http.message(content="ok"))

    assert reply.text == "ok"
    first, second, third = desk.clock.waited
    assert 0.5 <= first <= 1 <= second <= 2 <= third <= 4


async def test_trouble_that_does_not_pass_is_an_error_after_six_tries(
    desk: Desk, capfd: pytest.CaptureFixture[str]
):
    with pytest.raises(ModelError, match=r"overloaded or broken \(6 attempts\): oops") as caught:
        await desk.ask(*[http.failure(500, "oops")] * 9)

    assert len(desk.server.asked) == 6
    assert capfd.readouterr() == ("", "")
    assert "resume the run later" in caught.value.fix


# On a slow machine it is given up before litellm has begun to wait for it.
@pytest.mark.filterwarnings("ignore:coroutine 'OpenAIChatCompletion.acompletion'")
async def test_a_provider_that_hangs_is_given_up(desk: Desk):
    reply = await desk.ask(http.hang(), http.message(content="ok"), timeout_s=0.5)

    assert reply.text == "ok"


async def test_an_endpoint_that_is_away_is_named(desk: Desk):
    with pytest.raises(ModelError, match="unreachable") as caught:
        await desk.ask(api_base="http://127.0.0.1:9/v1")

    assert "http://127.0.0.1:9/v1" in caught.value.fix


@pytest.mark.parametrize(
    ("answer", "says", "fix"),
    [
        (http.failure(401, f"bad key {SECRET}"), "refusing the key", "OPENAI_API_KEY"),
        (http.failure(404, "no such model"), "unknown: no such model", "PROVIDER/NAME"),
        (http.failure(400, f"bad field {SECRET}"), "refusing the request: bad field", "options"),
        (http.failure(400, "maximum context length is 9"), "more than its context", "context_tok"),
        (http.failure(429, "exceeded your current quota"), "out of credit", "add credit"),
        (http.failure(429, "slow", Retry_After="86400"), "rate limited", "resume the run later"),
    ],
    ids=["key", "model", "bad", "context", "credit", "tomorrow"],
)
async def test_what_cannot_pass_is_told_at_once_with_a_fix_and_without_secrets(
    desk: Desk, answer: http.Answer, says: str, fix: str
):
    with pytest.raises(ModelError) as caught:
        await desk.ask(answer)

    assert says in caught.value.what
    assert fix in caught.value.fix
    assert SECRET not in repr(caught.value)
    assert caught.value.__cause__ is None
    assert str(pickle.loads(pickle.dumps(caught.value))) == str(caught.value)
    assert len(desk.server.asked) == 1


async def test_fallbacks_are_tried_in_order_and_the_reply_says_who_spoke(desk: Desk):
    reply = await desk.ask(
        http.failure(400, "no"),
        http.failure(404, "unknown"),
        http.message(content="ok"),
        fallbacks=["openai/second", "openai/third"],
    )

    assert (reply.text, reply.model) == ("ok", "openai/third")
    assert [sent["model"] for sent in desk.server.asked] == ["loopback", "second", "third"]


async def test_when_all_fail_every_reason_is_told(desk: Desk):
    with pytest.raises(ModelError, match=r"openai/loopback is .* then its fallbacks: openai/b is"):
        await desk.ask(http.failure(400, "no"), http.failure(401, "no"), fallbacks=["openai/b"])


async def test_a_call_is_joined_while_the_provider_is_still_thinking(desk: Desk):
    desk.server.will(desk.server.held(http.message(content="ok")))
    gateway = desk.gateway()
    asked = [asyncio.create_task(gateway.complete(a_request())) for _ in range(3)]
    await asyncio.wait_for(desk.server.heard.wait(), 5)
    asked[0].cancel()
    desk.server.released.set()

    assert [(await task).text for task in asked[1:]] == ["ok", "ok"]
    assert len(desk.server.asked) == 1
