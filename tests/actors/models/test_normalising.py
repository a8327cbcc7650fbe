"""Every quirk of a provider's reply in one shape; what failures mean; routes; retries."""

from typing import Any

import pytest

from actors.models.failures import (
    Failure,
    Trouble,
    classify,
    parse_retry_after,
    redact,
    shorten,
    to_error,
)
from actors.models.gateway import ModelReply
from actors.models.normalising import normalise
from actors.models.retrying import RetryPolicy
from actors.models.routing import Route, parse_routes
from orchestration.errors import UsageError
from tests.contracts.gateway import a_request


def completion(finish: str = "stop", usage: dict[str, Any] | None = None, **message: Any):
    return {"choices": [{"finish_reason": finish, "message": message}], "usage": usage}


def read(finish: str = "stop", **message: Any) -> ModelReply:
    return normalise(completion(finish, **message), a_request(turn=3))


def call(**fields: Any) -> dict[str, Any]:
    name = fields.pop("name", "read")
    return {"function": {"name": name, "arguments": fields.pop("arguments", "{}")}, **fields}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (None, ""),
        ("", ""),
        ("plain", "plain"),
        ("<think>hm\n</think>\nplain", "plain"),
        ("<think>cut off in thou", ""),
        ("say <think>not at the start</think>", "say <think>not at the start</think>"),
        ([{"type": "thinking", "thinking": "hm"}, {"type": "text", "text": "plain"}], "plain"),
    ],
)
def test_text_is_what_the_model_says_and_not_what_it_thinks(content: object, text: str):
    assert read(content=content, reasoning_content="hm").text == text


def test_missing_and_repeated_ids_are_made_unique():
    calls = read(tool_calls=[call(id="x"), call(id=None), call(id="x"), call()]).tool_calls

    assert [c.id for c in calls] == ["x", "call-3-2", "call-3-3", "call-3-4"]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ('{"path": "x"}', '{"path": "x"}'),
        ({"path": "x"}, '{"path": "x"}'),
        ('{"path": "x', '{"path": "x'),
        ("", "{}"),
        (None, "{}"),
    ],
)
def test_arguments_are_raw_text_whatever_the_provider_sends(arguments: object, text: str):
    assert read(tool_calls=[call(id="x", arguments=arguments)]).tool_calls[0].arguments == text


@pytest.mark.parametrize(
    ("finish", "message", "expected"),
    [
        ("stop", {"content": "x"}, "stop"),
        ("stop", {"tool_calls": [call(id="x")]}, "tool_calls"),
        ("length", {"tool_calls": [call(id="x")]}, "length"),
        ("max_tokens", {"content": "x"}, "length"),
        ("content_filter", {"content": None}, "refusal"),
        ("stop", {"content": None, "refusal": "I cannot"}, "refusal"),
        ("stop", {"provider_specific_fields": {"refusal": "I cannot"}}, "refusal"),
        ("eos", {"content": "x"}, "stop"),
    ],
)
def test_why_the_model_stopped_has_four_names(finish: str, message: dict[str, Any], expected: str):
    assert read(finish, **message).finish == expected


def test_a_refusal_is_told_in_the_text():
    assert read(content=None, refusal="I cannot").text == "I cannot"


def test_cached_tokens_are_counted_and_missing_usage_is_estimated():
    usage = {
        "prompt_tokens": 100,
        "completion_tokens": 7,
        "prompt_tokens_details": {"cached_tokens": 60},
    }
    said = normalise(completion(usage=usage, content="x"), a_request()).usage
    silent = normalise(completion(content="x" * 400), a_request(task="y" * 400)).usage

    assert (said.input_tokens, said.cached_tokens, said.output_tokens) == (100, 60, 7)
    assert 100 <= silent.input_tokens <= 160
    assert 100 <= silent.output_tokens <= 120


@pytest.mark.parametrize("body", [{}, {"choices": []}, {"choices": [{}]}, {"choices": None}])
def test_a_completion_without_a_message_is_garbled(body: dict[str, Any]):
    with pytest.raises(Failure) as caught:
        normalise(body, a_request())

    assert caught.value.trouble is Trouble.GARBLED


@pytest.mark.parametrize(
    ("name", "status", "words", "trouble"),
    [
        ("RateLimitError", 429, "slow down", Trouble.RATE),
        ("RateLimitError", 429, "You exceeded your current quota", Trouble.CREDIT),
        ("InternalServerError", 500, "content policy", Trouble.BUSY),
        ("APIError", 529, "overloaded", Trouble.BUSY),
        ("AuthenticationError", 401, "bad key", Trouble.KEY),
        ("NotFoundError", 404, "no such model", Trouble.UNKNOWN),
        ("BadRequestError", 400, "prompt is too long: 9 tokens", Trouble.CONTEXT),
        ("ContextWindowExceededError", 400, "", Trouble.CONTEXT),
        ("ContentPolicyViolationError", 400, "", Trouble.POLICY),
        ("BadRequestError", 400, "messages: wrong role", Trouble.BAD),
        ("Timeout", 408, "", Trouble.TIMEOUT),
        ("ValueError", None, "anything", Trouble.BUSY),
    ],
)
def test_failures_are_told_apart(name: str, status: int | None, words: str, trouble: Trouble):
    assert classify(name, status, words) is trouble


