"""Budgets, routes and rules as people give them."""

import pytest

from actors.models.governor import Lane
from actors.models.routing import Routes
from cluster.intake import routes_of
from cluster.runs.budgets import larger, parse_budget
from cluster.settings import Settings
from orchestration.approval import Rule
from orchestration.errors import UsageError
from orchestration.messages import Budget


@pytest.mark.parametrize(
    ("text", "budget"),
    [
        ("5usd", Budget(usd=5)),
        ("$0.50", Budget(usd=0.5)),
        ("5usd,3Mtok,2h", Budget(usd=5, tokens=3_000_000, seconds=7200)),
        ("90min", Budget(seconds=5400)),
        ("20ktok + 1.5 USD", Budget(usd=1.5, tokens=20_000)),
    ],
)
def test_a_budget_is_money_tokens_time_or_several(text: str, budget: Budget) -> None:
    assert parse_budget(text) == budget


@pytest.mark.parametrize("text", ["", "5", "much", "0usd", "-3usd", "5usd,6usd", "5usd;rm"])
def test_what_is_no_budget_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(UsageError, match=r"is no budget .* 5usd,3Mtok,2h"):
        parse_budget(text)


def test_a_larger_budget_leaves_the_other_limits_alone() -> None:
    assert larger(Budget(usd=9), Budget(usd=5, tokens=7)) == Budget(usd=9, tokens=7)


def routed(**settings: object) -> Routes:
    return routes_of(Settings.model_validate(settings))


def test_routes_in_full_stand_above_the_models_named() -> None:
    routes = routed(
        model="a/common",
        models={"coder": "a/coder"},
        routes={"coder": {"model": "b/own", "api_base": "http://two"}, "coder:hard": "c/strong"},
        api_base="http://one",
    )
    assert (routes.of("reviewer").model, routes.of("reviewer").api_base) == (
        "a/common",
        "http://one",
    )
    assert (routes.of("coder").model, routes.of("coder").api_base) == ("b/own", "http://two")
    assert (routes.of("coder", "hard").model, routes.of("coder", "hard").api_base) == (
        "c/strong",
        None,
    )


def test_common_rates_hold_where_a_route_has_none_of_its_own() -> None:
    routes = routed(
        model="a/common", requests_per_minute=50,
        routes={"linter": {"model": "b/small", "requests_per_minute": 500}},
    )  # fmt: skip
    assert routes.of("coder").requests_per_minute == 50
    assert routes.of("linter").requests_per_minute == 500
    assert Lane("m", 50).rate.tokens > 1e12


def test_a_route_for_nobody_is_refused() -> None:
    with pytest.raises(UsageError, match="no role named painter"):
        routed(model="a/b", routes={"painter": "a/c"})


def test_gates_and_rules_become_the_policy() -> None:
    settings = Settings(approve=("plan",), allow=("deletions",), tool_rules=("deny run *curl*",))
    policy = settings.policy()
    assert [policy.rule(gate) for gate in ("plan", "delivery", "deletions", "tests")] == [
        Rule.ASK, Rule.ALLOW, Rule.ALLOW, Rule.ASK,
    ]  # fmt: skip
    assert policy.rule_of_call("run", {"command": "curl x"}) is Rule.DENY


def test_a_rule_that_cannot_be_read_is_refused_when_settings_are_made() -> None:
    with pytest.raises(ValueError, match="not of the form"):
        Settings(tool_rules=("sometimes run",))
