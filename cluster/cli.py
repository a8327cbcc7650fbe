"""The front door: `manta`."""

import asyncio
import os
import signal
import sys
from pathlib import Path
from typing import Any

import click

from cluster import shown
from cluster.app import open_house, open_store
from cluster.connection import client_environment
from cluster.demo.sample import demo_order
from cluster.doctor import examine
from cluster.follow import bring_home, delivered, fetch, follow
from cluster.intake import Order, take_in
from cluster.local_cluster import cluster_in_use, stop_cluster
from cluster.options import common, door, running, say, settings_from, tell
from cluster.progress import open_sink
from cluster.settings import Settings
from orchestration.approval import Answer, Decision
from orchestration.delivery import request_of, unplayed
from orchestration.errors import UsageError
from orchestration.ids import RunId, StepKey, parse_run_id
from orchestration.messages import FeatureRequest
from orchestration.workflow.journal import Journal, RunStatus
from orchestration.workflow.outcome import RunOutcome, decide, outcome_of

WAITING = 3
"""Exit code: a person is asked."""
RUN_ID = click.argument("run_id", metavar="RUN")


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="manta-team")
def main() -> None:
    """Manta: an autonomous coding team on Ray. Requests in, tested branches out.

    Exit codes: 0 delivered, 1 failed, 2 usage, 3 waiting for a person, 4 a limit was reached,
    5 infrastructure.
    """


@main.command()
@click.argument("request")
@running
@common
@door
async def run(request: str, **options: Any) -> int:
    """Build REQUEST in a repository and deliver a tested branch. `-` reads it from stdin."""
    text = sys.stdin.read() if request == "-" else request
    settings = settings_from(options, options["repo"])
    order = Order(
        text=text,
        repository=options["repo"],
        ref=options["ref"],
        run_id=options["run_id"],
        replay=options["replay"],
        record=options["record"],
    )
    return await play(order, settings, as_json=options["as_json"])


async def play(order: Order, settings: Settings, *, as_json: bool) -> int:
    """Take an order in, start its run and follow it."""
    if settings.sandbox == "none":
        say("warning: --sandbox none is no sandbox: what agents run can do all that you can")
    request, source = await take_in(order, settings)
    if source.is_dirty:
        say(f"note: uncommitted changes in {source.name} stay as they are, outside of this run")
    async with open_house(settings) as house:
        await house.journal.put_blob(source.bundle)
        await house.start(request)
        return await watch_to_end(house.journal, request, as_json=as_json)


async def watch_to_end(
    journal: Journal, request: FeatureRequest, *, as_json: bool, after: int = 0
) -> int:
    """Follow a run; a stopped door (SIGTERM, as of `ray job stop`) stores a cancel."""
    run_id = request.run_id
    loop = asyncio.get_running_loop()
    stops: set[asyncio.Task[bool]] = set()
    loop.add_signal_handler(
        signal.SIGTERM,
        lambda: stops.add(loop.create_task(journal.request_cancel(run_id, by="a stopped job"))),
    )
    with open_sink(request, as_json=as_json) as sink:
        outcome = await follow(journal, run_id, sink, after=after)
    return await conclude(journal, run_id, outcome, as_json=as_json)


async def conclude(journal: Journal, run_id: RunId, outcome: RunOutcome, *, as_json: bool) -> int:
    """Say how a run ended, or what it waits for, and bring its branch home."""
    if outcome.status is RunStatus.DONE:
        home = await bring_home(journal, run_id)
        delivery = home[0] if home else await delivered(journal, run_id)
        tell(
            as_json,
            "delivered",
            shown.delivered(delivery, home and home[1]),
            **shown.facts(delivery),
        )
        return 0
    if outcome.status is RunStatus.SUSPENDED:
        labels = [waiting.label for waiting in outcome.suspensions]
        tell(as_json, "waiting", shown.waiting(run_id, labels), run_id=run_id, labels=labels)
        return WAITING
    error = outcome.error
    what = error.what if error else f"run {run_id} is {outcome.status}"
    fix = error.fix if error else ""
    code = error.exit_code if error else 1
    tell(as_json, "failed", "", run_id=run_id, status=outcome.status, what=what, fix=fix)
    say(f"manta: {what}" + (f"\n  fix: {fix}" if fix else ""))
    return code


