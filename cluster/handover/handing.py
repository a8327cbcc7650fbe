"""A finished run handed over: a branch where it came from, a patch file, a pull request."""

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from email.header import Header
from email.utils import formatdate
from pathlib import Path

from actors.evidence import Evidence
from actors.git.notes import share
from actors.git.publishing import PullRequest, push
from actors.git.repository import BareRepository
from actors.git.source import deliver, opened
from actors.run_repository import RunRepository
from actors.tools.text import neutralise
from cluster.handover.forges import forge_of
from cluster.handover.letter import body_of, title_of
from cluster.intake import repository_path
from cluster.runs.follow import bring_home, delivered
from cluster.settings import Settings
from orchestration.errors import GitError, MantaError, UsageError
from orchestration.ids import RunId
from orchestration.messages import DeliverAs, Delivery, FeatureRequest
from orchestration.stories import request_of
from orchestration.workflow.journal import Journal

MAX_PATCH = 500_000_000


@dataclass(frozen=True, slots=True)
class Handover:
    """What was delivered, and where it went."""

    delivery: Delivery | None
    where: str = ""
    """A line for people; empty where it waits to be fetched."""
    address: str = ""
    """For programs: the path or URL of what was made."""
    home: Path | None = None
    """The repository here that has the branch."""


@dataclass(frozen=True, slots=True)
class Finished:
    """A run that delivered a branch, as its store has it."""

    journal: Journal
    settings: Settings
    request: FeatureRequest
    delivery: Delivery

    @classmethod
    async def of(cls, journal: Journal, settings: Settings, run_id: RunId) -> "Finished":
        """A run's delivery.

        Raises:
            UsageError: there is none, or it is empty.
        """
        delivery = await delivered(journal, run_id)
        if delivery is None:
            info = await journal.info(run_id)
            raise UsageError(f"run {run_id} has delivered nothing: it is {info.status}")
        if not delivery.branch:
            raise UsageError(f"run {run_id} had nothing to do, so there is no branch")
        return cls(journal, settings, await request_of(journal, run_id), delivery)

    async def evidence(self) -> Evidence:
        text = await self.journal.get_blob(self.delivery.evidence)
        return Evidence.model_validate_json(text)

    async def patch(self) -> bytes:
        """The whole change as one mail, for `git am` and `git apply`."""
        path = repository_path(self.settings, self.request.run_id)
        await self._held()
        bare = await BareRepository.create(path)
        diff = await bare.patch(self.request.base.commit, self.delivery.tree.commit)
        (last,) = await bare.log(self.delivery.tree.commit, limit=1)
        return _mail(title_of(await self.evidence()), self.delivery, last.when) + diff

    async def pull_request(self, branch: str) -> PullRequest:
        """The words of a pull request for it."""
        repository, evidence = await self._held(), await self.evidence()
        base, tree = self.request.base, self.delivery.tree
        changes = (await repository.patch(base, tree, "", "")).changes
        added = await repository.added_lines(base, tree)
        body = body_of(evidence, self.delivery, changes, added)
        return PullRequest(branch, self.request.base_ref, title_of(evidence), body)

    async def _held(self) -> RunRepository:
        path = repository_path(self.settings, self.request.run_id)
        repository = await RunRepository.open(path, self.journal)
        for tree in (self.request.base, self.delivery.tree):
            await repository.hold(tree)
        return repository


async def require_able(settings: Settings, how: DeliverAs, repository: str) -> None:
    """Check before a run begins that its result could be delivered as asked.

    Raises:
        UsageError: no origin remote, or nobody who could open a pull request.
    """
    if how == "pr":
        forge = await forge_of(settings)
        async with opened(repository) as git:
            await forge.require(git)


async def hand_over(journal: Journal, settings: Settings, run_id: RunId) -> Handover:
    """Do with a finished run's result what its request names."""
    delivery, request = await delivered(journal, run_id), await request_of(journal, run_id)
    if delivery is None or not delivery.branch:
        return Handover(delivery)
    finished = Finished(journal, settings, request, delivery)
    if request.deliver == "patch":
        file = await asyncio.to_thread(Path(f"{run_id}.patch").absolute)
        await write_patch(finished, file)
        return Handover(delivery, f"The patch is in {file}.", str(file))
    home = await bring_home(journal, run_id)
    if request.deliver == "pr":
        url = await publish(finished, request.origin, delivery.branch)
        return Handover(delivery, f"The pull request is {url}", url)
    if home is None:
        return Handover(delivery)
    return at_home(delivery, home[1])


