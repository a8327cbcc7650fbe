"""Manta as an agent that editors drive, by the Agent Client Protocol (agentclientprotocol.com).

A session is a folder; a prompt in it is a request to the team, and its run is named after the
session, so that a session that is loaded again finds its runs. What the run asks a person, the
editor asks. The branch is made in the folder's repository; its working tree is never touched.
"""

import secrets
from contextlib import aclosing
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path
from typing import Any, Literal

from acp import PROTOCOL_VERSION, Client, RequestError, text_block, tool_content
from acp import update_user_message_text as user_message
from acp.schema import (
    AgentCapabilities,
    AllowedOutcome,
    Implementation,
    InitializeResponse,
    LoadSessionResponse,
    NewSessionResponse,
    PermissionOption,
    PromptResponse,
    ToolCallUpdate,
)

from actors.tools.text import neutralise
from cluster.desk import wire
from cluster.desk.deciding import Verdict
from cluster.desk.protocol import Desk
from cluster.desk.wishing import Wishes
from cluster.intake import Order
from cluster.programs.updates import Telling, message
from cluster.terminal.ending import ending_of, told
from orchestration.approval import Answer
from orchestration.errors import MantaError, NotFoundError, UsageError
from orchestration.ids import RunId

PREFIX = "acp-"
OPTIONS = [
    PermissionOption(option_id="approve", name="Approve", kind="allow_once"),
    PermissionOption(option_id="changes", name="Request changes", kind="reject_once"),
    PermissionOption(option_id="reject", name="Reject", kind="reject_always"),
]
DECLINE = [OPTIONS[0], OPTIONS[2]]
"""For a tool call or a budget, of which nothing can be asked to change."""
SHOWN = 60_000
"""Characters of a question."""
Stop = Literal["end_turn", "cancelled", "refusal"]


@dataclass(slots=True)
class Session:
    """One conversation in one folder."""

    id: str
    folder: Path
    runs: int = 0
    current: RunId | None = None
    """The run that is worked on, or waits for what the person wants changed."""
    asked: wire.Asked | None = None
    """The question whose wanted changes the next prompt tells."""
    cancelled: bool = False

    def next_run(self) -> RunId:
        self.runs += 1
        return RunId(f"{self.id}-{self.runs}")