@main.command()
@common
@door
async def demo(**options: Any) -> int:
    """Run the main job on a bundled sample. Models' replies are a recording; no key is needed."""
    settings = settings_from(options)
    return await play(await demo_order(settings), settings, as_json=options["as_json"])


@main.command()
@common
@door
async def runs(**options: Any) -> int:
    """List the runs, newest first."""
    async with open_store(settings_from(options)) as journal:
        for info in await journal.runs():
            tell(options["as_json"], "run", shown.run_line(info), **shown.run_facts(info))
    return 0


@main.command()
@RUN_ID
@click.option("--plan", "part", flag_value="plan", help="The plan.")
@click.option("--diff", "part", flag_value="diff", help="The delivered change.")
@click.option("--evidence", "part", flag_value="evidence", help="The evidence bundle, JSON.")
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


@main.command()
@RUN_ID
@click.option("--after", type=click.IntRange(min=0), default=0, help="Leave out events up to SEQ.")
@common
@door
async def watch(run_id: str, after: int, **options: Any) -> int:
    """Follow a run until it ends or waits for you."""
    known = parse_run_id(run_id)
    async with open_store(settings_from(options)) as journal:
        request = await request_of(journal, known)
        return await watch_to_end(journal, request, as_json=options["as_json"], after=after)


@main.command()
@RUN_ID
@click.option("--at", required=True, metavar="STEP", help="One of `manta show RUN --graph`.")
@click.option("--run-id", "new_id", help="Of the new run; made up by default.")
@common
@door
async def fork(run_id: str, at: str, new_id: str | None, **options: Any) -> int:
    """Begin a new run with RUN's past up to STEP, and drive it from there. RUN stays as it is."""
    known, into = parse_run_id(run_id), parse_run_id(new_id) if new_id else None
    async with open_house(settings_from(options)) as house:
        request = await house.fork(known, StepKey(at), into)
        human = f"{request.run_id} goes on from {at} of {known}."
        tell(options["as_json"], "forked", human, run_id=request.run_id, parent=known, at=at)
        return await watch_to_end(house.journal, request, as_json=options["as_json"])


@main.command()
@RUN_ID
@click.option("--take-over", is_flag=True, help="Even from an owner whose lease is alive.")
@common
@door
async def resume(run_id: str, take_over: bool, **options: Any) -> int:
    """Go on with a run that waits, was left behind, or lost its ground."""
    known = parse_run_id(run_id)
    settings = settings_from(options)
    async with open_house(settings) as house:
        info = await house.journal.info(known)
        if info.status is RunStatus.DONE:
            return await conclude(
                house.journal,
                known,
                await outcome_of(house.journal, unplayed(), known),
                as_json=options["as_json"],
            )
        request = await request_of(house.journal, known)
        await house.resume(known, take_over=take_over)
        return await watch_to_end(
            house.journal, request, as_json=options["as_json"], after=info.seq
        )


@main.command()
@RUN_ID
@click.option("--label", help="Which question, where several are open.")
@click.option(
    "--edit", type=click.Path(path_type=Path, exists=True), help="A plan (JSON) to use instead."
)
@common
@door
async def approve(run_id: str, label: str | None, edit: Path | None, **options: Any) -> int:
    """Approve what a run waits for; `manta resume` then goes on."""
    edited = await asyncio.to_thread(edit.read_text, "utf-8") if edit else None
    return await answer(run_id, label, said(Answer.APPROVE), edited, options)


