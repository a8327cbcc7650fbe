"""Doors to a cluster's line: submit, queue."""

import asyncio
import os
import sys
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import click

from actors.git.source import Source, is_url, open_source
from cluster.app import open_store
from cluster.configuration import keys
from cluster.configuration.sources import Loaded
from cluster.desk.near import desk_over
from cluster.desk.opening import open_desk
from cluster.desk.wishing import Wishes
from cluster.intake import Order, in_words
from cluster.jobs.following import (
    begun,
    follow_log,
    place_in_line,
    take_turn,
    tell_place,
)
from cluster.jobs.office import Handed, Office, line
from cluster.jobs.packing import Parcel, pack
from cluster.jobs.reaching import local, reached
from cluster.jobs.requests import Asked, read_requests
from cluster.machines.papers import ClusterAddress
from cluster.settings import Settings
from cluster.terminal.options import common, door, loaded_from, running, say, tell
from cluster.terminal.watching import watch_to_end
from orchestration.errors import MantaError, UsageError


@click.command()
@click.argument("request", required=False)
@click.option(
    "--file", type=click.Path(path_type=Path), help="Many requests: a YAML list, see docs/jobs.md."
)
@click.option("--follow/--no-follow", "follows", default=None, help="Watch it; default for one.")
@running
@common
@door
async def submit(request: str | None, file: Path | None, **options: Any) -> int:
    """Hand REQUEST to a Ray cluster as a job; `-` reads it from stdin.

    A repository on this machine travels as a bundle. Where others are worked on, it waits in line.
    Submitting the same --run-id again attaches to it; Ctrl-C leaves it running.
    """
    if (request is None) == (file is None):
        raise UsageError("name a REQUEST, or many of them by --file", 'manta submit "Add ..."')
    if file is not None:
        return await _submit_all(file, options)
    text = await in_words(sys.stdin.read() if request == "-" else request or "")
    order, loaded = _order(text, options), loaded_from(options, options["repo"])
    as_json, follows = options["as_json"], options["follows"] is not False
    if loaded.settings.hall:
        return await _by_hall([(order, loaded.settings)], as_json=as_json)
    parcel = await pack(order, loaded)
    async with reached(loaded) as address:
        office = await _opened(address)
        handed = await _hand_in(office, address, parcel, loaded.settings, as_json=as_json)
        if not follows:
            return 0
        home = None if is_url(order.repository) else Path(order.repository)
        return await _follow(office, handed, loaded.settings, home=home, as_json=as_json)


@click.command()
@common
@door
async def queue(**options: Any) -> int:
    """List submitted requests that wait or are worked on, in their order."""
    loaded = loaded_from(options)
    if _has_no_cluster(loaded):
        say("no cluster is running, so nothing waits")
        return 0
    async with reached(loaded) as address:
        office = await Office.open(address)
        jobs = await office.jobs()
    for job in jobs:
        if not job.ended:
            place = place_in_line(jobs, job.id, office.places)
            state = f"{place:>4}." if place else "works"
            human = f"{state}  {job.run_id:<44} {job.title}"
            facts = {"run_id": job.run_id, "title": job.title, "place": place, "job": job.id}
            tell(options["as_json"], "job", human, **facts)
    say(f"{office.places or 'any number'} at once; {len(line(jobs))} in line")
    return 0


def _order(text: str, options: Mapping[str, Any], asked: Asked | None = None) -> Order:
    return Order(
        text=text,
        repository=asked.repository if asked else options["repo"],
        ref=asked.ref if asked else options["ref"],
        run_id=asked.run_id if asked else options["run_id"],
        replay=options["replay"],
        record=options["record"],
    )


async def _submit_all(file: Path, options: dict[str, Any]) -> int:
    """Read and pack every request before the first is handed in."""
    if options["run_id"] or options["follows"]:
        raise UsageError(
            "--run-id and --follow are about one request, --file about many",
            "name run ids in the file; follow one by `manta watch RUN`",
        )
    given = await asyncio.to_thread(
        read_requests, file, repository=options["repo"], ref=options["ref"]
    )
    loaded, as_json = loaded_from(options, options["repo"]), options["as_json"]
    own = [
        (_order(await in_words(each.text), options, each), _loaded(each, options)) for each in given
    ]
    if loaded.settings.hall:
        return await _by_hall([(order, each.settings) for order, each in own], as_json=as_json)
    parcels = await _packed(own)
    handed: list[Handed] = []
    async with reached(loaded) as address:
        office = await _opened(address)
        for parcel in parcels:
            with _saying_how_far(handed, len(parcels)):
                limits = loaded.settings
                handed.append(await _hand_in(office, address, parcel, limits, as_json=as_json))
        jobs = await office.jobs()
        for each in handed:
            if place := place_in_line(jobs, each.job, office.places):
                tell_place(each.run_id, place, as_json=as_json)
    return 0


