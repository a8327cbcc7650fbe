"""Permission for tool calls: by policy, and by people where it says so."""

import hashlib
import json
from collections.abc import Callable
from typing import Any

from actors.tools.text import neutralise
from orchestration.approval import Answer, ApprovalPolicy, ApprovalRequest, Decision, Rule
from orchestration.ids import RunId, StepGrant
from orchestration.workflow.journal import Journal, RecordKind
from orchestration.workflow.step import Suspend, Suspension

_FORBIDDEN = (
    "policy forbids this call. Asking again will not help: do it another way, or do without it "
    "and say so in your answer."
)
_NO_REASON = "no reason was given"


class PolicyPermission:
    """A toolset's `Permission`. What a person has to decide suspends the step.

    A decision is bound to exactly this tool with exactly these arguments in this step; it is read
    off the journal, so that it holds after any restart.
    """

    def __init__(
        self,
        policy: ApprovalPolicy,
        journal: Journal,
        grant: StepGrant,
        *,
        who: str = "",
        leaves_sandbox: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._policy, self._journal, self._grant, self._who = policy, journal, grant, who
        self._leaves_sandbox = leaves_sandbox

    async def __call__(self, name: str, arguments: dict[str, Any]) -> str:
        silence = Rule.ASK if self._leaves_sandbox(name) else Rule.ALLOW
        match self._policy.rule_of_call(name, arguments, silence=silence):
            case Rule.ALLOW:
                return ""
            case Rule.DENY:
                return _FORBIDDEN
            case Rule.ASK:
                return await self._asked(name, arguments)

    async def _asked(self, name: str, arguments: dict[str, Any]) -> str:
        digest = self._digest(name, arguments)
        label = f"{name}-{digest[:8]}"
        decision = await decision_on(self._journal, self._grant.run_id, label, digest)
        if decision is None:
            raise Suspend(self._question(label, name, arguments, digest))
        if decision.answer is Answer.APPROVE:
            return ""
        reason = neutralise(decision.comment).strip() or _NO_REASON
        return f"{decision.by} declined it: {reason}"

    def _digest(self, name: str, arguments: dict[str, Any]) -> str:
        content = json.dumps([self._grant.step_key, name, arguments], sort_keys=True)
        return hashlib.sha256(content.encode("utf-8", "replace")).hexdigest()

    def _question(
        self, label: str, name: str, arguments: dict[str, Any], digest: str
    ) -> Suspension:
        shown = "\n".join(
            f"{key}: {value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)}"
            for key, value in arguments.items()
        )
        request = ApprovalRequest(
            gate="tool",
            title=f"{self._who or 'An agent'} wants to call `{name}`. Allow it?",
            body=neutralise(f"In {self._grant.step_key}\n\n{name}\n{shown}"),
            digest=digest,
        )
        return Suspension(label=label, payload=request.model_dump_json())


async def decision_on(journal: Journal, run_id: RunId, label: str, digest: str) -> Decision | None:
    """The last decision under a label, if it was about content of this digest."""
    records = await journal.read(run_id, kinds=[RecordKind.DECIDED])
    bodies = [json.loads(record.body) for record in records]
    under = [body["answer"] for body in bodies if body["label"] == label]
    decision = Decision.model_validate(under[-1]) if under else None
    return decision if decision and decision.digest in {"", digest} else None