@main.command()
@RUN_ID
@click.option("--label", help="Which question, where several are open.")
@click.option("--comment", default="", help="What to change. Without one the run ends as rejected.")
@common
@door
async def reject(run_id: str, label: str | None, comment: str, **options: Any) -> int:
    """Send a plan or delivery back with a comment, or end the run without one."""
    wanted = said(Answer.CHANGES, comment) if comment.strip() else said(Answer.REJECT)
    return await answer(run_id, label, wanted, None, options)


def said(answer: Answer, comment: str = "") -> Decision:
    """A decision by whoever sits here."""
    return Decision(answer=answer, comment=comment, by=os.environ.get("USER") or "somebody")


async def answer(
    run_id: str, label: str | None, wanted: Decision, edited: str | None, options: dict[str, Any]
) -> int:
    """Record a decision, bound to what is shown now."""
    known = parse_run_id(run_id)
    async with open_store(settings_from(options)) as journal:
        decision = await shown.decision(journal, known, label, wanted, edited)
        text = decision.model_dump_json(exclude_none=True)
        workflow = unplayed((await request_of(journal, known)).workflow)
        await decide(journal, workflow, known, text, by=decision.by, label=label)
    human = f"{decision.answer}: recorded. Go on with `manta resume {known}`."
    tell(options["as_json"], "decided", human, run_id=known, answer=decision.answer)
    return 0


@main.command()
@RUN_ID
@common
@door
async def cancel(run_id: str, **options: Any) -> int:
    """Stop a run, wherever it is driven. What is merged stays in its store."""
    known = parse_run_id(run_id)
    async with open_store(settings_from(options)) as journal:
        wanted = await journal.request_cancel(known, by=os.environ.get("USER") or "somebody")
    human = f"{known} is being cancelled." if wanted else f"{known} had already ended."
    tell(options["as_json"], "cancel", human, run_id=known, accepted=wanted)
    return 0


@main.command(name="fetch")
@RUN_ID
@click.option("--repo", default=".", show_default=True, help="Repository to make the branch in.")
@click.option("--branch", help="Another name for the branch.")
@common
@door
async def fetch_branch(run_id: str, repo: str, branch: str | None, **options: Any) -> int:
    """Make a finished run's branch in a repository. Nothing else of it is touched."""
    known = parse_run_id(run_id)
    async with open_store(settings_from(options)) as journal:
        delivery = await delivered(journal, known)
        if delivery is None:
            info = await journal.info(known)
            raise UsageError(f"run {known} has delivered nothing: it is {info.status}")
        name = branch or delivery.branch
        await fetch(journal, delivery, await asyncio.to_thread(Path(repo).absolute), name)
    tell(
        options["as_json"],
        "fetched",
        f"branch {name} is at {delivery.tree.commit[:12]}",
        branch=name,
    )
    return 0


@main.command()
@common
@door
async def up(**options: Any) -> int:
    """Start the local Ray cluster, or say where it is. Prints what `ray` clients need."""
    settings = settings_from(options)
    in_use = cluster_in_use(settings)
    with in_use as address:
        facts = client_environment(address)
    human = "\n".join(f"export {name}={value}" for name, value in facts.items())
    say(f"dashboard: {address.dashboard_url}")
    tell(options["as_json"], "up", human, environment=facts, dashboard=address.dashboard_url)
    return 0


@main.command()
@common
@door
async def down(**options: Any) -> int:
    """Stop the local Ray cluster. Runs stay in the store and can be resumed."""
    stopped = await asyncio.to_thread(stop_cluster, settings_from(options).state_dir)
    tell(
        options["as_json"], "down", "stopped" if stopped else "nothing was running", stopped=stopped
    )
    return 0


@main.command()
@common
@door
async def doctor(**options: Any) -> int:
    """Check this machine, and say how to fix what is wrong."""
    checks = await examine(settings_from(options))
    for check in checks:
        tell(options["as_json"], "check", shown.check_line(check), **shown.check_facts(check))
    return 0 if all(check.ok for check in checks) else 1


if __name__ == "__main__":
    main()
