"""What somebody brings along from another machine: a repository, perhaps a recording."""

import asyncio
import secrets
from hashlib import sha256
from pathlib import Path

from actors.git.bundle import decode
from actors.git.source import Source
from actors.models.recording import read_recording
from cluster.desk.wire import MAX_BUNDLE, MAX_RECORDING
from orchestration.errors import GitError, UsageError

FIX = "make it with `git bundle create base.bundle HEAD`"


def brought(name: str, ref: str, bundle: bytes) -> Source:
    """A commit that was sent. Its objects are checked when they are taken in.

    Raises:
        UsageError: no bundle, or not of one commit with all its history.
    """
    if len(bundle) > MAX_BUNDLE:
        raise UsageError(f"the bundle has more than {MAX_BUNDLE:,} bytes", "send less history")
    try:
        contents = decode(bundle)
    except GitError as error:
        raise UsageError(error.what, FIX) from error
    commits = set(contents.heads.values())
    if contents.needs or len(commits) != 1:
        raise UsageError("the bundle must hold one commit with all its history", FIX)
    return Source(
        name=name,
        commit=commits.pop(),
        ref_name=ref,
        bundle=bundle,
        is_dirty=False,
        submodules=(),
        local_path=None,
    )


async def keep_recording(folder: Path, content: bytes) -> Path:
    """A recording that was sent, kept under its digest: the run plays it as often as it resumes.

    Raises:
        UsageError: it is no recording, or too large.
    """
    if len(content) > MAX_RECORDING:
        raise UsageError(f"the recording has more than {MAX_RECORDING:,} bytes", "send a shorter")
    return await asyncio.to_thread(_keep, folder, content)


def _keep(folder: Path, content: bytes) -> Path:
    path = folder / f"{sha256(content).hexdigest()}.jsonl"
    if path.exists():
        return path
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    draft = folder / f".{secrets.token_hex(8)}"
    try:
        draft.write_bytes(content)
        read_recording(draft)
        draft.replace(path)
    except UsageError as error:
        what = error.what.replace(str(draft), "what was sent")
        raise UsageError(what, "send what `manta run --record` wrote") from error
    finally:
        draft.unlink(missing_ok=True)
    return path
