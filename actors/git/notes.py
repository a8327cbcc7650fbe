"""Texts kept with commits as git notes: `refs/notes/manta`, here and at origin."""

import asyncio
import re
import tempfile
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from pathlib import Path

from actors.git.command import Git
from actors.git.records import oid
from actors.git.source import is_url, opened, personal
from orchestration.errors import GitError

NOTES = "manta"
"""`git log --notes=manta` shows them."""
REF = f"refs/notes/{NOTES}"
REACH_S = 120.0
ATTEMPTS = 4
"""Others may add notes of theirs while we add ours."""
_RACED = re.compile(r"fetch first|non-fast-forward|cannot lock ref|failed to update ref", re.I)


async def annotate(path: Path, commit: str, text: bytes) -> None:
    """Keep a text with a commit of the user's repository. Nothing else of it changes."""
    async with opened(str(path)) as git:
        await _add(git, commit, text)


async def annotation(path_or_url: str, commit: str) -> bytes:
    """The text kept with a commit, in the repository or at its origin; empty where there is none.

    A clone brings no notes, so that origin is asked for them; the repository stays as it is.
    """
    async with opened(path_or_url) as git:
        text = await _text(git, commit)
        if text or not (address := await _origin(git)):
            return text
        async with _copy(address) as notes:
            return await _text(notes, commit)


async def share(git: Git, commit: str, text: bytes) -> None:
    """Keep a text with a commit at the repository's origin, beside the notes of others there.

    Raises:
        GitError: there is no origin, or it refuses.
    """
    address, refused = await _origin(git), ""
    for _ in range(ATTEMPTS):
        async with _copy(address) as notes:
            if await _text(notes, commit) == text:
                return
            await _add(notes, commit, text)
            refused = await _pushed(notes, address)
        if not _RACED.search(refused):
            break
    if refused:
        raise GitError(
            f"the evidence cannot be pushed to origin as {REF}: {refused}",
            f"check your access, or do it yourself: git push origin {REF}",
        )


async def _pushed(notes: Git, address: str) -> str:
    """Why the notes are not at that address; "" once they are."""
    try:
        told = ("--porcelain", "--end-of-options", address, f"{REF}:{REF}")
        answer = await notes("push", *told, ok=(0, 1), timeout_s=REACH_S)
    except GitError as error:
        return error.what
    said = [line for line in answer.text.splitlines() if line.startswith("!")]
    return " ".join((said or [answer.err])[0].split()) if answer.code else ""


async def _add(git: Git, commit: str, text: bytes) -> None:
    blob = (await git("hash-object", "-w", "--stdin", stdin=text)).text
    await git("notes", f"--ref={NOTES}", "add", "--force", "-C", oid(blob), oid(commit))


async def _text(git: Git, commit: str) -> bytes:
    return (await git("notes", f"--ref={NOTES}", "show", oid(commit), ok=(0, 1, 128))).out


async def _origin(git: Git) -> str:
    """Where origin is; "" where there is none."""
    answer = await git("remote", "get-url", "origin", ok=(0, 1, 2, 128))
    if answer.code or not answer.text or is_url(answer.text):
        return "" if answer.code else answer.text
    top = await git("rev-parse", "--show-toplevel", ok=(0, 128))
    return str(Path(top.text if not top.code else git.directory, answer.text))


@asynccontextmanager
async def _copy(address: str) -> AsyncGenerator[Git]:
    """A repository with the notes of another one and nothing else, gone afterwards.

    Apart from the person's repository, whose settings could name programs to run.
    """
    place = await asyncio.to_thread(tempfile.TemporaryDirectory, ignore_cleanup_errors=True)
    try:
        git = Git(Path(place.name), env=personal())
        await git("init", "--quiet", "--bare", "--template=")
        # Where there are no notes yet, or nobody answers, it stays empty.
        await git(
            "fetch", "--quiet", "--no-tags", "--end-of-options", address, f"+{REF}:{REF}",
            ok=(0, 1, 128), timeout_s=REACH_S,
        )  # fmt: skip
        yield git
    finally:
        await asyncio.to_thread(place.cleanup)
