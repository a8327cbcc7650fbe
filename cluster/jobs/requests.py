"""Many requests in one file: a YAML list, checked as a whole before one of them is sent."""

from collections import Counter
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import yaml
from pydantic import Field, ValidationError, field_validator

from actors.git.source import is_url
from cluster.desk.wire import Form
from cluster.runs.budgets import parse_budget
from orchestration.approval import Gate
from orchestration.errors import UsageError
from orchestration.ids import RunId, new_run_id, parse_run_id
from orchestration.messages import Budget

MAX_BYTES = 5_000_000
_WANTED = "it must be a list of requests, each with `request:` (see docs/jobs.md)"


class Entry(Form):
    """One request. Unknown keys are refused."""

    request: str = Field(min_length=1)
    repo: str | None = None
    """Path or URL; a path is seen from where the file lies."""
    ref: str | None = None
    run_id: str | None = None
    """Made of what is asked if left out, so that the same file gives the same runs."""
    approve: tuple[Gate, ...] | None = None
    budget: str | None = None

    @field_validator("approve", mode="before")
    @classmethod
    def _words(cls, value: object) -> object:
        if isinstance(value, str):
            return [word.strip() for word in value.split(",") if word.strip()]
        return value

    @field_validator("budget")
    @classmethod
    def _is_budget(cls, value: str | None) -> str | None:
        if value is not None:
            parse_budget(value)
        return value

    @field_validator("run_id")
    @classmethod
    def _is_run_id(cls, value: str | None) -> str | None:
        return None if value is None else parse_run_id(value)

    @property
    def limits(self) -> Budget | None:
        return parse_budget(self.budget) if self.budget else None


@dataclass(frozen=True, slots=True)
class Asked:
    """An entry with all that was left out."""

    run_id: RunId
    text: str
    repository: str
    ref: str
    entry: Entry


def read_requests(path: Path, *, repository: str, ref: str) -> list[Asked]:
    """The file's requests in its order. `repository` and `ref` are for those that name none.

    Raises:
        UsageError: it cannot be read, or something in it is wrong; says the entry and its line.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "check --file") from error
    if len(data) > MAX_BYTES:
        raise UsageError(f"{path} has more than {MAX_BYTES // 1_000_000} MB", "split it")
    node, values = _parsed(path, data)
    pairs = zip(node, values, strict=True)
    found = [_entry(path, number, *pair) for number, pair in enumerate(pairs, 1)]
    asked = [_completed(path, entry, repository, ref) for entry in found]
    _refuse_twins(path, asked, [_line(each) for each in node])
    return asked


def _parsed(path: Path, data: bytes) -> tuple[list[yaml.Node], list[Any]]:
    """The list's nodes, which know their lines, and their values."""
    try:
        text = data.decode("utf-8")
        root = yaml.compose(text, yaml.SafeLoader)
        values = yaml.safe_load(text)
    except UnicodeDecodeError as error:
        raise UsageError(
            f"{path} is not UTF-8 at byte {error.start}", "save it as UTF-8"
        ) from error
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f", line {mark.line + 1}" if mark else ""
        why = getattr(error, "problem", None) or "it is not YAML"
        raise UsageError(f"{path}{where}: {why}", "correct it there") from error
    if not isinstance(root, yaml.SequenceNode) or not values:
        raise UsageError(f"{path} has no requests", _WANTED)
    return root.value, values


def _line(node: yaml.Node) -> int:
    return node.start_mark.line + 1


def _entry(path: Path, number: int, node: yaml.Node, value: object) -> Entry:
    where = f"{path}, entry {number} (line {_line(node)})"
    if isinstance(node, yaml.MappingNode):
        keys = Counter(key.value for key, _ in node.value)
        if twice := [key for key, times in keys.items() if times > 1]:
            raise UsageError(f"{where}: {twice[0]} is said twice", "leave one of them")
    if not isinstance(value, dict):
        raise UsageError(f"{where} is no request", _WANTED)
    try:
        return Entry.model_validate(value)
    except ValidationError as error:
        raise UsageError(f"{where}: {_complaint(error)}", f"known are: {_known()}") from None


def _complaint(error: ValidationError) -> str:
    first = error.errors(include_url=False, include_input=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    if first["type"] == "extra_forbidden":
        return f"unknown key {name}"
    return f"{name}: {first['msg']}"


def _known() -> str:
    return ", ".join(Entry.model_fields)


def _completed(path: Path, entry: Entry, repository: str, ref: str) -> Asked:
    place = repository
    if entry.repo is not None:
        beside = path.absolute().parent / Path(entry.repo).expanduser()
        place = entry.repo if is_url(entry.repo) else str(beside)
    at = entry.ref or ref
    run_id = RunId(entry.run_id) if entry.run_id else _same_every_time(entry, place, at)
    return Asked(run_id, entry.request, place, at, entry)


def _same_every_time(entry: Entry, place: str, ref: str) -> RunId:
    """An id for people, made of what is asked."""
    asked = "\n".join((entry.model_dump_json(), place, ref))
    words = new_run_id(entry.request).rpartition("-")[0]
    return RunId(f"{words}-{sha256(asked.encode()).hexdigest()[:8]}")


def _refuse_twins(path: Path, asked: list[Asked], lines: list[int]) -> None:
    first: dict[RunId, int] = {}
    for number, (each, line) in enumerate(zip(asked, lines, strict=True), 1):
        if (twin := first.setdefault(each.run_id, number)) != number:
            raise UsageError(
                f"{path}, entry {number} (line {line}): entry {twin} is run {each.run_id} already",
                "give each its own `run_id`, or leave one of them out",
            )