@dataclass(slots=True)
class TeamAgent:
    """The team, as one agent."""

    desk: Desk
    person: str
    wishes: Wishes = field(default_factory=lambda: Wishes(approve=("plan",)))
    """The editor shows the plan and asks, unless told otherwise."""
    sessions: dict[str, Session] = field(default_factory=dict[str, Session])
    _client: Client | None = None

    def on_connect(self, conn: Client) -> None:
        self._client = conn

    async def initialize(self, protocol_version: int, **_: Any) -> InitializeResponse:
        """Agree on a version: the client's where it is older."""
        return InitializeResponse(
            protocol_version=min(protocol_version, PROTOCOL_VERSION),
            agent_capabilities=AgentCapabilities(load_session=True),
            agent_info=Implementation(name="manta", title="Manta", version=version("manta-team")),
        )

    async def authenticate(self, method_id: str, **_: Any) -> None:
        """Nobody has to: whoever can start us may use us."""

    async def new_session(self, cwd: str, **_: Any) -> NewSessionResponse:
        """A conversation about the repository of a folder."""
        session = Session(f"{PREFIX}{secrets.token_hex(4)}", Path(cwd))
        self.sessions[session.id] = session
        return NewSessionResponse(session_id=session.id)

    async def load_session(self, cwd: str, session_id: str, **_: Any) -> LoadSessionResponse:
        """Tell again what was asked and what came of it."""
        session = self.sessions[session_id] = Session(session_id, Path(cwd))
        try:
            while True:
                run_id = RunId(f"{session_id}-{session.runs + 1}")
                detail = await self.desk.run(run_id)
                session.runs += 1
                await self._say(session, user_message(detail.request))
                await self._say(session, message(_standing(detail)))
                open_now = detail.run.status in {"running", "pending", "suspended"}
                session.current = run_id if open_now else None
        except NotFoundError:
            return LoadSessionResponse()
        except MantaError as error:
            raise _refusal(error) from error

    async def prompt(self, session_id: str, prompt: list[Any], **_: Any) -> PromptResponse:
        """A request to the team, or what the person wants changed; ends when nothing goes on."""
        session = self.sessions.get(session_id)
        if session is None:
            raise RequestError.invalid_params({"session_id": session_id})
        session.cancelled = False
        text = "\n\n".join(filter(None, map(_words, prompt)))
        try:
            run_id, after = await self._begun(session, text)
            return PromptResponse(stop_reason=await self._followed(session, run_id, after))
        except MantaError as error:
            await self._say(session, message(f"{error.what}\n{error.fix}".strip()))
            return PromptResponse(stop_reason="refusal")

    async def cancel(self, session_id: str, **_: Any) -> None:
        """Stop the run that is worked on."""
        session = self.sessions.get(session_id)
        if session and session.current:
            session.cancelled = True
            await self.desk.cancel(session.current, by=self.person)

    async def _begun(self, session: Session, text: str) -> tuple[RunId, int]:
        """The run that this prompt is about, and the event to go on from."""
        run_id, asked = session.current, session.asked
        if run_id and asked:
            session.asked = None
            before = (await self.desk.run(run_id)).run.seq
            await self._decide(run_id, asked, Answer.CHANGES, text)
            return run_id, before
        if run_id and (await self.desk.run(run_id)).run.status in {"running", "pending"}:
            raise UsageError(f"run {run_id} is still worked on", "wait for it, or cancel it")
        if run_id and (await self.desk.run(run_id)).questions:
            return run_id, (await self.desk.run(run_id)).run.seq
        session.current = session.next_run()
        order = Order(text, str(session.folder), run_id=session.current)
        try:
            submitted = await self.desk.submit(order, self.wishes)
        except MantaError:
            session.runs, session.current = session.runs - 1, None
            raise
        for note in submitted.notes:
            await self._say(session, message(f"Note: {note}.\n"))
        return session.current, 0

    async def _followed(self, session: Session, run_id: RunId, after: int) -> Stop:
        """Tell what happens, ask what is asked, until nothing goes on."""
        telling = Telling(run_id)
        while True:
            after = await self._told(session, telling, after)
            detail = await self.desk.run(run_id)
            if not detail.questions or detail.run.status != "suspended":
                return await self._ended(session, detail)
            if not await self._answered(session, run_id, detail.questions[0]):
                return "cancelled" if session.cancelled else "end_turn"

    async def _told(self, session: Session, telling: Telling, after: int) -> int:
        """Tell what happens after an event, until nobody drives the run; returns the last one."""
        async with aclosing(self.desk.events(telling.run_id, after=after)) as happened:
            async for event in happened:
                after = event.seq
                if event.step == "plan" and event.status == "done":
                    telling.plan = (await self.desk.plan(telling.run_id)).plan
                    await self._say(session, telling.entries())
                for update in telling.told(event):
                    await self._say(session, update)
        return after

    async def _answered(self, session: Session, run_id: RunId, asked: wire.Asked) -> bool:
        """Have the editor ask its person. False where nothing is decided yet."""
        can_change = asked.gate in {"plan", "delivery"}
        call = ToolCallUpdate(
            tool_call_id=f"{run_id}:{asked.label}:{asked.digest[:12]}",
            title=asked.title,
            kind="other",
            status="pending",
            content=[tool_content(text_block(asked.body[:SHOWN]))],
        )
        options = OPTIONS if can_change else DECLINE
        said = await self._conn.request_permission(session.id, call, options)
        if not isinstance(said.outcome, AllowedOutcome):
            return False
        match said.outcome.option_id:
            case "approve":
                await self._decide(run_id, asked, Answer.APPROVE)
            case "reject":
                await self._decide(run_id, asked, Answer.REJECT)
            case _:
                session.asked = asked
                await self._say(session, message("What should be changed?"))
                return False
        return True

    async def _decide(
        self, run_id: RunId, asked: wire.Asked, answer: Answer, comment: str = ""
    ) -> None:
        by = f"{self.person}, in an editor"[:60]
        said = Verdict(answer, by, comment=comment, label=asked.label, digest=asked.digest)
        recorded = await self.desk.decide(run_id, said)
        if recorded.trouble:
            raise UsageError(recorded.trouble.what, recorded.trouble.fix)

    async def _ended(self, session: Session, detail: wire.RunDetail) -> Stop:
        """Say how it ended, with the branch in the folder's repository."""
        run_id = RunId(detail.run.run_id)
        session.current = None if detail.run.status in {"done", "failed", "cancelled"} else run_id
        if detail.delivery is None:
            await self._say(session, message(_standing(detail)))
            return "cancelled" if detail.run.status == "cancelled" else "end_turn"
        made = await self.desk.hand_over(run_id, make=True, home=session.folder)
        ending = await ending_of(self.desk, made)
        words = "\n".join(line.plain for line in told(ending)) if ending else _standing(detail)
        await self._say(session, message(words))
        return "end_turn"

    async def _say(self, session: Session, update: Any) -> None:
        await self._conn.session_update(session.id, update)

    @property
    def _conn(self) -> Client:
        assert self._client, "connected before anything is asked"
        return self._client


def _standing(detail: wire.RunDetail) -> str:
    if detail.delivery:
        return neutralise(detail.delivery.summary)
    why = f": {detail.error.what}\n{detail.error.fix}" if detail.error else ""
    return f"Run {detail.run.run_id} is {detail.run.status}{why}"


def _words(block: Any) -> str:
    """The text of a part of a prompt; a file that the person points at becomes its name."""
    text = getattr(block, "text", None)
    if isinstance(text, str):
        return text
    if uri := getattr(block, "uri", None):
        return f"See {uri}."
    if resource := getattr(block, "resource", None):
        inside = getattr(resource, "text", "")
        return f"From {resource.uri}:\n{inside}" if inside else f"See {resource.uri}."
    return ""


def _refusal(error: MantaError) -> RequestError:
    return RequestError.internal_error({"what": error.what, "fix": error.fix})
