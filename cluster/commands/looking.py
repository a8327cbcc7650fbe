"""Doors that read: runs, show, fetch. From here, or from another machine by --hall."""

import asyncio
from pathlib import Path
from typing import Any

import click

from actors.git.publishing import PullRequest
from cluster.desk.delivering import as_stored
from cluster.desk.delivering import fetch_branch as fetch_from
from cluster.desk.opening import open_desk
from cluster.desk.protocol import Desk
from cluster.handover.handing import Parcel, keep_patch, publish_parcel
from cluster.jobs.queued import in_line
from cluster.settings import Settings
from cluster.terminal import shown
from cluster.terminal.options import RUN_ID, afar, common, door, pr_server, settings_from, tell
from orchestration.errors import UsageError
from orchestration.ids import RunId, parse_run_id

STDOUT = Path("-")
RUNS = 100


@click.command()
@afar
@common
@door
async def runs(**options: Any) -> int:
    """List the runs, newest first; before them, submitted requests that wait in line."""
    settings = settings_from(options)
    for job, place in await in_line(settings):
        human = f"{job.run_id:<44} {'in line':<10} {f'place {place}':<16}  {job.title}"
        tell(options["as_json"], "queued", human, run_id=job.run_id, title=job.title, place=place)
    async with open_desk(settings) as desk:
        for run in (await desk.runs(limit=RUNS)).runs:
            tell(options["as_json"], "run", shown.run_line(run), **shown.run_facts(run))
    return 0


@click.command()
@RUN_ID
@click.option("--plan", "part", flag_value="plan", help="The plan.")
@click.option("--diff", "part", flag_value="diff", help="The change so far.")
@click.option("--evidence", "part", flag_value="evidence", help="The evidence bundle, JSON.")
@click.option("--sarif", "part", flag_value="sarif", help="What reviewers found, as SARIF 2.1.0.")
@click.option("--log", "part", flag_value="log", help="Everything that happened.")
@click.option("--graph", "part", flag_value="graph", help="The workflow, and its steps so far.")
@afar
@common
@door
async def show(run_id: str, part: str | None, **options: Any) -> int:
    """Show a run: how it stands, what it waits for, its plan, diff, evidence, log or graph."""
    async with open_desk(settings_from(options)) as desk:
        await shown.show(desk, parse_run_id(run_id), part, as_json=options["as_json"])
    return 0


@click.command(name="fetch")
@RUN_ID
@click.option("--repo", default=".", show_default=True, help="Repository to make the branch in.")
@click.option("--branch", help="Another name for the branch.")
@click.option("--patch", type=click.Path(path_type=Path), help="A patch file instead; - prints it.")
@click.option("--pr", is_flag=True, help="Also push it to origin and open a pull request, by gh.")
@pr_server
@afar
@common
@door
async def fetch_branch(
    run_id: str, repo: str, branch: str | None, patch: Path | None, pr: bool, **options: Any
) -> int:
    """Make a finished run's branch in a repository. Nothing else of it is touched."""
    known, as_json = parse_run_id(run_id), options["as_json"]
    if patch and pr:
        raise UsageError("--patch and --pr are two ways to deliver", "give one of them")
    settings = settings_from(options)
    async with open_desk(settings) as desk:
        if patch:
            await _patched(desk, known, patch, as_json=as_json)
            return 0
        delivery = await fetch_from(desk, known, Path(repo), branch or "")
        name, commit = branch or delivery.branch, delivery.tree.commit[:12]
        tell(as_json, "fetched", f"branch {name} is at {commit}", branch=name)
        if pr:
            url = await _published(desk, known, settings, repo, name)
            tell(as_json, "published", f"the pull request is {url}", url=url)
    return 0


async def _patched(desk: Desk, run_id: RunId, patch: Path, *, as_json: bool) -> None:
    text = await desk.patch(run_id)
    if patch == STDOUT:
        click.echo(text, nl=False)
        return
    await keep_patch(text, await asyncio.to_thread(patch.absolute))
    tell(as_json, "fetched", f"the patch is in {patch}", patch=str(patch))


async def _published(
    desk: Desk, run_id: RunId, settings: Settings, repository: str, branch: str
) -> str:
    delivery, bundle = await desk.delivery(run_id)
    evidence, letter = as_stored(await desk.evidence(run_id)), await desk.letter(run_id)
    words = PullRequest(branch, letter.into, letter.title, letter.body)
    parcel = Parcel(delivery, bundle, evidence.encode(), words)
    return await publish_parcel(parcel, settings, repository)
