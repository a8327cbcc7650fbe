"""Lines about clusters, machines and memory; and errors."""

from typing import Literal

from cluster.lines.line import Line

# --- jobs ----------------------------------------------------------------------------------------


class SubmittedLine(Line):
    """A request is in the queue of a cluster or hall."""

    type: Literal["submitted"]
    run_id: str
    is_new: bool
    job: str = ""


class QueuedLine(Line):
    """A request waits for its turn."""

    type: Literal["queued"]
    run_id: str
    place: int
    title: str = ""
    """In the list of runs."""


class JobLine(Line):
    """A request in the queue; place 0 is at work."""

    type: Literal["job"]
    run_id: str
    title: str
    place: int
    job: str


class LogLine(Line):
    """What a job said, where its store is out of reach."""

    type: Literal["log"]
    run_id: str
    text: str


class EndedLine(Line):
    """A job ended."""

    type: Literal["ended"]
    run_id: str
    exit_code: int


# --- the machine and the rest --------------------------------------------------------------------


class UpLine(Line):
    """The cluster is there; its clients need this environment."""

    type: Literal["up"]
    environment: dict[str, str]
    dashboard: str


class DownLine(Line):
    """Whether there was a cluster to stop."""

    type: Literal["down"]
    stopped: bool


class WebLine(Line):
    """The review page listens. `enter` lets people in: keep it to yourself."""

    type: Literal["web"]
    url: str
    enter: str
    token: str


class CheckLine(Line):
    """What the doctor found."""

    type: Literal["check"]
    name: str
    ok: bool
    detail: str
    fix: str


class SweptLine(Line):
    """A sandbox that nobody owned was ended."""

    type: Literal["swept"]
    id: str
    level: str
    run: str


class SettingLine(Line):
    """A setting that holds, and who said so. Secrets are masked."""

    type: Literal["setting"]
    name: str
    value: str
    origin: str


class WrittenLine(Line):
    """A file was written."""

    type: Literal["written"]
    path: str


class NextLine(Line):
    """What to type next."""

    type: Literal["next"]
    command: str


class MetricLine(Line):
    """A figure of the cluster."""

    type: Literal["metric"]
    name: str
    tags: dict[str, str]
    value: float
    p50_s: float | None = None
    p95_s: float | None = None


class ConfigLine(Line):
    """Where a configuration for others' programs lies."""

    type: Literal["config"]
    path: str


class ServerLine(Line):
    """An MCP server of yours, and its tools by role."""

    type: Literal["server"]
    name: str
    runs: str
    troubles: tuple[str, ...]
    tools: dict[str, tuple[str, ...]]


class AcceptedLine(Line):
    """A server's tools are taken as they are now."""

    type: Literal["accepted"]
    server: str


class RecollectionLine(Line):
    """What memory would recall."""

    type: Literal["recollection"]
    rank: int
    source: str
    commit: str
    text: str


class SearchedLine(Line):
    """The end of what memory found."""

    type: Literal["searched"]
    found: int
    files: int
    note: str


class ReindexedLine(Line):
    """The index of a repository is new."""

    type: Literal["reindexed"]
    commit: str
    files: int
    pieces: int
    left_out: int
    partly: tuple[str, ...]
    note: str
    key: str


class ForgotLine(Line):
    """Memory has forgotten a repository."""

    type: Literal["forgot"]
    texts: int
    key: str


class ErrorLine(Line):
    """Why nothing came of it, and how to mend that."""

    type: Literal["error"]
    what: str
    fix: str
    exit_code: int | None = None
    """Of this command; none where the error is a run's that is only shown."""
