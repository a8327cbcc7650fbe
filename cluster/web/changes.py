"""The diff side by side, file by file, with comments on lines and what reviewers found there."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import HTMLResponse, RedirectResponse, Response

from cluster.desk.changing import change
from cluster.desk.diffs import FileDiff, Row, read_diff
from cluster.desk.known import knowledge, questions
from cluster.web.entering import require_own_form, session_of
from cluster.web.forms import CommentForm
from cluster.web.hall import AHall, AJournal, ARun, Draft
from cluster.web.pages import draw
from orchestration.messages import Work

ROWS = 150
"""Shown at once."""
FILES = 100
"""Named at once."""
LONG = 2_000
"""Characters of a line from which on the rest is left out."""
router = APIRouter(include_in_schema=False, default_response_class=HTMLResponse)


@dataclass(frozen=True, slots=True)
class Notes:
    """What is said about one row."""

    remarks: tuple[str, ...] = ()
    drafts: tuple[tuple[int, Draft], ...] = ()
    """With their places among all drafts."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some rows of a file, as they are shown."""

    number: int
    file: FileDiff
    start: int
    rows: tuple[tuple[Row, Notes], ...]
    loose: tuple[str, ...] = field(default=())
    """Remarks on lines that are not part of the diff, and on the whole file."""

    @property
    def next(self) -> int | None:
        """Where the next rows start."""
        end = self.start + len(self.rows)
        return end if end < len(self.file.rows) else None


@router.get("/runs/{run_id}/diff")
async def diff(
    request: Request,
    hall: AHall,
    journal: AJournal,
    run_id: ARun,
    file: Annotated[int | None, Query(ge=0, le=10**6)] = None,
    start: Annotated[int, Query(ge=0, le=10**8)] = 0,
    on: Annotated[str, Query(pattern=r"^((old|new)-[0-9]{1,9})?$")] = "",
) -> Response:
    """The change: all files of a small one, one file at a time of a large one.

    `on` opens a form for a comment on a line of the file.
    """
    info = await journal.info(run_id)
    files = read_diff(await change(hall.settings, journal, run_id))
    remarks = _remarks((await knowledge(journal, run_id)).works)
    drafts = hall.drafts.get((session_of(request), run_id), ())
    asked = [one for one in await questions(journal, run_id) if one.request.gate == "delivery"]
    first = (file or 0) // FILES * FILES
    return draw(
        request,
        "diff.html",
        info=info,
        files=list(enumerate(files))[first : first + FILES],
        first=first,
        total=len(files),
        added=sum(one.added for one in files),
        removed=sum(one.removed for one in files),
        parts=[_part(n, files[n], s, remarks, drafts) for n, s in _chosen(files, file, start)],
        on=on,
        file=file,
        question=asked[0] if asked else None,
        drafts=list(enumerate(drafts)),
        person=hall.person,
        long=LONG,
    )


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


def _part(
    number: int,
    file: FileDiff,
    start: int,
    remarks: dict[str, dict[int, list[str]]],
    drafts: tuple[Draft, ...],
) -> Part:
    said = remarks.get(file.path, {})
    mine = [(n, draft) for n, draft in enumerate(drafts) if draft.path == file.path]
    rows = tuple(
        (row, Notes(tuple(said.get(row.new, ())) if row.new else (), tuple(_here(mine, row))))
        for row in file.rows[start : start + ROWS]
    )
    there = {row.new for row in file.rows if row.new}
    loose = [text for line, texts in said.items() if line not in there for text in texts]
    return Part(number, file, start, rows, tuple(loose))


def _here(drafts: list[tuple[int, Draft]], row: Row) -> Iterator[tuple[int, Draft]]:
    for number, draft in drafts:
        line = row.old if draft.side == "old" else row.new
        if line and line == draft.line:
            yield number, draft


def _remarks(works: tuple[Work, ...]) -> dict[str, dict[int, list[str]]]:
    """What reviewers, scanners and surviving mutants say: path -> line -> sentences."""
    found: dict[str, dict[int, list[str]]] = {}
    for work in works:
        for review in filter(None, (work.review, work.audit)):
            for one in review.findings:
                found.setdefault(one.file, {}).setdefault(one.line, []).append(one.sentence())
        for mutant in work.strength.survivors if work.strength else ():
            found.setdefault(mutant.path, {}).setdefault(mutant.line, []).append(mutant.sentence())
    return found


@router.post("/runs/{run_id}/comments")
async def comment(
    request: Request,
    hall: AHall,
    journal: AJournal,
    run_id: ARun,
    said: Annotated[CommentForm, Form()],
) -> Response:
    """Keep a comment on a line; it is sent when changes are requested."""
    require_own_form(request, said.csrf)
    await journal.info(run_id)
    side, _, line = said.on.partition("-")
    session = session_of(request)
    kept = hall.drafts.get((session, run_id), ())
    draft = Draft(said.path, int(line), side, " ".join(said.text.split()))
    hall.keep_drafts(session, run_id, (*kept, draft))
    there = f"file={said.file}&start={said.start}#p{said.file}-{line}"
    return RedirectResponse(f"/runs/{run_id}/diff?{there}", 303)


@router.post("/runs/{run_id}/comments/{number}/delete")
async def take_back(
    request: Request,
    hall: AHall,
    run_id: ARun,
    number: int,
    csrf: Annotated[str, Form()] = "",
) -> Response:
    """Forget a comment that was not sent."""
    require_own_form(request, csrf)
    session = session_of(request)
    kept = hall.drafts.get((session, run_id), ())
    left = tuple(draft for n, draft in enumerate(kept) if n != number)
    hall.keep_drafts(session, run_id, left)
    return RedirectResponse(f"/runs/{run_id}/diff#send", 303)