@contextmanager
def _saying_how_far(handed: Sequence[Handed], wanted: int) -> Generator[None]:
    """An error in the middle of many says what was submitted before it."""
    try:
        yield
    except MantaError as error:
        done = ", ".join(each.run_id for each in handed) or "none"
        raise type(error)(
            f"{len(handed)} of {wanted} requests are submitted ({done}); then: {error.what}",
            f"{error.fix}; then submit the file again: those that are there are attached to",
            *error.details,
        ) from error


def _loaded(asked: Asked, options: Mapping[str, Any]) -> Loaded:
    """The settings of one request of a file."""
    entry, own = asked.entry, dict(options)
    if entry.approve is not None:
        own["approve"] = ",".join(entry.approve)
    if entry.budget is not None:
        own["budget"] = entry.budget
    return loaded_from(own, asked.repository)


async def _packed(orders: Sequence[tuple[Order, Loaded]]) -> list[Parcel]:
    """Every request packed; each repository is read once."""
    sources: dict[tuple[str, str], Source] = {}
    parcels: list[Parcel] = []
    for order, loaded in orders:
        place = (order.repository, order.ref)
        if not is_url(order.repository) and place not in sources:
            sources[place] = await open_source(*place)
        parcels.append(await pack(order, loaded, sources.get(place)))
    return parcels


async def _opened(address: ClusterAddress) -> Office:
    """The cluster's office; keys that runs will need are left where its processes find them."""
    for purpose in ("model", "sandbox"):
        keys.leave(address, purpose, keys.select(os.environ, purpose))
    return await Office.open(address)


async def _hand_in(
    office: Office, address: ClusterAddress, parcel: Parcel, settings: Settings, *, as_json: bool
) -> Handed:
    own = Path(sys.executable).with_name("manta")
    manta = str(own) if address.is_local and own.exists() else "manta"
    handed = await office.hand_in(parcel, limit=settings.queue_limit, manta=manta)
    did = "is submitted" if handed.is_new else "was submitted before"
    facts = {"run_id": handed.run_id, "job": handed.job, "is_new": handed.is_new}
    tell(as_json, "submitted", f"{handed.run_id} {did}", **facts)
    return handed


async def _follow(
    office: Office, handed: Handed, settings: Settings, *, home: Path | None, as_json: bool
) -> int:
    """Follow a request to its end; returns the exit code of its run.

    Where the store is within reach, it is told what the store knows, and a finished branch is made
    in the repository `home`. Elsewhere it is told what the job says.
    """
    await take_turn(office, handed, as_json=as_json)
    if local(settings) is None and not settings.store_url:
        return await follow_log(office, handed, as_json=as_json)
    settings = settings.model_copy(update={"address": None})
    async with open_store(settings) as journal:
        await begun(office, handed, journal)
        if home is not None:
            home = await asyncio.to_thread(home.absolute)
        desk = desk_over(journal, settings)
        run_id, hooks = handed.run_id, settings.hooks
        return await watch_to_end(desk, run_id, as_json=as_json, home=home, hooks=hooks)


async def _by_hall(orders: Sequence[tuple[Order, Settings]], *, as_json: bool) -> int:
    """Submit at the hall that the settings name, which answers over HTTP."""
    settings = orders[0][1]
    async with open_desk(settings) as desk:
        for order, own in orders:
            wishes = Wishes(own.approve, own.budget, own.model, own.test_command)
            taken = await desk.submit(order, wishes)
            for note in taken.notes:
                say(f"note: {note}")
            did = "is submitted" if taken.is_new else "was submitted before"
            human = f"{taken.run_id} {did}; follow it with `manta watch {taken.run_id}`"
            tell(as_json, "submitted", human, run_id=taken.run_id, is_new=taken.is_new)
    return 0


def _has_no_cluster(loaded: Loaded) -> bool:
    settings = loaded.settings
    named = settings.address or os.environ.get("RAY_API_SERVER_ADDRESS")
    return not named and local(settings) is None
