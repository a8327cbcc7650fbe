"""One conversation, folded from the journal: whoever loads it continues where it was left.

A reply is journaled before it is acted on, its results before the next question. So a killed agent
asks for no reply twice, and runs again at most the calls of one reply.
"""

from collections import deque
from collections.abc import Sequence

from actors.agent.agent import FINISH, INVALID_ANSWER
from actors.agent.limits import Progress
from actors.agent.wire import (
    SHOWN,
    digest,
    is_readable,
    notice_entry,
    reply_entry,
    result_entry,
    storable,
    user_message,
)
from actors.context.entry import CallFacts, Entry
from actors.context.window import Window
from actors.models.gateway import ModelReply, ToolCall, WireMessage
from actors.tools.archive import KeptResult, TurnRecord, read_turns, whole_reply
from actors.tools.remember import NAME as REMEMBER
from actors.tools.remember import Notes
from actors.tools.schema import parse_object, validate
from actors.tools.text import cap, neutralise
from actors.tools.tool import ToolResult
from orchestration.ids import StepGrant
from orchestration.messages import Usage
from orchestration.workflow.journal import Journal, NewRecord, RecordKind

_REMEMBERED_CALLS = 100
"""As far back as guards look."""
_LARGE = 32_000
"""Bytes of a record's text from which on it goes to the blob table."""


async def tell(journal: Journal, grant: StepGrant, text: str) -> None:
    """Say something to the step's agent before it goes on, such as that its workspace is new."""
    record = TurnRecord(turn=0, results=(), notices=(text,))
    await _append(journal, grant, record.model_dump_json(exclude_none=True))


async def _append(journal: Journal, grant: StepGrant, body: str) -> None:
    record = NewRecord(RecordKind.TURN, grant.step_key, grant.attempt, body)
    await journal.append_under(grant, [record])


