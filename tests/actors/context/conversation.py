"""Conversations as Hypothesis likes them: any mixture of calls, answers, lengths and notices."""

import json
from dataclasses import dataclass
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

from actors.context.entry import CallFacts, Entry, Kind
from actors.context.processor import Room

few = settings(max_examples=30, deadline=None)
"""Enough to find what is wrong, whatever else the machine is doing."""
PATHS = ["a.py", "b.py"]


def system(text: str = "You code.") -> Entry:
    return Entry({"role": "system", "content": text}, Kind.SYSTEM)


def task(text: str = "Greet people.") -> Entry:
    return Entry({"role": "user", "content": text}, Kind.TASK)


@dataclass(frozen=True)
class Call:
    """One tool call and how it was answered."""

    name: str = "run"
    target: str = "make"
    ok: bool = True
    size: int = 40
    said: int = 10
    """Length of a long argument."""


def turn(number: int, *calls: Call, words: str = "Next.") -> list[Entry]:
    """A reply and the answers to its calls, as the wire has them."""
    ids = [f"id-{number}-{i}" for i in range(len(calls))]
    message: dict[str, Any] = {"role": "assistant", "content": words}
    if calls:
        message["tool_calls"] = [
            {
                "id": wire_id,
                "type": "function",
                "function": {"name": call.name, "arguments": _arguments(call)},
            }
            for wire_id, call in zip(ids, calls, strict=True)
        ]
    results = [
        _result(number, position, wire_id, call)
        for position, (wire_id, call) in enumerate(zip(ids, calls, strict=True), 1)
    ]
    return [Entry(message, Kind.REPLY, number), *results]


def _arguments(call: Call) -> str:
    return json.dumps({"target": call.target, "text": "t" * call.said})


def _result(number: int, position: int, wire_id: str, call: Call) -> Entry:
    text = (f"{call.name} {call.target} " * (call.size // 8 + 1))[: call.size]
    touched = (call.target,) if call.ok and call.target in PATHS else ()
    facts = CallFacts(
        call=f"{number}.{position}",
        name=call.name,
        brief=call.target,
        same=f"{call.name} {call.target} {call.said}",
        ok=call.ok,
        exit_code=int(not call.ok) if call.name == "run" else None,
        seconds=0.1,
        size=call.size,
        digest=f"{call.size}",
        reads=touched if call.name == "read" else (),
        writes=touched if call.name == "edit" else (),
    )
    content = f"[{facts.ending}]\n{text}"
    return Entry(
        {"role": "tool", "tool_call_id": wire_id, "content": content}, Kind.RESULT, number, facts
    )


def notice(number: int, text: str = "Go on.") -> Entry:
    return Entry({"role": "user", "content": text}, Kind.NOTICE, number)


calls = st.builds(
    Call,
    name=st.sampled_from(["run", "read", "edit"]),
    target=st.sampled_from([*PATHS, "make", "pytest"]),
    ok=st.booleans(),
    size=st.sampled_from([5, 300, 900, 4000]),
    said=st.sampled_from([0, 100, 3000]),
)


@st.composite
def conversations(draw: st.DrawFn, longest: int = 14) -> list[Entry]:
    """Instructions, a task, and some turns."""
    entries = [system(), task("Greet. " * draw(st.sampled_from([1, 200])))]
    for number in range(1, draw(st.integers(1, longest)) + 1):
        entries += turn(number, *draw(st.lists(calls, max_size=3)))
        if draw(st.integers(0, 4)) == 0:
            entries.append(notice(number))
    return entries


@st.composite
def rooms(draw: st.DrawFn) -> Room:
    """Little room and much of it."""
    limit = draw(st.sampled_from([300, 1_000, 3_000, 100_000]))
    return Room(limit, int(limit * 0.6), draw(st.integers(-3, 14)))


def pairs_are_whole(entries: list[Entry]) -> bool:
    """Every reply is followed at once by an answer to each of its calls, and by no other."""
    expected: list[str] = []
    for entry in entries:
        if entry.kind is Kind.RESULT:
            if not expected or entry.message["tool_call_id"] != expected.pop(0):
                return False
        elif expected:
            return False
        else:
            expected = [call["id"] for call in entry.message.get("tool_calls", ())]
    return not expected