async def whereabouts(journal: Journal, run_id: RunId) -> Handover:
    """A finished run's result and where it is, without making anything."""
    delivery, request = await delivered(journal, run_id), await request_of(journal, run_id)
    origin = Path(request.origin)
    if delivery is None or not delivery.branch or not origin.is_absolute():
        return Handover(delivery)
    with suppress(MantaError):  # no repository any more
        async with opened(request.origin) as git:
            ref = f"refs/heads/{delivery.branch}"
            there = await git("rev-parse", "--verify", "--quiet", ref, ok=(0, 1))
        if there.text == delivery.tree.commit:
            return at_home(delivery, origin)
    return Handover(delivery)


def at_home(delivery: Delivery, home: Path) -> Handover:
    """A branch that was made in a repository."""
    return Handover(delivery, f"The branch is in {home}.", str(home), home)


async def publish(finished: Finished, repository: str, branch: str) -> str:
    """The delivery as `branch` on the origin of a repository, and the pull request's address."""
    journal, delivery = finished.journal, finished.delivery
    bundle, evidence = [await journal.get_blob(b) for b in (delivery.bundle, delivery.evidence)]
    words = await finished.pull_request(branch)
    parcel = Parcel(delivery, bundle, evidence, words)
    return await publish_parcel(parcel, finished.settings, repository)


@dataclass(frozen=True, slots=True)
class Parcel:
    """All that a pull request is made of."""

    delivery: Delivery
    bundle: bytes
    evidence: bytes
    words: PullRequest


async def publish_parcel(parcel: Parcel, settings: Settings, repository: str) -> str:
    """The same of what was fetched from elsewhere.

    Raises:
        UsageError, GitError: it could not be done. Doing it again goes on where this ended.
    """
    commit, branch = parcel.delivery.tree.commit, parcel.words.branch
    async with opened(repository) as git:
        try:
            forge = await forge_of(settings)
            await forge.require(git)
            await deliver(git.directory, parcel.bundle, branch, commit)
            await push(git, commit, branch)
            if settings.push_evidence:
                await share(git, commit, parcel.evidence)
            return await forge.open(git, parcel.words)
        except (UsageError, GitError) as error:
            again = f"nothing is lost: then `manta fetch {parcel.delivery.run_id} --pr`"
            raise type(error)(error.what, "; ".join(filter(None, (error.fix, again)))) from error


async def write_patch(finished: Finished, file: Path) -> None:
    """The delivery as a patch file, which must be new, or be the same already.

    Raises:
        UsageError: the file is there with another content, or cannot be written.
    """
    await keep_patch(await finished.patch(), file)


async def keep_patch(text: bytes, file: Path) -> None:
    """The same of a patch that is here already. Raises as `write_patch` does."""

    def write() -> None:
        with suppress(FileNotFoundError):
            if file.read_bytes() == text:
                return
            raise UsageError(f"{file} exists already", "name another file, or remove that one")
        file.write_bytes(text)

    try:
        await asyncio.to_thread(write)
    except OSError as error:
        why = error.strerror or type(error).__name__
        raise UsageError(f"cannot write {file}: {why}", "name another file") from error


def _mail(title: str, delivery: Delivery, when: int) -> bytes:
    """The head of a patch as `git am` reads it; what follows is the change."""
    subject = title if title.isascii() else Header(title, "utf-8", maxlinelen=998).encode()
    head = (
        f"From {delivery.tree.commit} Mon Sep 17 00:00:00 2001",
        "From: Manta <manta@localhost>",
        f"Date: {formatdate(when)}",
        f"Subject: [PATCH] {subject}",
        "MIME-Version: 1.0",
        "Content-Type: text/plain; charset=UTF-8",
        "Content-Transfer-Encoding: 8bit",
    )
    # Indented, so that no line of it can begin the change.
    told = [f"  {line}" for line in neutralise(delivery.summary).splitlines()]
    text = "\n".join((*head, "", *told, "", f"Manta-Run: {delivery.run_id}", "---", ""))
    return text.encode() + b"\n"
