"""What needs a person, and what the person answered."""

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class Rule(StrEnum):
    """What a policy says of a gate or a tool call."""

    ALLOW = "allow"
    ASK = "ask"
    DENY = "deny"


Gate = Literal["plan", "delivery", "deploy"]


class ApprovalPolicy(BaseModel):
    """Which gates wait for a person. Silence means allow."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gates: dict[Gate, Rule] = Field(default_factory=dict)

    def rule(self, gate: Gate) -> Rule:
        return self.gates.get(gate, Rule.ALLOW)


class ApprovalRequest(BaseModel):
    """What a person is asked to decide, bound to exactly this content."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    gate: Gate
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
