"""What needs a person, and what the person answered."""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from fnmatch import fnmatchcase
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Rule(StrEnum):
    """What a policy says of a gate or a tool call."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


Gate = Literal["plan", "delivery", "deploy", "tests", "deletions"]
Subject = Gate | Literal["tool", "budget"]
"""What a question may be about."""
ASKED_IN_SILENCE: frozenset[Gate] = frozenset({"tests", "deletions"})
"""Changing tests that exist, and deleting files: what cannot be undone by looking later."""


class ToolRule(BaseModel):
    """What is said of some tool calls. Both patterns are globs over whole texts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    rule: Rule
    tool: str = "*"
    """Matches the tool's name."""
    arguments: str = "*"
    """Matches at least one text among the arguments, however deep."""

    def fits(self, tool: str, arguments: object) -> bool:
        return fnmatchcase(tool, self.tool) and (
            self.arguments == "*" or any(fnmatchcase(t, self.arguments) for t in _texts(arguments))
        )


def tool_rule(text: str) -> ToolRule:
    """Read `RULE TOOL [PATTERN]`, such as `ask run *curl*` or `deny mcp__github__*`.

    Raises:
        ValueError: it has another form.
    """
    rule, _, rest = text.strip().partition(" ")
    tool, _, pattern = rest.strip().partition(" ")
    if rule not in set(Rule) or not tool:
        raise ValueError(f"{text!r} is not of the form allow|ask|deny TOOL [PATTERN]")
    return ToolRule(rule=Rule(rule), tool=tool, arguments=pattern.strip() or "*")


def _texts(value: object) -> Iterator[str]:
    match value:
        case str():
            yield value
        case Mapping():
            for each in value.values():
                yield from _texts(each)
        case list() | tuple():
            for each in value:
                yield from _texts(each)
        case _:
            yield str(value)


class ApprovalPolicy(BaseModel):
    """What waits for a person. Silence means ask for what is destructive, else allow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gates: dict[Gate, Rule] = Field(default_factory=dict)
    tools: tuple[ToolRule, ...] = ()
    """The first that fits a tool call decides."""

    def rule(self, gate: Gate) -> Rule:
        return self.gates.get(gate, Rule.ASK if gate in ASKED_IN_SILENCE else Rule.ALLOW)

    def rule_of_call(self, tool: str, arguments: object, *, silence: Rule = Rule.ALLOW) -> Rule:
        """What holds for a tool call; `silence` where no rule fits it."""
        return next((r.rule for r in self.tools if r.fits(tool, arguments)), silence)


class ApprovalRequest(BaseModel):
    """What a person is asked to decide, bound to exactly this content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: Subject
    title: str
    body: str
    """The plan, diff or command, as text for people. Untrusted content, already neutralised."""
    digest: str
    """SHA-256 of the content decided on: changed content needs a new decision."""


class Answer(StrEnum):
    """The ways to decide."""

    APPROVE = "approve"
    CHANGES = "request-changes"
    REJECT = "reject"


class Decision(BaseModel):
    """A person's answer to an approval request."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    answer: Answer
    comment: str = ""
    """With request-changes: what the agents must heed."""
    by: str = "unknown"
    digest: str = ""
    """Of the request being answered; checked when given."""
