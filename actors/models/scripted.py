"""Gateways without a provider: replies from a recording, or from a function."""

import difflib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

from actors.models.fingerprint import departure, drift, fingerprint
from actors.models.gateway import ModelReply, ModelRequest, Role
from actors.models.recording import RecordedReply, Recording
from actors.models.replies import KeptReplies
from orchestration.clock import Clock, SystemClock
from orchestration.errors import ReplayDivergedError
from orchestration.messages import Difficulty

CONTEXT_TOKENS = 128_000
_MARK = "recording:"
_AGAIN = "record it again with `manta run --record FILE`"


class ScriptedGateway:
    """Replays a recording, and says so in every reply's `model`.

    A reply is served when the conversation's task is the recorded one and the tools answered with
    the same status as then. Other differences are told in the reply's `drift`.
    """

    def __init__(
        self, recording: Recording, *, latency_s: float = 0.0, clock: Clock | None = None
    ) -> None:
        self._recording = recording
        self._latency_s = latency_s
        self._clock = clock or SystemClock()

    @classmethod
    def of(
        cls, script: Mapping[str, Sequence[ModelReply]], *, latency_s: float = 0.0
    ) -> "ScriptedGateway":
        """Replies written by hand, per conversation for turns 1, 2, ...; any question will do."""
        replies = {
            (conversation, turn): RecordedReply(
                role="coder", conversation=conversation, turn=turn, reply=reply
            )
            for conversation, said in script.items()
            for turn, reply in enumerate(said, start=1)
        }
        return cls(Recording(replies, name="the script"), latency_s=latency_s)

    async def complete(self, request: ModelRequest) -> ModelReply:
        said = self._find(request)
        note = ""
        if said.seen:
            asked = fingerprint(request)
            if why := departure(said.seen, asked):
                raise _diverged(request, f"leaves {self._recording.name}: {why}")
            note = drift(said.seen, asked)
        if self._latency_s:
            await self._clock.sleep(self._latency_s)
        return replace(
            said.reply, model=_marked(said.reply.model), seconds=self._latency_s, drift=note
        )

    async def acknowledge(self, key: str) -> None:
        """Nothing to forget: the same question always has the same answer."""

    async def check(self, role: Role, *, priced: bool = False) -> str:
        said = self._of_role(role)
        return _marked(said.reply.model if said else "")

    async def context_tokens(self, role: Role, difficulty: Difficulty = "normal") -> int:
        said = self._of_role(role)
        return said.context_tokens if said else CONTEXT_TOKENS

    def _find(self, request: ModelRequest) -> RecordedReply:
        said = self._recording.replies.get((request.conversation, request.turn))
        if said:
            return said
        name = self._recording.name
        if turns := self._recording.turns(request.conversation):
            listed = ", ".join(str(turn) for turn in turns[-5:])
            raise _diverged(request, f"is not in {name}, which has it up to turns {listed}")
        known = self._recording.conversations
        near = difflib.get_close_matches(request.conversation, known, n=5, cutoff=0.3) or known[:5]
        raise _diverged(request, f"is not in {name}; near it are {', '.join(near) or 'none'}")

    def _of_role(self, role: Role) -> RecordedReply | None:
        return next((r for r in self._recording.replies.values() if r.role == role), None)


class FunctionGateway:
    """The in-memory plug: a function answers. It is called once for each key."""

    def __init__(self, answer: Callable[[ModelRequest], ModelReply], *, context_tokens: int = 0):
        self._answer = answer
        self._context_tokens = context_tokens or CONTEXT_TOKENS
        self._replies = KeptReplies()
        self.asked: list[ModelRequest] = []
        """Every request that was answered, in order."""

    async def complete(self, request: ModelRequest) -> ModelReply:
        return await self._replies.get(request.key, lambda: self._call(request))

    async def acknowledge(self, key: str) -> None:
        self._replies.forget(key)

    async def check(self, role: Role, *, priced: bool = False) -> str:
        return f"function:{role}"

    async def context_tokens(self, role: Role, difficulty: Difficulty = "normal") -> int:
        return self._context_tokens

    async def _call(self, request: ModelRequest) -> ModelReply:
        self.asked.append(request)
        return self._answer(request)


def _marked(model: str) -> str:
    return f"{_MARK}{model.removeprefix(_MARK)}"


def _diverged(request: ModelRequest, why: str) -> ReplayDivergedError:
    return ReplayDivergedError(
        f"turn {request.turn} of {request.conversation} {why}",
        _AGAIN,
        request.conversation,
        request.turn,
    )
