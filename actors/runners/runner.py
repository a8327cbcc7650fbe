"""The socket: a test runner, and what it needs of a sandbox."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from orchestration.ids import CommitId
from orchestration.proof import TestReport


class Ran(Protocol):
    """What a command did (a sandbox's `ExecResult`)."""

    @property
    def exit_code(self) -> int | None: ...
    @property
    def ended(self) -> str: ...
    @property
    def signal(self) -> int | None: ...
    @property
    def stdout(self) -> bytes: ...
    @property
    def stderr(self) -> bytes: ...
    @property
    def seconds(self) -> float: ...


class Place(Protocol):
    """The part of a `Sandbox` that runners use."""

    async def exec(
        self,
        command: str | Sequence[str],
        *,
        timeout_s: float,
        env: Mapping[str, str] | None = None,
        stdin: bytes | None = None,
        max_output: int = ...,
    ) -> Ran: ...

    async def read_file(self, path: str, *, offset: int = ..., limit: int = ...) -> bytes: ...
    async def write_file(self, path: str, data: bytes, *, mode: int = ...) -> None: ...
    async def remove(self, path: str) -> None: ...


class TestRunner(Protocol):
    """Runs a repository's tests in one way."""

    __test__ = False

    @property
    def command(self) -> str:
        """What a person would type."""
        ...

    async def run(
        self, place: Place, commit: CommitId, *, timeout_s: float, only: Sequence[str] = ()
    ) -> TestReport:
        """Run the suite (or the tests in `only`, files or ids) in the workspace as it stands.

        Never raises for what the tests did: a run that says nothing has a `problem`.
        """
        ...
