"""What a conversation leaves in the journal, and reading it back."""

from collections.abc import Set

from pydantic import BaseModel, ConfigDict

from actors.models.gateway import ModelReply
from orchestration.ids import BlobId, RunId, StepKey
from orchestration.workflow.journal import Journal, RecordKind


class KeptResult(BaseModel):
    """A tool call's answer."""

    model_config = ConfigDict(frozen=True)

    call: str
    """`turn.position`, both from 1: how it is fetched again."""
    name: str
    ok: bool
    exit_code: int | None = None
    seconds: float = 0.0
    text: str
    """The whole answer, or what was shown of it when the whole is in `blob`."""
    blob: BlobId | None = None
    size: int
    """Characters of the whole answer."""
    digest: str
    """Of the whole answer: equal for equal ones."""
    paths_read: tuple[str, ...] = ()
    paths_written: tuple[str, ...] = ()


class TurnRecord(BaseModel):
    """The body of a TURN record: a model's reply, or what answered it."""

    model_config = ConfigDict(frozen=True)

    turn: int
    """From 1 within its step."""
    who: str = ""
    """The agent's name."""
    part: str = ""
    """Which of the step's conversations it belongs to; most steps have only one, without a name."""
    reply: ModelReply | None = None
    reply_blob: BlobId | None = None
    """Where the whole of a large reply is; `reply` then has neither text nor tool calls."""
    results: tuple[KeptResult, ...] | None = None
    """Answers to the reply's next calls: all that are left, or fewer when a person is asked."""
    notices: tuple[str, ...] = ()
    """What the loop told the model afterwards."""
    compact: bool = False
    """Whether the context was compacted afterwards."""


async def whole_reply(journal: Journal, record: TurnRecord) -> ModelReply | None:
    """The reply of a record, fetched from its blob where it is large."""
    if record.reply_blob is None:
        return record.reply
    body = await journal.get_blob(record.reply_blob)
    return TurnRecord.model_validate_json(body).reply


async def read_turns(
    journal: Journal, run_id: RunId, step_key: StepKey, part: str = ""
) -> list[TurnRecord]:
    """All TURN records of one conversation, whatever attempt wrote them, oldest first."""
    turns: list[TurnRecord] = []
    after = 0
    while records := await journal.read(
        run_id, after=after, step_key=step_key, kinds=[RecordKind.TURN]
    ):
        after = records[-1].seq
        turns += [TurnRecord.model_validate_json(record.body) for record in records]
    return [turn for turn in turns if turn.part == part]


class Archive:
    """All that one of a step's conversations ever said and saw."""

    def __init__(
        self,
        journal: Journal,
        run_id: RunId,
        step_key: StepKey,
        part: str = "",
        *,
        shown: Set[str] = frozenset(),
    ) -> None:
        self._journal = journal
        self._shown = shown
        """Files that it was shown before its first turn."""
        self._run_id = run_id
        self._step_key = step_key
        self._part = part

    async def text(self, call: str) -> str | None:
        """A call's whole answer (`12.1`) or a whole turn (`12`); None if there is none."""
        turn, _, position = call.partition(".")
        records = [r for r in await self._turns() if str(r.turn) == turn]
        results = [result for r in records for result in r.results or ()]
        if position:
            found = next((result for result in results if result.call == call), None)
            return await self._whole(found) if found else None
        parts = [await self._said(record) for record in records if record.reply]
        parts += [f"--- {r.call} {r.name} ---\n{await self._whole(r)}" for r in results]
        return "\n".join(parts) or None

    async def paths(self) -> set[str]:
        """Files that were shown, read or written."""
        results = [result for record in await self._turns() for result in record.results or ()]
        seen = {path for each in results for path in (*each.paths_read, *each.paths_written)}
        return seen | self._shown

    async def answers(self, characters: int) -> list[tuple[KeptResult, str]]:
        """Tools' whole answers, the latest first, until there are so many characters."""
        found: list[tuple[KeptResult, str]] = []
        for record in reversed(await self._turns()):
            for result in reversed(record.results or ()):
                if (characters := characters - result.size) < 0 and found:
                    return found
                found.append((result, (await self._whole(result))[: characters + result.size]))
        return found

    async def _turns(self) -> list[TurnRecord]:
        return await read_turns(self._journal, self._run_id, self._step_key, self._part)

    async def _whole(self, result: KeptResult) -> str:
        if result.blob is None:
            return result.text
        return (await self._journal.get_blob(result.blob)).decode("utf-8")

    async def _said(self, record: TurnRecord) -> str:
        reply = await whole_reply(self._journal, record)
        assert reply
        calls = [f"{call.name} {call.arguments}" for call in reply.tool_calls]
        return "\n".join([reply.text, *calls])
