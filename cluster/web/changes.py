"""The diff side by side, file by file, with comments on lines and what reviewers found there."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from cluster.desk.diffs import FileDiff, Row
from cluster.desk.known import knowledge, questions
from cluster.web.drafts import Draft
from cluster.web.entering import browser_of, require_own_form
from cluster.web.forms import CommentForm, DiffPlace
from cluster.web.hall import AHall, AJournal, ARun
from cluster.web.pages import draw
from cluster.web.proofs import Mark, Remark, marks, remarks, tasks_of
from orchestration.messages import Work

ROWS = 300
"""Shown at once."""
FILES = 100
"""Named at once."""
LONG = 2_000
"""Characters of a line from which on the rest is left out."""
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class Notes:
    """What is said about one row."""

    remarks: tuple[Remark, ...] = ()
    drafts: tuple[tuple[int, Draft], ...] = ()
    """With their places among all drafts."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a file, as they are shown."""

    number: int
    file: FileDiff
    start: int
    rows: tuple[tuple[Row, Notes], ...]
    loose: tuple[tuple[int, Remark], ...]
    """Remarks on lines that are not part of the diff, and on the whole file (line 0)."""
    proofs: tuple[tuple[Work, tuple[Mark, ...]], ...]
    """The tasks that changed it."""

    @property
    def next(self) -> int | None:
        """Where the next rows start."""
        end = self.start + len(self.rows)
        return end if end < len(self.file.rows) else None

    @property
    def before(self) -> int:
        return max(0, self.start - ROWS)

    @property
    def last(self) -> int:
        """Where the last rows start."""
        return max(0, len(self.file.rows) - 1) // ROWS * ROWS


@dataclass(frozen=True, slots=True)
class Said:
    """All that is said about a change."""

    works: tuple[Work, ...]
    remarks: dict[str, dict[int, list[Remark]]]
    drafts: tuple[Draft, ...]


@router.get("/runs/{run_id}/diff")
async def diff(
    request: Request,
    hall: AHall,
    journal: AJournal,
    run_id: ARun,
    place: Annotated[DiffPlace, Query()],
) -> Response:
    """The change: all files of a small one, one file at a time of a large one."""
    info = await journal.info(run_id)
    files = await hall.changes.of(hall.settings, journal, run_id)
    works = (await knowledge(journal, run_id)).works
    drafts = await hall.drafts.of(browser_of(request), run_id)
    said = Said(works, remarks(works), drafts)
    file, start = place.file, place.start
    if place.path:
        file, start = _found(files, place.path, place.line)
    asked = [one for one in await questions(journal, run_id) if one.request.gate == "delivery"]
    first = (file or 0) // FILES * FILES
    parts = [_part(n, files[n], s, said) for n, s in _chosen(files, file, start)]
    return draw(
        request,
        "diff.html",
        info=info,
        files=list(enumerate(files))[first : first + FILES],
        first=first,
        total=len(files),
        added=sum(one.added for one in files),
        removed=sum(one.removed for one in files),
        parts=parts,
        shown={part.number for part in parts},
        on=place.on,
        at=place.line,
        file=file,
        question=asked[0] if asked else None,
        drafts=list(enumerate(drafts)),
        person=hall.person,
        long=LONG,
    )


def _found(files: Sequence[FileDiff], path: str, line: int) -> tuple[int | None, int]:
    """Which file, and from which row on."""
    for number, file in enumerate(files):
        if file.path == path:
            rows = (n for n, row in enumerate(file.rows) if row.new == line)
            return number, next(rows, 0) // ROWS * ROWS
    return None, 0


def _chosen(files: list[FileDiff], file: int | None, start: int) -> Iterator[tuple[int, int]]:
    """Files to show, and from which row on."""
    if file is not None:
        if file < len(files):
            yield file, start
        return
    room = ROWS
    for number, one in enumerate(files[:FILES]):
        if number and len(one.rows) > room:
            return
        yield number, 0
        room -= len(one.rows)


def _part(number: int, file: FileDiff, start: int, said: Said) -> Part:
    start = min(start, max(0, len(file.rows) - 1))
    here = said.remarks.get(file.path, {})
    mine = [(n, draft) for n, draft in enumerate(said.drafts) if draft.path == file.path]
    rows = tuple(
        (row, Notes(tuple(here.get(row.new, ())) if row.new else (), tuple(_of_row(mine, row))))
        for row in file.rows[start : start + ROWS]
    )
    there = {row.new for row in file.rows if row.new} if here else set[int]()
    loose = [(n, remark) for n, told in sorted(here.items()) if n not in there for remark in told]
    proofs = tuple((work, marks(work)) for work in tasks_of(said.works, file.path))
    return Part(number, file, start, rows, tuple(loose), proofs)


def _of_row(drafts: list[tuple[int, Draft]], row: Row) -> Iterator[tuple[int, Draft]]:
    for number, draft in drafts:
        line = row.old if draft.side == "old" else row.new
        if line and line == draft.line:
            yield number, draft


@router.post("/runs/{run_id}/comments")
async def comment(
    request: Request,
    hall: AHall,
    journal: AJournal,
    run_id: ARun,
    said: Annotated[CommentForm, Form()],
) -> Response:
    """Keep a comment on a line; it is sent when changes are requested."""
    await require_own_form(request)
    await journal.info(run_id)
    side, _, line = said.on.partition("-")
    draft = Draft(said.path, int(line), side, " ".join(said.text.split()))
    await hall.drafts.add(browser_of(request), run_id, draft)
    there = f"file={said.file}&start={said.start}#{side}{said.file}-{line}"
    return RedirectResponse(f"/runs/{run_id}/diff?{there}", 303)


@router.post("/runs/{run_id}/comments/{number}/delete")
async def take_back(request: Request, hall: AHall, run_id: ARun, number: int) -> Response:
    """Forget a comment that was not sent."""
    await require_own_form(request)
    await hall.drafts.drop(browser_of(request), run_id, number)
    return RedirectResponse(f"/runs/{run_id}/diff#send", 303)
