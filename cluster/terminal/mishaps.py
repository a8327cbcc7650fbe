"""What was not foreseen, in words: every command ends in one sentence and a fix."""

import errno
import tempfile
import traceback
from pathlib import Path

from orchestration.errors import InfrastructureError, MantaError

_FIXES = {
    errno.ENOSPC: "free some, or move the state directory to another disk: MANTA_STATE_DIR",
    errno.EDQUOT: "free some, or move the state directory to another disk: MANTA_STATE_DIR",
    errno.EROFS: "name a directory that can be written to: --state-dir or MANTA_STATE_DIR",
    errno.EMFILE: "raise the limit of open files: ulimit -n 4096",
    errno.ENOMEM: "end other programs, or run fewer tasks at once: MANTA_LIMITS__PARALLEL_TASKS",
}
_ELSE = "check that path; --state-dir or MANTA_STATE_DIR names another place for Manta's own files"


def in_words(error: Exception) -> MantaError:
    """An error as one of ours: of a group the first of ours that is in it.

    What is a fault of Manta itself is written into a file that can be reported.
    """
    if isinstance(error, MantaError):
        return error
    inner = [leaf for leaf in _leaves(error) if isinstance(leaf, MantaError)]
    if inner:
        return inner[0]
    if isinstance(error, OSError) and error.errno:
        where = f": {error.filename}" if error.filename else ""
        fix = _FIXES.get(error.errno, _ELSE)
        return InfrastructureError(f"{error.strerror or type(error).__name__}{where}", fix)
    said = " ".join(str(error).split())
    return MantaError(
        f"this is a fault of Manta: {type(error).__name__}{f': {said}' if said else ''}",
        f"report it with {_kept(error)}; runs are in the store: `manta runs`",
    )


def _leaves(error: BaseException) -> list[BaseException]:
    if isinstance(error, BaseExceptionGroup):
        return [leaf for each in error.exceptions for leaf in _leaves(each)]
    return [error]


def _kept(error: Exception) -> str:
    """Where the whole story is."""
    story = "".join(traceback.format_exception(error))
    try:
        with tempfile.NamedTemporaryFile(
            "w", prefix="manta-fault-", suffix=".txt", delete=False, encoding="utf-8"
        ) as file:
            file.write(story)
    except OSError:
        return f"these lines: {story}"
    return str(Path(file.name))