def test_secrets_never_reach_an_error():
    environ = {"OPENAI_API_KEY": "abc-123-def", "PATH": "/usr/bin", "SHORT_KEY": "no"}
    words = "key abc-123-def, sk-proj-abcdefgh1234, Bearer xyz, http://u:p@host/ no /usr/bin"

    assert redact(words, environ) == (
        "key [OPENAI_API_KEY], [redacted], Bearer [redacted], http://[redacted]@host/ no /usr/bin"
    )


def test_a_provider_s_words_are_one_short_line():
    words = "litellm.BadRequestError: OpenAIException - first\n second " + "x" * 1000

    assert shorten(words).startswith("first second xxx")
    assert len(shorten(words)) == 240


@pytest.mark.parametrize("trouble", list(Trouble))
def test_every_trouble_has_a_fix(trouble: Trouble):
    failure = Failure(trouble, "words")
    failure.attempts = 3

    error = to_error(Route(model="groq/x"), failure)

    assert f"groq/x is {trouble} (3 attempts): words" in error.what
    assert error.fix


# --- routes --------------------------------------------------------------------------------------


def test_a_role_without_a_route_takes_the_default():
    routes = parse_routes({"default": "openai/a", "linter": {"model": "openai/b", "stream": True}})

    assert routes.of("linter") == Route(model="openai/b", stream=True)
    assert routes.of("coder") == Route(model="openai/a")


def test_a_route_reads_the_same_after_a_journey_as_json():
    settings = {"model": "openai/a", "api_base": "http://x", "fallbacks": ["openai/b", "groq/c"]}
    route = Route.model_validate(settings)

    again = Route.model_validate_json(route.model_dump_json())

    assert again.chain() == route.chain()
    assert again.chain()[1].api_base == "http://x"
    assert again.chain()[2].api_base is None


def test_a_fallback_of_the_same_provider_inherits_and_another_one_does_not():
    route = Route.model_validate(
        {
            "model": "openai/a",
            "api_base": "http://localhost:1",
            "temperature": 0.5,
            "fallbacks": ["openai/b", "anthropic/c", {"model": "openai/d", "temperature": 1}],
        }
    )

    assert route.chain() == (
        Route(model="openai/a", api_base="http://localhost:1", temperature=0.5),
        Route(model="openai/b", api_base="http://localhost:1", temperature=0.5),
        Route(model="anthropic/c"),
        Route(model="openai/d", api_base="http://localhost:1", temperature=1),
    )


@pytest.mark.parametrize(
    ("settings", "says"),
    [
        ({}, "no model is chosen"),
        ({"default": ""}, "no model is chosen"),
        ({"default": "a/b", "painter": "a/c"}, "no role named painter"),
        ({"default": {"model": "a/b", "temprature": 1}}, r"default\.temprature"),
        ({"default": {"model": "a/b", "options": {"api_key": "s"}}}, "name its variable"),
        ({"default": {"model": "a/b", "temperature": 9}}, r"default\.temperature"),
        ({"default": 7}, "default is wrong"),
    ],
)
def test_a_wrong_route_is_refused_naming_the_place(settings: dict[str, object], says: str):
    with pytest.raises(UsageError, match=says):
        parse_routes(settings)


# --- retries -------------------------------------------------------------------------------------


def test_waits_double_up_to_a_ceiling_and_are_spread_out():
    policy = RetryPolicy(first_s=1, longest_s=10)

    assert [policy.delay(n, None, lambda: 1.0) for n in range(1, 6)] == [1, 2, 4, 8, 10]
    assert [policy.delay(n, None, lambda: 0.0) for n in range(1, 6)] == [0.5, 1, 2, 4, 5]


def test_a_provider_s_own_wait_goes_before_ours_unless_it_is_absurd():
    policy = RetryPolicy(longest_rate_limit_s=900)

    assert policy.delay(1, 42.0, lambda: 0.0) == 42.0
    assert policy.delay(1, 86_400.0) is None


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("3", 3.0),
        ("0.5", 0.5),
        ("-1", 0.0),
        ("Thu, 01 Jan 2026 00:00:10 GMT", 10.0),
        ("soon", None),
        ("", None),
        (None, None),
    ],
)
def test_retry_after_is_seconds_or_a_date(text: str | None, seconds: float | None):
    assert parse_retry_after(text, now=1_767_225_600.0) == seconds
