"""A submitted request as its job shows it: its place in line, its beginning, its log."""

import asyncio
import re
from collections.abc import Callable, Sequence
from contextlib import suppress

import click
from ray.job_submission import JobStatus

from actors.tools.text import neutralise
from cluster.jobs.office import Handed, Job, Office, line, trouble_of
from cluster.terminal.options import say, tell
from orchestration.errors import InfrastructureError, NotFoundError
from orchestration.ids import RunId
from orchestration.workflow.journal import Journal

POLL_S = 0.5
_RAYS_OWN = re.compile(
    r"^(Running entrypoint for job .*|.*-- Runtime env is setting up\.)$\n?", re.M
)


def ordinal(number: int) -> str:
    """1st, 2nd, 3rd, 4th, ... 11th."""
    endings = {1: "st", 2: "nd", 3: "rd"}
    tenth = number % 100 // 10 == 1
    return f"{number}{'th' if tenth else endings.get(number % 10, 'th')}"


def place_in_line(jobs: Sequence[Job], job: str, places: int) -> int:
    """1 for whoever is next; 0 for one that is worked on, or is just being seated."""
    waiting = [each.id for each in line(jobs)]
    if job not in waiting or not places:
        return 0
    free = places - sum(each.status is JobStatus.RUNNING for each in jobs)
    return max(0, waiting.index(job) + 1 - max(0, free))


async def take_turn(office: Office, handed: Handed, *, as_json: bool) -> None:
    """Wait until it is worked on, and tell its place in line whenever that changes."""
    told = 0
    while True:
        jobs = await office.jobs()
        if handed.job not in {job.id for job in line(jobs)}:
            return
        place = place_in_line(jobs, handed.job, office.places)
        if place and place != told:
            told = place
            tell_place(handed.run_id, place, as_json=as_json)
        await asyncio.sleep(POLL_S)


def tell_place(run_id: RunId, place: int, *, as_json: bool) -> None:
    """Say where in line a request is."""
    human = f"{run_id} waits: {ordinal(place)} in line"
    tell(as_json, "queued", human, run_id=run_id, place=place)


async def begun(office: Office, handed: Handed, journal: Journal) -> None:
    """Return once the store knows the run.

    Raises:
        MantaError: its job ended before.
    """
    while True:
        with suppress(NotFoundError):
            await journal.info(handed.run_id)
            return
        job = await office.job(handed.job)
        if job.ended:
            raise await _why(office, job)
        await asyncio.sleep(POLL_S)


async def _why(office: Office, job: Job) -> InfrastructureError:
    words = await office.words(job.id)
    if trouble := trouble_of(job, words):
        return trouble
    what = f"the job of {job.run_id} ended before its run began"
    if job.status is JobStatus.STOPPED:
        return InfrastructureError(f"{what}: it was stopped", "submit it again")
    last = _RAYS_OWN.sub("", neutralise(words)).strip().splitlines()[-2:]
    return InfrastructureError(
        f"{what}: {' '.join(last) or 'it left no words'}", "see `manta queue`"
    )


async def follow_log(office: Office, handed: Handed, *, as_json: bool) -> int:
    """Show what a job says until it ends; returns its exit code, which is its run's.

    Raises:
        InfrastructureError: it brought no answer.
    """
    show: Callable[[str], None] = (
        (lambda text: tell(True, "log", "", run_id=handed.run_id, text=text))
        if as_json
        else (lambda text: click.echo(text, nl=False))
    )
    async for piece in office.log(handed.job):
        if text := _RAYS_OWN.sub("", neutralise(piece)):
            show(text)
    job = await office.job(handed.job)
    if trouble := trouble_of(job, await office.words(handed.job)):
        raise trouble
    if job.status is JobStatus.STOPPED:
        say(f"manta: the job of {handed.run_id} was stopped")
        return 1
    code = 0 if job.status is JobStatus.SUCCEEDED else job.exit_code or 1
    if as_json:
        tell(True, "ended", "", run_id=handed.run_id, exit_code=code)
    return code
