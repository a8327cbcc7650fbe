"""The office of a cluster, where requests are handed in: Ray's Jobs API in our words.

A job's state here is only a hint: how a run stands is known to the store alone.
"""

import asyncio
import logging
import tempfile
from collections.abc import AsyncGenerator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from ray.job_submission import JobDetails, JobStatus, JobSubmissionClient
from ray.util.state import list_nodes

from cluster.jobs.packing import DIGEST, RUN, TITLE, Parcel
from cluster.jobs.troubles import AlreadyThereError, in_our_words
from cluster.machines.papers import ClusterAddress
from cluster.machines.places import PLACE
from orchestration.errors import (
    ConflictError,
    InfrastructureError,
    LimitError,
    NotFoundError,
)
from orchestration.ids import RunId

ANSWERED = frozenset({0, 1, 3, 4})
"""Exit codes of a run that ended, or waits: it would end so again."""
NOT_FOUND = 127
"""A shell's word for a command that is not there."""
_TALKATIVE = (
    "ray.dashboard.modules.dashboard_sdk",
    "ray.dashboard.modules.job.sdk",
    "ray._private.runtime_env.packaging",
)
"""Ray's loggers that tell of every upload."""
P = ParamSpec("P")
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Job:
    """A request as Ray's table has it."""

    id: str
    run_id: RunId
    title: str
    digest: str
    status: JobStatus
    at: int
    """When it was handed in, in ms since the epoch."""
    exit_code: int | None
    message: str

    @property
    def waits(self) -> bool:
        return self.status is JobStatus.PENDING

    @property
    def ended(self) -> bool:
        return self.status.is_terminal()

    @property
    def is_worth_another(self) -> bool:
        """It ended without an answer: stopped, lost, or never begun."""
        if self.status is JobStatus.STOPPED:
            return True
        return self.status is JobStatus.FAILED and self.exit_code not in ANSWERED

    @classmethod
    def of(cls, found: JobDetails) -> "Job | None":
        """None for a job that is not ours."""
        told = found.metadata or {}
        if RUN not in told or not found.submission_id:
            return None
        return cls(
            id=found.submission_id,
            run_id=RunId(told[RUN]),
            title=told.get(TITLE, ""),
            digest=told.get(DIGEST, ""),
            status=found.status,
            at=found.start_time or 0,
            exit_code=found.driver_exit_code,
            message=found.message or "",
        )


@dataclass(frozen=True, slots=True)
class Handed:
    """A request that is in the cluster's hands."""

    job: str
    run_id: RunId
    is_new: bool


