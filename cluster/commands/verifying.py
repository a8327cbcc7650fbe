"""The door that proves again: verify."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any

import click
from pydantic import ValidationError

from actors.evidence import Evidence
from actors.git.notes import annotation
from actors.git.repository import BareRepository
from actors.git.source import open_source
from actors.run_repository import RunRepository
from actors.sandbox.opening import open_provider
from actors.tools.text import neutralise
from actors.verification import Claim, FreshCheckouts, Verification, require_commits
from cluster.app import open_store
from cluster.runs.follow import delivered
from cluster.settings import Settings
from cluster.terminal.options import common, door, say, settings_from, tell
from orchestration.clock import SystemClock
from orchestration.errors import NotFoundError, UsageError
from orchestration.ids import parse_run_id
from orchestration.messages import Preparation
from orchestration.stories import request_of
from orchestration.workflow.in_memory import InMemoryJournal

FIX = (
    "give a run, a branch that `manta fetch` made, or a file with evidence (manta show --evidence)"
)

NONE_HERE = (
    "neither the repository nor its origin has a note of it: ask for the evidence as a file "
    "(manta show RUN --evidence), or let it be pushed (MANTA_PUSH_EVIDENCE=true)"
)


@dataclass(frozen=True, slots=True)
class Case:
    """What is to be proven: evidence, and all commits that it speaks of."""

    evidence: bytes
    bundles: tuple[bytes, ...]
    setup: Preparation | None


@click.command()
@click.argument("what", metavar="RUN|BRANCH|FILE")
@click.option("--repo", default=".", show_default=True, help="Where a branch's commits are.")
@click.option("--sandbox", help="local, container, e2b, daytona, or none: a bare process.")
@click.option("--setup", help="Makes checkouts ready, such as `npm ci`.")
@click.option("--setup-egress", help="What it may reach: HOST:PORT, ...")
@common
@door
async def verify(what: str, repo: str, **options: Any) -> int:
    """Prove a delivery again: red and green from clean checkouts, in fresh sandboxes.

    Needs neither the run's cluster nor a model. Exit code 1 when a claim does not hold.
    """
    settings, as_json = settings_from(options), options["as_json"]
    case = await _case(what, repo, settings)
    evidence = _evidence(case.evidence)
    held = True
    async with _verification(case, evidence, settings) as verification:
        say(f"verifying {evidence.commit[:12]} of {neutralise(evidence.repository)}")
        say(f"by evidence with sha256 {sha256(case.evidence).hexdigest()}")
        async for claim in verification.claims():
            held = held and claim.holds
            tell(as_json, "claim", _line(claim), **claim.model_dump())
    verdict = "every claim holds" if held else "not every claim holds"
    tell(as_json, "verified", verdict, holds=held, run_id=evidence.run_id, commit=evidence.commit)
    return 0 if held else 1


def _line(claim: Claim) -> str:
    mark = "holds         " if claim.holds else "DOES NOT HOLD "
    return "\n      ".join([f"{mark} {claim.what}", *claim.why])


async def _case(what: str, repo: str, settings: Settings) -> Case:
    """Evidence and commits by a file's path, a run's id or a branch's name, in this order."""
    if evidence := await asyncio.to_thread(_file, Path(what)):
        source = await open_source(repo, _evidence(evidence).commit)
        return Case(evidence, (source.bundle,), settings.preparation())
    if case := await _of_run(what, settings):
        return case
    source = await open_source(repo, what)
    evidence = await annotation(repo, source.commit)
    if not evidence:
        raise UsageError(f"{what!r} at {source.commit[:12]} carries no evidence", NONE_HERE)
    return Case(evidence, (source.bundle,), settings.preparation())


def _file(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


async def _of_run(what: str, settings: Settings) -> Case | None:
    """What a run of this store delivered; None when there is no such run."""
    try:
        run_id = parse_run_id(what)
    except UsageError:
        return None
    async with open_store(settings) as journal:
        try:
            request = await request_of(journal, run_id)
        except NotFoundError:
            return None
        delivery = await delivered(journal, run_id)
        if delivery is None or not delivery.branch:
            raise UsageError(f"run {run_id} has delivered nothing", f"see `manta show {run_id}`")
        blobs = (*request.base.bundles, delivery.bundle)
        bundles = tuple([await journal.get_blob(blob) for blob in blobs])
        evidence = await journal.get_blob(delivery.evidence)
        return Case(evidence, bundles, settings.preparation() or request.setup)


def _evidence(text: bytes) -> Evidence:
    try:
        return Evidence.model_validate_json(text)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the whole"
        raise UsageError(f"this is not evidence of ours: {where}: {first['msg']}", FIX) from None


@asynccontextmanager
async def _verification(
    case: Case, evidence: Evidence, settings: Settings
) -> AsyncGenerator[Verification]:
    """The commits in a repository of their own, and sandboxes to test them in."""
    with tempfile.TemporaryDirectory(prefix="manta-verify-") as place:
        bare = await BareRepository.create(Path(place) / "commits.git")
        for bundle in case.bundles:
            await bare.import_bundle(bundle, max_bytes=len(bundle))
        repository = RunRepository(bare, InMemoryJournal(SystemClock()))
        await require_commits(evidence, repository)
        provider = await open_provider(
            settings.sandbox,
            Path(place) / "sandboxes",
            toolchains=[str(path) for path in settings.toolchains],
            image=settings.sandbox_image,
            needs=settings.sandbox_needs,
        )
        said = evidence.final
        checkouts = FreshCheckouts(
            provider,
            bare,
            command=settings.test_command or (said.command if said else None),
            timeout_s=settings.limits.test_seconds,
            toolchains=tuple(str(path) for path in settings.toolchains),
            setup=case.setup,
        )
        try:
            yield Verification(evidence, repository, checkouts.test)
        finally:
            await provider.close()
