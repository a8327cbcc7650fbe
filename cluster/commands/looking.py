"""Doors that read: runs, show, fetch."""

import asyncio
from pathlib import Path
from typing import Any

import click

from cluster import shown
from cluster.app import open_store
from cluster.follow import fetch
from cluster.handing import Finished, publish, write_patch
from cluster.options import RUN_ID, common, door, settings_from, tell
from orchestration.errors import UsageError
from orchestration.ids import parse_run_id

STDOUT = Path("-")


@click.command()
@common
@door
async def runs(**options: Any) -> int:
    """List the runs, newest first."""
    async with open_store(settings_from(options)) as journal:
        for info in await journal.runs():
            tell(options["as_json"], "run", shown.run_line(info), **shown.run_facts(info))
    return 0


@click.command()
@RUN_ID
@click.option("--plan", "part", flag_value="plan", help="The plan.")
@click.option("--diff", "part", flag_value="diff", help="The delivered change.")
@click.option("--evidence", "part", flag_value="evidence", help="The evidence bundle, JSON.")
@click.option("--sarif", "part", flag_value="sarif", help="What reviewers found, as SARIF 2.1.0.")
@click.option("--log", "part", flag_value="log", help="Everything that happened.")
@click.option("--graph", "part", flag_value="graph", help="The workflow, and its steps so far.")
@common
@door
async def show(run_id: str, part: str | None, **options: Any) -> int:
    """Show a run: how it stands, what it waits for, its plan, diff, evidence, log or graph."""
    settings = settings_from(options)
    async with open_store(settings) as journal:
        known = parse_run_id(run_id)
        await shown.show(journal, settings, known, part, as_json=options["as_json"])
    return 0


@click.command(name="fetch")
@RUN_ID
@click.option("--repo", default=".", show_default=True, help="Repository to make the branch in.")
@click.option("--branch", help="Another name for the branch.")
@click.option("--patch", type=click.Path(path_type=Path), help="A patch file instead; - prints it.")
@click.option("--pr", is_flag=True, help="Also push it to origin and open a pull request, by gh.")
@common
@door
async def fetch_branch(run_id: str, repo: str, branch: str | None, **options: Any) -> int:
    """Make a finished run's branch in a repository. Nothing else of it is touched."""
    known, settings, as_json = parse_run_id(run_id), settings_from(options), options["as_json"]
    patch: Path | None = options["patch"]
    if patch and options["pr"]:
        raise UsageError("--patch and --pr are two ways to deliver", "give one of them")
    async with open_store(settings) as journal:
        finished = await Finished.of(journal, settings, known)
        name = branch or finished.delivery.branch
        if patch == STDOUT:
            click.echo(await finished.patch(), nl=False)
        elif patch:
            await write_patch(finished, await asyncio.to_thread(patch.absolute))
            tell(as_json, "fetched", f"the patch is in {patch}", patch=str(patch))
        else:
            place = await asyncio.to_thread(Path(repo).absolute)
            await fetch(journal, finished.delivery, place, name)
            commit = finished.delivery.tree.commit[:12]
            tell(as_json, "fetched", f"branch {name} is at {commit}", branch=name)
        if options["pr"]:
            url = await publish(finished, repo, name)
            tell(as_json, "published", f"the pull request is {url}", url=url)
    return 0