class Office:
    """Open it with `Office.open`. Everything may raise InfrastructureError."""

    def __init__(self, client: JobSubmissionClient, address: ClusterAddress, *, places: int):
        self._client, self._address = client, address
        self.places = places
        """How many are worked on at once while the others wait; 0 where nobody has to."""

    @classmethod
    async def open(cls, address: ClusterAddress) -> "Office":
        """The office of a cluster that was reached."""
        url = address.dashboard_url
        for name in _TALKATIVE:
            logging.getLogger(name).setLevel(logging.WARNING)
        client = await _asked(address, JobSubmissionClient, url)
        nodes: list[Any] = await _asked(address, lambda: list_nodes(address=url, detail=True))
        alive = [node for node in nodes if node.state == "ALIVE"]
        found = sum(node.resources_total.get(PLACE, 0) for node in alive)
        return cls(client, address, places=int(found))

    async def hand_in(self, parcel: Parcel, *, limit: int, manta: str = "manta") -> Handed:
        """Submit a request, or attach to the job of the same run.

        Raises:
            ConflictError: a run of this id was asked something else.
            LimitError: `limit` requests wait already.
        """
        jobs = await self.jobs()
        same = [job for job in jobs if job.run_id == parcel.run_id]
        if same and same[-1].digest not in {"", parcel.digest}:
            raise ConflictError(
                f"run {parcel.run_id} was submitted with another request: {same[-1].title!r}",
                "choose another --run-id, or leave it out",
            )
        if same and not same[-1].is_worth_another:
            return Handed(same[-1].id, parcel.run_id, is_new=False)
        if (waiting := sum(job.waits for job in jobs)) >= limit:
            raise LimitError(
                f"the line is full: {waiting} requests wait already",
                "submit again when some are done, or raise MANTA_QUEUE_LIMIT",
            )
        job = parcel.run_id + (f".{len(same) + 1}" if same else "")
        is_new = await self._submit(job, parcel, manta)
        return Handed(job, parcel.run_id, is_new)

    async def _submit(self, job: str, parcel: Parcel, manta: str) -> bool:
        """False where somebody else submitted it at the same moment."""

        def submit() -> None:
            with tempfile.TemporaryDirectory(prefix="manta-job-") as folder:
                for name, content in parcel.files.items():
                    Path(folder, name).write_bytes(content)
                self._client.submit_job(
                    entrypoint=parcel.entrypoint(manta),
                    submission_id=job,
                    metadata=parcel.label,
                    runtime_env={"working_dir": folder} if parcel.files else None,
                    entrypoint_resources={PLACE: 1} if self.places else None,
                )

        try:
            await _asked(self._address, submit)
        except AlreadyThereError:
            return False
        return True

    async def jobs(self) -> list[Job]:
        """Every request that was handed in and that Ray remembers, oldest first."""
        found = await _asked(self._address, self._client.list_jobs)
        jobs = filter(None, map(Job.of, found))
        return sorted(jobs, key=lambda job: (job.at, job.id))

    async def job(self, name: str) -> Job:
        """One of them.

        Raises:
            NotFoundError: there is none, or it is none of ours.
        """
        found = Job.of(await _asked(self._address, self._client.get_job_info, name))
        if found is None:
            raise NotFoundError(f"job {name} is no request of ours", "see `manta queue`")
        return found

    async def stop(self, name: str) -> bool:
        """Have a job's driver cancel its run; False if it had ended. One that waits leaves the
        line when its turn comes, and begins nothing."""
        return await _asked(self._address, self._client.stop_job, name)

    async def log(self, name: str) -> AsyncGenerator[str]:
        """What a job says, in pieces, until it has ended."""
        with in_our_words(self._address):
            async for piece in self._client.tail_job_logs(name):
                yield piece

    async def words(self, name: str) -> str:
        """All that a job has said."""
        return await _asked(self._address, self._client.get_job_logs, name)


def line(jobs: Sequence[Job]) -> list[Job]:
    """Those that wait, in the order in which their turn comes."""
    return [job for job in jobs if job.waits]


def trouble_of(job: Job, words: str) -> InfrastructureError | None:
    """Why a job brought no answer; None where it did."""
    if job.status is not JobStatus.FAILED or job.exit_code in ANSWERED:
        return None
    if job.exit_code == NOT_FOUND or "command not found" in words:
        return InfrastructureError(
            "the cluster has no `manta` command",
            "install the same version of manta-team on its nodes, where their PATH leads",
            words[-1000:],
        )
    if "failed to start within" in job.message:
        return InfrastructureError(
            f"{job.run_id} waited longer than this cluster lets jobs wait",
            "submit it again, or set RAY_JOB_START_TIMEOUT_SECONDS on its head",
        )
    if job.exit_code is None:
        why = job.message.splitlines()[0][:300] if job.message else "Ray does not say why"
        return InfrastructureError(f"the job of {job.run_id} was lost: {why}", "submit it again")
    return None


async def _asked(
    address: ClusterAddress, ask: Callable[P, T], *arguments: P.args, **named: P.kwargs
) -> T:
    """A blocking call of Ray's client, in a thread."""

    def call() -> T:
        with in_our_words(address):
            return ask(*arguments, **named)

    return await asyncio.to_thread(call)
