"""The plan as a form: what a person did not touch stays exactly as it was."""

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import ValidationError

from actors.tools.text import neutralise
from orchestration.errors import UsageError
from orchestration.messages import CodeTask, Plan

LISTS = ("acceptance", "files", "after")
"""Fields of a task that are one entry a line."""
TEXTS = ("title", "description", "difficulty")


@dataclass(frozen=True, slots=True)
class TaskFields:
    """A task as its form shows it. Names of inputs are `task-NUMBER-FIELD`."""

    number: int
    task: CodeTask | None
    """None for one that a person adds."""
    title: str = ""
    description: str = ""
    acceptance: str = ""
    files: str = ""
    after: str = ""
    difficulty: str = "normal"
    is_left_out: bool = False

    @property
    def is_touched(self) -> bool:
        """Whether a person wrote here."""
        untouched = _shown(self.number, self.task) if self.task else TaskFields(self.number, None)
        return self != untouched


def plan_fields(plan: Plan, given: Mapping[str, str] | None = None) -> tuple[TaskFields, ...]:
    """The form of a plan and of one task more, with what was given before, if it was."""
    tasks: list[CodeTask | None] = [*plan.tasks, None]
    return tuple(
        _given(number, task, given) if given else _untouched(number, task)
        for number, task in enumerate(tasks)
    )


def edited_plan(plan: Plan, given: Mapping[str, str]) -> Plan | None:
    """What a person made of the plan; None where it is as it was.

    Raises:
        UsageError: it does not hold together; says where, in words of the form.
    """
    fields = plan_fields(plan, given)
    summary = _text(given.get("summary", ""))
    is_same_summary = not summary or summary == _text(neutralise(plan.summary))
    if is_same_summary and not any(one.is_touched for one in fields):
        return None
    out = {one.task.id for one in fields if one.task and one.is_left_out}
    taken = {task.id for task in plan.tasks}
    tasks = [_made(one, out, taken) for one in fields if _counts(one)]
    if plan.tasks and not tasks:
        raise UsageError("no task is left in the plan", "leave one in, or reject the plan")
    whole = plan.model_dump(mode="json") | {"tasks": tasks}
    if not is_same_summary:
        whole["summary"] = summary
    try:
        return Plan.model_validate(whole)
    except ValidationError as error:
        raise UsageError(
            f"the edited plan does not hold together: {_why(error, tasks)}",
            "correct it below and approve again; nothing was decided",
        ) from None


def _counts(one: TaskFields) -> bool:
    return not one.is_left_out if one.task else bool(one.title or one.description)


def _made(one: TaskFields, out: Collection[str], taken: Collection[str]) -> dict[str, Any]:
    """A task as JSON, with what was written in place of what was there."""
    made: dict[str, Any] = {}
    before = TaskFields(one.number, None)
    if one.task:
        made, before = one.task.model_dump(mode="json"), _shown(one.number, one.task)
    else:
        made["id"] = _new_id(one.title, taken)
    for name in (*TEXTS, *LISTS):
        text = getattr(one, name)
        if text != getattr(before, name) or name not in made:
            made[name] = _lines(text) if name in LISTS else text
    made["after"] = [task for task in made["after"] if task not in out]
    return made


def _new_id(title: str, taken: Collection[str]) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", title.lower()).strip("-")[:32].strip("-") or "task"
    numbered = (f"{name}-{n}" if n > 1 else name for n in range(1, len(taken) + 2))
    return next(each for each in numbered if each not in taken)


def _untouched(number: int, task: CodeTask | None) -> TaskFields:
    return _shown(number, task) if task else TaskFields(number, None)


def _shown(number: int, task: CodeTask) -> TaskFields:
    return TaskFields(
        number,
        task,
        title=_text(neutralise(task.title)),
        description=_text(neutralise(task.description)),
        acceptance=_column(task.acceptance),
        files=_column(task.files),
        after=_column(task.after),
        difficulty=task.difficulty,
    )


def _given(number: int, task: CodeTask | None, given: Mapping[str, str]) -> TaskFields:
    """As it was sent. A field that was not is taken to be untouched."""
    plain = _untouched(number, task)
    sent = {
        name: _text(given.get(f"task-{number}-{name}", getattr(plain, name)))
        for name in (*TEXTS, *LISTS)
    }
    return TaskFields(number, task, **sent, is_left_out=bool(given.get(f"task-{number}-out")))


def _text(text: str) -> str:
    """As a form sends it back: lines end alike, and nothing hangs at the ends."""
    return "\n".join(line.rstrip() for line in text.replace("\r\n", "\n").split("\n")).strip()


def _column(entries: tuple[str, ...]) -> str:
    """An entry a line."""
    return _text("\n".join(" ".join(neutralise(entry).split()) for entry in entries))


def _lines(text: str) -> list[str]:
    return [line.strip() for line in text.split("\n") if line.strip()]


def _why(error: ValidationError, tasks: list[dict[str, Any]]) -> str:
    """The first complaints, by the names that the form has for things."""
    told: list[str] = []
    for one in error.errors(include_url=False, include_input=False)[:4]:
        where = [str(part) for part in one["loc"]]
        if where[:1] == ["tasks"] and len(where) > 1:
            where[:2] = [f"task {tasks[int(where[1])]['id']}"]
        said = one["msg"].removeprefix("Value error, ")
        told.append(f"{', '.join(where)}: {said}" if where else said)
    return "; ".join(told)
