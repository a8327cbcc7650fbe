"""Requests that wait in the local cluster's line, which no store knows yet."""

from cluster.jobs.following import place_in_line
from cluster.jobs.office import Job, Office
from cluster.jobs.reaching import at, local
from cluster.settings import Settings
from orchestration.ids import RunId


async def waiting(settings: Settings) -> list[tuple[Job, int]]:
    """Who waits, and at which place; nobody where no local cluster runs.

    Raises:
        InfrastructureError: the cluster's dashboard does not answer.
    """
    address = local(settings)
    if address is None:
        return []
    office = await Office.open(await at(address))
    jobs = await office.jobs()
    places = [(job, place_in_line(jobs, job.id, office.places)) for job in jobs]
    return [(job, place) for job, place in places if place]


async def withdrawn(settings: Settings, run_id: RunId) -> bool:
    """Have a waiting request begin nothing when its turn comes; False if it does not wait."""
    address = local(settings)
    if address is None:
        return False
    office = await Office.open(await at(address))
    waits = [job for job in await office.jobs() if job.run_id == run_id and job.waits]
    return bool([await office.stop(job.id) for job in waits])