class Transcript:
    """The state of one agent's conversation in one step."""

    def __init__(
        self, journal: Journal, grant: StepGrant, who: str, window: Window, part: str = ""
    ) -> None:
        self._journal = journal
        self._grant = grant
        self._who = who
        self._part = part
        self.window = window
        self.turn = 0
        """The last turn that was answered by the model."""
        self.last_words = ""
        self.waiting: tuple[ToolCall, ...] | None = None
        """Calls of the last reply that have no result yet; None when the model is to speak."""
        self.finished: str | None = None
        """The accepted final answer, as the model wrote it."""
        self.is_answer_due = False
        """The last reply gave an answer that was none: only its form was wrong."""
        self.notes = Notes()
        self._calls: deque[CallFacts] = deque(maxlen=_REMEMBERED_CALLS)
        self._usage = Usage()
        self._earlier_s = 0.0
        """Work of attempts before this one, without the time between them."""
        self._answered = 0
        self._silent = 0
        self._is_cut_off = False
        self._refused = 0
        self._unreadable = 0
        self._notices: frozenset[str] = frozenset()
        self._unsaid: tuple[str, ...] = ()

    @classmethod
    async def load(
        cls,
        journal: Journal,
        grant: StepGrant,
        *,
        who: str,
        window: Window,
        opening: list[Entry],
        part: str = "",
    ) -> "Transcript":
        """The conversation as the journal has it, whichever attempts had part in it."""
        transcript = cls(journal, grant, who, window, part)
        window.add(opening)
        for record in await read_turns(journal, grant.run_id, grant.step_key, part):
            if reply := await whole_reply(journal, record):
                transcript._hear(reply)
                transcript._earlier_s += reply.seconds
            if record.results is not None:
                transcript.see(record.results)
                transcript._earlier_s += sum(result.seconds for result in record.results)
                transcript._close(record.notices, compact=record.compact)
        return transcript

    @property
    def key(self) -> str:
        """The key of the last reply's request."""
        return self.key_of(self.turn)

    def key_of(self, turn: int) -> str:
        """The same for a turn however often it is asked, so that no reply is paid twice."""
        place = self._grant.idempotency_key + (f":{self._part}" if self._part else "")
        return f"{place}/{turn}"

    @property
    def tail(self) -> WireMessage | None:
        """The working memory, where models look: at the end."""
        notes = neutralise(self.notes.shown())
        return user_message(f"[Your notes, as of now]\n{notes}") if notes else None

    def progress(self, seconds: float) -> Progress:
        """How far it has come, `seconds` after it was loaded."""
        return Progress(
            turns=self.turn,
            usage=self._usage,
            seconds=self._earlier_s + seconds,
            silent=self._silent,
            is_cut_off=self._is_cut_off,
            refused=self._refused,
            unreadable=self._unreadable,
            calls=self._calls,
            notices=self._notices,
            size=self.window.size,
            floor=self.window.floor,
            fits=lambda: self.window.fits(self.tail),
        )

    def make_room(self) -> None:
        """Compact if the next prompt would not fit.

        Raises:
            ContextOverflowError: what must be shown does not fit.
        """
        if not self.window.fits(self.tail):
            self.window.compact(self.tail)

    async def append_reply(self, reply: ModelReply) -> None:
        """Journal what the model said; only then is it acted on."""
        turn, reply = self.turn + 1, storable(reply)
        record = TurnRecord(turn=turn, who=self._who, part=self._part, reply=reply)
        body = record.model_dump_json(exclude_none=True)
        if len(body) > _LARGE:
            blob = await self._journal.put_blob(body.encode())
            bare = ModelReply("", (), reply.finish, reply.model, reply.usage, reply.seconds)
            record = record.model_copy(update={"reply": bare, "reply_blob": blob})
            body = record.model_dump_json(exclude_none=True)
        await _append(self._journal, self._grant, body)
        self._hear(reply)

    async def keep(self, position: int, name: str, result: ToolResult) -> KeptResult:
        """A tool's answer in the form that is journaled; the whole of a large one is stored now.

        Args:
            position: of the call among those that wait, from 0.
            name: of the tool.
            result: what it answered, already neutralised.
        """
        text, blob = result.text, None
        if len(text) > _LARGE:
            blob = await self._journal.put_blob(text.encode("utf-8", "replace"))
            text = cap(text, SHOWN, f"recall call={self._call(position)} shows them")
        return KeptResult(
            call=self._call(position),
            name=name,
            ok=result.ok,
            exit_code=result.exit_code,
            seconds=result.seconds,
            text=text,
            blob=blob,
            size=len(result.text),
            digest=digest(result.text),
            paths_read=result.paths_read,
            paths_written=result.paths_written,
        )

    def see(self, results: Sequence[KeptResult]) -> None:
        """Take in what the next waiting calls answered, so that the progress can be judged."""
        waiting = self.waiting or ()
        answered = list(zip(waiting, results, strict=False))
        entries = [result_entry(call, result, self.turn) for call, result in answered]
        self.window.add(entries)
        self._calls.extend(entry.facts for entry in entries if entry.facts)
        for call, result in answered:
            self._heed(call, result)
        self.waiting = waiting[len(answered) :]
        self._answered += len(answered)

    async def append_results(
        self, results: Sequence[KeptResult], notices: tuple[str, ...] = (), *, compact: bool = False
    ) -> None:
        """Journal what has been seen and what follows from it: one record."""
        record = TurnRecord(
            turn=self.turn,
            who=self._who,
            part=self._part,
            results=tuple(results),
            notices=notices,
            compact=compact,
        )
        await _append(self._journal, self._grant, record.model_dump_json(exclude_none=True))
        self._close(notices, compact=compact)

    def _hear(self, reply: ModelReply) -> None:
        self.turn += 1
        self.last_words = reply.text or self.last_words
        self.waiting = reply.tool_calls
        self._answered = 0
        self.is_answer_due = False
        self._silent = 0 if reply.tool_calls else self._silent + 1
        self._is_cut_off = reply.finish == "length"
        if reply.tool_calls:
            is_read = any(is_readable(call) for call in reply.tool_calls)
            self._unreadable = 0 if is_read else self._unreadable + 1
        self._usage += reply.usage
        self.window.add([reply_entry(reply, self.turn)])

    def _heed(self, call: ToolCall, result: KeptResult) -> None:
        """The calls that mean something to the conversation itself."""
        if result.name == FINISH:
            self._refused += not result.ok
            self.is_answer_due = result.text.startswith(INVALID_ANSWER)
            self.finished = call.arguments if result.ok else None
        if result.name == REMEMBER and result.ok:
            self.notes = self.notes.updated(validate(Notes, parse_object(call.arguments)))

    def _close(self, notices: tuple[str, ...], *, compact: bool) -> None:
        self._notices |= frozenset(notices)
        self._unsaid += notices
        if self.waiting:
            return  # nothing may stand between a reply and the answers to its calls
        self.waiting = None
        self.window.add(notice_entry(text, self.turn) for text in self._unsaid)
        self._unsaid = ()
        if compact:
            self.window.compact(self.tail)

    def _call(self, position: int) -> str:
        return f"{self.turn}.{self._answered + position + 1}"
