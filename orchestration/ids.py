"""Names of things that travel between floors."""

import re
import secrets
from dataclasses import dataclass
from typing import NewType

from orchestration.errors import UsageError

RunId = NewType("RunId", str)
TaskId = NewType("TaskId", str)
StepKey = NewType("StepKey", str)
"""A step's deterministic path within its run, such as `build[greet]/repair#2/write_code`."""
BlobId = NewType("BlobId", str)
"""SHA-256 of the content, 64 hexadecimal digits."""
CommitId = NewType("CommitId", str)

_RUN_ID = re.compile(r"[a-z0-9][a-z0-9-]{0,62}")


@dataclass(frozen=True, slots=True)
class StepGrant:
    """Leave to append facts of one attempt of one step.

    The store refuses it once the run's lease has a higher `epoch` or the step a higher `attempt`.
    """

    run_id: RunId
    step_key: StepKey
    epoch: int
    attempt: int

    @property
    def idempotency_key(self) -> str:
        """The same for every attempt of this step."""
        return f"{self.run_id}/{self.step_key}"


def parse_run_id(text: str) -> RunId:
    """Check a run id given by a person: lower-case letters, digits and hyphens, at most 63.

    Raises:
        UsageError: the text is no run id.
    """
    if not _RUN_ID.fullmatch(text):
        raise UsageError(
            f"{text[:80]!r} is not a run id",
            "use lower-case letters, digits and hyphens, at most 63 of them",
        )
    return RunId(text)


def new_run_id(request: str) -> RunId:
    """A readable, unique id: the request's first words and six random digits."""
    words = re.findall(r"[a-z0-9]+", request.lower())[:4]
    slug = "-".join(words)[:40].strip("-") or "run"
    return RunId(f"{slug}-{secrets.token_hex(3)}")
