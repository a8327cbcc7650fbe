"""Doors to memory: search, reindex, forget."""

import asyncio
import math
import tempfile
from pathlib import Path
from typing import Any

import click

from actors.git.identity import local_identity
from actors.git.repository import BareRepository
from actors.git.source import Source, open_source
from actors.memory.feeding import Snapshot, feed
from actors.tools.text import cap
from actors.vector_store.protocol import RowKind
from cluster.intake import memory_key, public_origin
from cluster.memory import open_memory
from cluster.terminal.options import chained, common, door, settings_from, tell
from orchestration.errors import StoreError

KINDS: dict[str, tuple[RowKind, ...]] = {
    "code": ("code",),
    "lessons": ("lesson",),
    "all": ("code", "lesson"),
}
SHOWN = 700
"""Characters of a piece, for people; --json has all that a run would see."""
place = chained(
    click.option("--repo", default=".", show_default=True, help="Path or URL of the repository."),
    click.option("--ref", default="HEAD", show_default=True, help="The commit to go by."),
)
only = click.option(
    "--only",
    type=click.Choice(list(KINDS)),
    default="all",
    show_default=True,
    help="Of which kind.",
)


@click.group()
def memory() -> None:
    """What Manta remembers of a repository: its code by symbol, and lessons of earlier runs."""


@memory.command()
@click.argument("query")
@place
@only
@click.option("--limit", type=click.IntRange(1, 50), default=8, show_default=True)
@common
@door
async def search(query: str, repo: str, ref: str, only: str, limit: int, **options: Any) -> int:
    """Show what a run would recall for QUERY, best first."""
    settings = settings_from(options, repo)
    key = await key_of(repo, ref)
    async with open_memory(settings) as desk:
        report = await desk.recall(key, query, limit=limit, kinds=KINDS[only])
        if not report.consulted:
            raise StoreError(report.note, "see docs/memory.md")
        held = await desk.manifest(key)
    for rank, each in enumerate(report.found, 1):
        human = f"{rank}. {each.source} at {each.commit[:12]}\n{indented(each.text)}"
        facts = {"source": each.source, "commit": each.commit, "text": each.text}
        tell(options["as_json"], "recollection", human, rank=rank, **facts)
    said = report.note or ("" if held else "nothing of it is indexed yet: `manta memory reindex`")
    human = f"{len(report.found)} found" + (f"; {said}" if said else "")
    tell(options["as_json"], "searched", human, found=len(report.found), files=len(held), note=said)
    return 0


@memory.command()
@place
@common
@door
async def reindex(repo: str, ref: str, **options: Any) -> int:
    """Build the index of a repository's code anew, from a commit. Lessons stay."""
    settings = settings_from(options, repo)
    source = await open_source(repo, ref)
    with tempfile.TemporaryDirectory() as scratch:
        bare = await taken_in(source, scratch)
        key = await memory_key(source, public_origin(repo, source), bare)
        snapshot = Snapshot(source.commit, await bare.files(source.commit), bare)
        async with open_memory(settings) as desk:
            await desk.drop(key, ("code",))
            report = await feed(desk, key, snapshot, budget_s=math.inf)
    human = (
        f"{source.name} at {source.commit[:12]}: {report.files} files, {report.sent} pieces"
        f" ({report.left_out} files left out: licences, lock files, vendored, generated, binary)"
    )
    tell(
        options["as_json"], "reindexed", f"{human}\n{report.note}".strip(),
        commit=source.commit, files=report.files, pieces=report.sent,
        left_out=report.left_out, partly=list(report.partly), note=report.note, key=key,
    )  # fmt: skip
    return 0


@memory.command()
@place
@only
@common
@door
async def forget(repo: str, ref: str, only: str, **options: Any) -> int:
    """Forget a repository. Code comes back with the next run or `reindex`; lessons do not."""
    settings = settings_from(options, repo)
    key = await key_of(repo, ref)
    async with open_memory(settings) as desk:
        gone = await desk.drop(key, KINDS[only])
    tell(options["as_json"], "forgot", f"{gone} texts forgotten", texts=gone, key=key)
    return 0


async def key_of(repo: str, ref: str) -> str:
    """Under which key memory keeps a repository, by its path or URL."""
    path = await asyncio.to_thread(lambda: Path(repo).expanduser().absolute())
    if await asyncio.to_thread(path.exists):
        return await local_identity(path, ref)
    source = await open_source(repo, ref)
    with tempfile.TemporaryDirectory() as scratch:
        bare = await taken_in(source, scratch)
        return await memory_key(source, public_origin(repo, source), bare)


async def taken_in(source: Source, scratch: str) -> BareRepository:
    """The commit in a repository of ours."""
    bare = await BareRepository.create(Path(scratch) / "repository.git")
    await bare.import_bundle(source.bundle, max_bytes=len(source.bundle))
    return bare


def indented(text: str) -> str:
    """What a person looks at."""
    return "\n".join(f"     {line}" for line in cap(text, SHOWN).splitlines())
