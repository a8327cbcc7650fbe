"""Every error that Manta raises on purpose.

    MantaError                      what went wrong, and how to fix it
    ├── UsageError                  the person's input cannot be used               exit 2
    │   ├── InvalidWorkflowError    a workflow that cannot be built
    │   ├── NotFoundError           a run, step, label or blob that does not exist
    │   ├── InvalidAnswerError      an answer to a suspension that does not validate
    │   └── UntestableError         the repository's own tests say nothing
    ├── RunFailedError              the work itself failed                          exit 1
    │   ├── StepFailedError         a step raised; carries its key and the cause's text
    │   ├── RunCancelledError       a stored cancel was obeyed
    │   └── RejectedError           a person said no
    ├── LimitError                  a cap by construction was reached               exit 4
    │   ├── CircuitBreakerOpen      a loop reached its cap; carries the last result
    │   └── BudgetExceededError     turns, tokens, money or time ran out
    └── InfrastructureError         the ground gave way; often worth another try    exit 5
        ├── StaleOwnerError         the lease or grant is void: write nothing more
        ├── RunOwnedError           somebody else drives this run
        ├── ConflictError           a first writer won (decision, definition)
        ├── StoreError              the checkpoint store is away, full, torn or newer
        ├── GroundError             what a step stands on is away or gone: the run can be resumed
        ├── WorkerLostError         a player's process died
        ├── ModelError              the provider failed for good
        │   └── ReplayDivergedError the conversation left its recording
        ├── GitError                git refused
        └── SandboxError            see actors.sandbox.protocol for its branches

Constructor arguments are positional and go whole to `super().__init__`, so that every error
survives pickling (Ray ships them between processes).
"""

from typing import ClassVar


class MantaError(Exception):
    """Base of all: `what` happened (naming the thing) and a `fix` a person can act on."""

    exit_code: ClassVar[int] = 1

    def __init__(self, what: str, fix: str = "", *details: object) -> None:
        super().__init__(what, fix, *details)
        self.what = what
        self.fix = fix
        self.details = details

    def __str__(self) -> str:
        return f"{self.what} — {self.fix}" if self.fix else self.what


class UsageError(MantaError, ValueError):
    """The person's input cannot be used as it is."""

    exit_code = 2


class InvalidWorkflowError(UsageError):
    """A workflow that cannot be built, or an instance of one that is unbuilt or empty."""


class NotFoundError(UsageError, LookupError):
    """A run, step, label or blob that does not exist."""

    def __str__(self) -> str:
        return MantaError.__str__(self)


class InvalidAnswerError(UsageError):
    """An answer to a suspension that does not validate; the run stays resumable."""


class UntestableError(UsageError):
    """The repository's own tests say nothing, so that no change of it can be proven."""


class RunFailedError(MantaError):
    """The work itself failed."""


class StepFailedError(RunFailedError):
    """A step raised. `details`: (step_key, error class name, outcomes of siblings as text)."""


class RunCancelledError(RunFailedError):
    """A stored cancel was obeyed."""


class RejectedError(RunFailedError):
    """A person rejected the plan or the delivery."""


class LimitError(MantaError):
    """A cap by construction was reached."""

    exit_code = 4


class CircuitBreakerOpen(LimitError):  # noqa: N818 - the field's name for it
    """A loop reached its cap. `details`: (step_key, iterations, last result)."""


class BudgetExceededError(LimitError):
    """Turns, tokens, money or time ran out."""


class InfrastructureError(MantaError):
    """The ground gave way; often worth another try."""

    exit_code = 5


class StaleOwnerError(InfrastructureError):
    """The lease or grant is void: stop at once and write nothing more."""


class RunOwnedError(InfrastructureError):
    """Somebody else drives this run. `details`: (owner, seconds until the lease ends)."""


class ConflictError(InfrastructureError):
    """A first writer won: another decision stands, or the definition differs."""


class StoreError(InfrastructureError):
    """The checkpoint store is away, full, torn or of a newer version."""


class GroundError(InfrastructureError):
    """What a step stands on is away, full or gone. Where another attempt does not help, the run
    stays as it is, to be resumed: nothing was wrong with the work."""


class WorkerLostError(InfrastructureError):
    """A player's process died; the step is worth another attempt on another one."""


class ModelError(InfrastructureError):
    """The model's provider failed for good (unknown model, missing key, refusal to serve)."""


class ReplayDivergedError(ModelError):
    """The conversation left its recording. `details`: (conversation, turn)."""


class GitError(InfrastructureError):
    """Git refused; `what` carries its last words."""
