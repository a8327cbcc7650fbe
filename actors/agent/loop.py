"""The agent loop. What it may not do stands in `limits`, what it remembers in `transcript`."""

import json
import logging
from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

from actors.agent.agent import FINISH, INVALID_ANSWER, A, Agent, finish_definition
from actors.agent.limits import Action, AgentFailedError, Guard, Ruling, standard_guards
from actors.agent.transcript import Transcript
from actors.agent.wire import system_entry, task_entry, tool_form
from actors.context.window import Window
from actors.models.gateway import ModelGateway, ModelRequest, ToolCall
from actors.tools.archive import KeptResult
from actors.tools.schema import parse_object, validate
from actors.tools.text import neutralise, one_line
from actors.tools.tool import ToolResult
from orchestration.clock import Clock
from orchestration.errors import BudgetExceededError, MantaError
from orchestration.ids import StepGrant
from orchestration.workflow.journal import Journal
from orchestration.workflow.step import Suspend

_ANSWER_SHARE = 0.2
"""Share of the context window left to the reply, and to tokenizers that count more than ours."""
_LAST_WORDS = 500
_log = logging.getLogger(__name__)
Note = Callable[[str], Awaitable[None]]


async def _silence(_text: str) -> None:
    """Nobody listens."""


async def run_agent(
    agent: Agent[A],
    task: str,
    *,
    gateway: ModelGateway,
    journal: Journal,
    grant: StepGrant,
    conversation: str,
    clock: Clock,
    note: Note = _silence,
) -> A:
    """Let the agent work on the task until it hands in a valid answer.

    Continues a conversation that an earlier attempt of the step began.

    Args:
        agent: who works.
        task: what is to be done: the first message, never evicted. The same in every attempt.
        gateway: answers the turns, and knows the size of the model's context.
        journal: keeps them.
        grant: leave to append to the step.
        conversation: the conversation's stable name within its run.
        clock: for the time limit.
        note: told what people may want to know.

    Raises:
        BudgetExceededError: turns, tokens, money or time are used up, its own or the run's.
        Suspend: a person has to allow a call; the answers before it are kept.
        AgentFailedError: the agent is stuck, or talks without ever acting.
        ContextOverflowError: what must be shown does not fit the context.
        SandboxLostError: the ground gave way; no model is told.
    """
    tools = [*await agent.toolset.definitions(), finish_definition(agent.answer)]
    forms = tuple(tool_form(definition) for definition in tools)
    window = _window(agent, forms, await gateway.context_tokens(agent.role, agent.difficulty))
    guards, started = standard_guards(agent.limits, window.uncounted), clock.now()
    transcript = await Transcript.load(
        journal,
        grant,
        who=agent.name,
        window=window,
        opening=[system_entry(agent.instructions), task_entry(task)],
        part=agent.part,
    )
    transcript.make_room()
    async with _acknowledging(gateway, transcript):
        while transcript.finished is None:
            if transcript.waiting is None:
                _stop_if_told(guards, transcript, clock.now() - started)
                reply = await gateway.complete(_question(agent, transcript, conversation, forms))
                await transcript.append_reply(reply)
                await _pass_on(reply.notice, note)
            results = await _answer_calls(agent, transcript)
            transcript.see(results)
            rulings = _judge(guards, transcript, clock.now() - started)
            notices = tuple(ruling.text for ruling in rulings if ruling.action is Action.INJECT)
            compact = any(ruling.action is Action.COMPACT for ruling in rulings)
            await transcript.append_results(results, notices, compact=compact)
            for text in notices:
                await note(f"{agent.name} was told: {text}")
    return validate(agent.answer, parse_object(transcript.finished))


async def _pass_on(notice: str, note: Note) -> None:
    if notice:
        await note(notice)


def _question(
    agent: Agent[A], transcript: Transcript, conversation: str, forms: tuple[dict[str, Any], ...]
) -> ModelRequest:
    """The next turn's."""
    turn = transcript.turn + 1
    return ModelRequest(
        key=transcript.key_of(turn),
        role=agent.role,
        conversation=conversation,
        turn=turn,
        messages=transcript.window.messages(transcript.tail),
        tools=forms,
        difficulty=agent.difficulty,
        answer=FINISH,
        is_answer_due=transcript.is_answer_due,
    )


@asynccontextmanager
async def _acknowledging(
    gateway: ModelGateway, transcript: Transcript
) -> AsyncGenerator[None, None]:
    """The last reply is acknowledged when the conversation rests; each other one by the next
    question, so that a turn asks the gateway's process once."""
    try:
        yield
    except (Suspend, AgentFailedError, BudgetExceededError):
        await gateway.acknowledge(transcript.key)
        raise
    await gateway.acknowledge(transcript.key)


def _window(agent: Agent[A], forms: Sequence[dict[str, Any]], context_window: int) -> Window:
    """The answer's schema counts twice: a reply that has to fit it is asked for by it."""
    told = json.dumps([*forms, forms[-1]], ensure_ascii=False)
    return Window(agent.processors, limit=int(context_window * (1 - _ANSWER_SHARE)), told=told)


def _judge(guards: Sequence[Guard], transcript: Transcript, seconds: float) -> list[Ruling]:
    progress = transcript.progress(seconds)
    return [guard.judge(progress) for guard in guards]


def _stop_if_told(guards: Sequence[Guard], transcript: Transcript, seconds: float) -> None:
    for ruling in _judge(guards, transcript, seconds):
        if ruling.action is Action.STOP:
            words = one_line(neutralise(transcript.last_words), _LAST_WORDS)
            said = f"; its last words: {words}" if words else ""
            raise ruling.error(f"{ruling.text}{said}", ruling.fix, words)


async def _answer_calls(agent: Agent[A], transcript: Transcript) -> list[KeptResult]:
    """Make the calls that wait, in order. Their answers are kept even if a person is asked."""
    results: list[KeptResult] = []
    try:
        for position, call in enumerate(transcript.waiting or ()):
            result = await _answer(agent, call, results)
            shown = replace(result, text=neutralise(result.text))
            results.append(await transcript.keep(position, call.name, shown))
            if call.name == FINISH and result.ok:
                break
    except Suspend:
        transcript.see(results)
        await transcript.append_results(results)
        raise
    return results


async def _answer(agent: Agent[A], call: ToolCall, before: Sequence[KeptResult]) -> ToolResult:
    """One tool's answer. Whatever goes wrong inside a tool is an answer too."""
    try:
        arguments = parse_object(call.arguments)
    except ValueError as error:
        return ToolResult(f"The arguments of `{call.name[:80]}` are {error}.", ok=False)
    if call.name == FINISH:
        return _hand_in(agent, arguments, before)
    try:
        return await agent.toolset.call(call.name, arguments)
    except MantaError:
        raise
    except Exception as error:  # noqa: BLE001 - a door: a tool's bug is an answer too
        _log.exception("tool %s broke", call.name)
        return ToolResult(f"`{call.name}` broke: {type(error).__name__}: {error}", ok=False)


def _hand_in(
    agent: Agent[A], arguments: dict[str, object], before: Sequence[KeptResult]
) -> ToolResult:
    if failed := [result.call for result in before if not result.ok]:
        return ToolResult(
            f"Not accepted: call {failed[0]} just failed. See to it before you finish.", ok=False
        )
    try:
        validate(agent.answer, arguments)
    except ValueError as error:
        return ToolResult(f"{INVALID_ANSWER}\n{error}", ok=False)
    return ToolResult("Accepted.")
