"""One frozen `Settings`: everything a door may be told, checked once and never changed.

`cluster.configuration.sources.load_settings` fills it from flags, environment and files;
constructing it directly reads nothing from outside.
"""

import os
import sys
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr
from pydantic_settings import (
    BaseSettings,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from actors.models.gateway import Role
from actors.sandbox.network.egress import AllowList
from actors.sandbox.opening import WITH_IMAGES
from actors.sandbox.protocol import Level, Suspended
from orchestration.approval import ApprovalPolicy, Gate, Rule, tool_rule
from orchestration.messages import Budget, DeliverAs, Frozen, Limits, Preparation

ENV_PREFIX = "MANTA_"
ENV_NESTED = "__"

FOREIGN_VARIABLES = (
    "RAY_ADDRESS",
    "RAY_AUTH_TOKEN_PATH",
    "ANTHROPIC_API_KEY",
    "OPENAI_API_KEY",
    "GEMINI_API_KEY",
    "OPENROUTER_API_KEY",
    "E2B_API_KEY",
    "E2B_DOMAIN",
    "DAYTONA_API_KEY",
    "DAYTONA_API_URL",
    "DAYTONA_TARGET",
    "GH_TOKEN",
    "OTEL_EXPORTER_OTLP_ENDPOINT",
)
"""Variables of others that matter here; `.env.example` explains each."""


def state_home() -> Path:
    """Where Manta keeps its state unless told otherwise."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return Path(home).expanduser() / "manta"


def running_toolchains() -> tuple[Path, ...]:
    """The environment set up for sandboxes, else the one that runs us; and its installation."""
    own = Path(sys.prefix) / "sandbox"
    prefix = own if own.is_dir() else Path(sys.prefix)
    return tuple(dict.fromkeys((prefix, Path(sys.base_prefix))))


def _toolchains(known: Mapping[str, Any]) -> tuple[Path, ...]:
    """None for a level that starts from an image, which has its own."""
    return () if known.get("sandbox") in WITH_IMAGES else running_toolchains()


def _words(separator: str) -> BeforeValidator:
    """Text becomes a list of its non-empty parts; anything else passes untouched."""

    def split(value: object) -> object:
        if isinstance(value, str):
            return [word.strip() for word in value.split(separator) if word.strip()]
        return value

    return BeforeValidator(split)


def _absolute(path: Path) -> Path:
    expanded = path.expanduser()
    if not expanded.is_absolute():
        raise ValueError("must be an absolute path (or begin with ~)")
    return expanded


def _rule_text(text: str) -> str:
    tool_rule(text)
    return text


def _label(text: str) -> str:
    key, _, value = text.partition("=")
    if not key or not value:
        raise ValueError(f"{text!r} is no label: write KEY=VALUE")
    return text


ToolRuleText = Annotated[str, AfterValidator(_rule_text)]
Label = Annotated[str, AfterValidator(_label)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]


class RoleModels(Frozen):
    """A model for one role where it differs from `model`, as PROVIDER/NAME."""

    architect: str | None = None
    coder: str | None = None
    reviewer: str | None = None
    security: str | None = None
    linter: str | None = None


class Settings(BaseSettings):
    """What a door was told. Sizes and times carry their unit in the name."""

    model_config = SettingsConfigDict(
        frozen=True,
        extra="forbid",
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_NESTED,
        env_ignore_empty=True,
        hide_input_in_errors=True,
        use_attribute_docstrings=True,
    )

    # Where things are
    state_dir: AbsolutePath = Field(default_factory=state_home)
    """Runs, evidence, memory and the local cluster's papers. One writer at a time."""
    address: str | None = None
    """A running Ray cluster, HOST:PORT or `auto`; none means the state directory's own."""
    store_url: SecretStr | None = None
    """A PostgreSQL URL for runs; none means SQLite in the state directory."""
    memory_uri: str | None = None
    """A Milvus server; none means Milvus Lite in the state directory."""
    memory_key: str = Field(default="", max_length=200, pattern=r"^[^\x00-\x1f\x7f]*$")
    """Under which name memory keeps the repository; "" goes by its place and its first commit.
    Never set by a repository."""

    # A hall elsewhere
    hall: str | None = None
    """Address of a hall's HTTP API, as `manta web` prints it there; none means what is here."""
    hall_token: SecretStr | None = None
    """Its token. Better in a file: see `hall_token_path`."""
    hall_token_path: AbsolutePath | None = None
    """File with the token, readable by its owner alone."""

    # Who thinks
    model: str | None = None
    """PROVIDER/NAME as litellm knows it; the default of every role."""
    models: RoleModels = RoleModels()
    api_base: str | None = None
    """Base URL of an OpenAI-compatible endpoint."""
    routes: dict[str, Any] = {}
    """Routes in full, by ROLE, ROLE:easy, ROLE:hard or `default`; each a model's name or a table.
    They stand above `model` and `models`."""
    requests_per_minute: float | None = Field(default=None, gt=0)
    tokens_per_minute: float | None = Field(default=None, gt=0)
    """What the provider allows each model, where its route says nothing else."""
    gateways: int = Field(default=1, ge=1, le=64)
    """Processes that call models."""
    embedding_model: str | None = None
    """Adds dense vectors to recall; none means full text only."""

    # How careful
    sandbox: Level = "local"
    toolchains: Annotated[tuple[AbsolutePath, ...], NoDecode, _words(os.pathsep)] = Field(
        default_factory=_toolchains
    )
    """Host directories that sandboxes see read-only; their `bin`s come first on PATH."""
    approve: Annotated[tuple[Gate, ...], NoDecode, _words(",")] = ()
    """Gates that wait for a person."""
    allow: Annotated[tuple[Gate, ...], NoDecode, _words(",")] = ()
    """Gates that do not, though they would: tests, deletions."""
    deliver: DeliverAs = "branch"
    """What a run becomes: a new branch, a patch file, or a pull request on the origin remote,
    opened by `gh`. Never set by a repository."""
    pr_server: str = ""
    """A server of one's own `mcp.json` that opens pull requests in `gh`'s place, as GitHub's does.
    Never set by a repository."""
    push_evidence: bool = False
    """Whether a pull request's evidence goes to origin too, as a git note."""
    independent_tests: bool = False
    """Whether a task's test is written by another coder than its code, in another workspace."""
    workflow: str = ""
    """A delivery of one's own, MODULE:FUNCTION; "" for Manta's. Never set by a repository."""
    test_command: str | None = Field(default=None, min_length=1)
    """Overrides the detected test runner. Runs in the sandbox only."""
    setup: str | None = Field(default=None, min_length=1)
    """A command that makes a repository's workspaces ready, once per run, in a sandbox of its
    own. Never set by a repository."""
    setup_egress: Annotated[tuple[str, ...], NoDecode, _words(",")] = ()
    """`host:port` patterns that the set-up command may reach, such as `pypi.org:443`."""
    setup_timeout_s: float = Field(default=1800.0, gt=0)
    sandbox_image: str = ""
    """What sandboxes start from: a container image, an E2B template, a Daytona snapshot."""
    sandbox_needs: Annotated[tuple[str, ...], NoDecode, _words(",")] = ()
    """Capabilities that the level must have, such as `kernel_boundary,hard_memory`."""
    suspended_sandboxes: Suspended = "pause"
    """What becomes of the sandboxes of a run that waits for a person: `keep`, `pause` (where the
    level can), or `discard` (they are made again from what was exported)."""
    limits: Limits = Limits()
    budget: Budget = Budget()
    """What a run may spend, all its agents together."""
    tool_rules: Annotated[tuple[ToolRuleText, ...], NoDecode, _words(";")] = ()
    """Which tool calls are allowed, asked about or denied, as `RULE TOOL [PATTERN]`; the first that
    fits decides."""
    mcp: AbsolutePath | None = None
    """A `.mcp.json` of one's own; none means `mcp.json` beside the user file, where there is one.
    Never set by a repository."""
    trust_mcp: Annotated[tuple[str, ...], NoDecode, _words(",")] = ()
    """Repositories' `.mcp.json` files that may be obeyed, by the digest that is shown of them."""
    lsp: Literal["auto", "on", "off"] = "auto"
    """Whether agents get language servers; `auto`: where a repository is large enough."""
    language_servers: int = Field(default=4, ge=1, le=256)
    """Agents with a language server at once, per machine; the others use grep."""
    recall_timeout_s: float = Field(default=1.5, gt=0, le=60)
    """Then planning goes on without memory."""

    traces: Literal["off", "on", "content"] = "off"
    """Spans of agents, sent to where OTEL_EXPORTER_OTLP_ENDPOINT says; `content` adds what agents
    read, wrote and did. Never set by a repository."""

    hooks: dict[Literal["waiting", "delivered", "failed", "cancelled"], tuple[str, ...]] = {}
    """Commands of one's own when a run waits or ends, each a list of arguments; what happened is
    on their stdin as JSON. Never set by a repository."""

    slots: int = Field(default=1, ge=1, le=64)
    """Tasks that share one worker process of a role: a process takes 60 MB, a slot about one."""

    # The line of submitted requests
    parallel_runs: int | None = Field(default=None, ge=1, le=10_000)
    """Submitted requests that the local cluster works on at once; none means as many as surely find
    room for a whole team. The others wait in order."""
    queue_limit: int = Field(default=100, ge=1, le=10_000)
    """Requests that may wait on a cluster; more are refused."""

    # A cluster of several nodes
    workers_on: Annotated[tuple[Label, ...], NoDecode, _words(",")] = ()
    """Labels of the nodes that supervisors and agents may be on, KEY=VALUE; none means any."""
    state_on: Annotated[tuple[Label, ...], NoDecode, _words(",")] = ()
    """Labels of the one node that has the state directory; none means the head."""

    # The local cluster
    cpus: int | None = Field(default=None, ge=1)
    """CPUs that Ray may hand out; none means all of this machine's."""
    object_store_mb: int = Field(default=200, ge=80)
    dashboard_port: int = Field(default=0, ge=0, le=65_535)
    """Of Ray's dashboard on 127.0.0.1; 0 means any free one."""
    idle_stop_s: float = Field(default=900.0, gt=0)
    """The local cluster stops once nobody has used it for this long."""
    start_timeout_s: float = Field(default=60.0, gt=0)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only what is passed: `cluster.configuration.sources` knows where the rest comes from."""
        return (init_settings,)

    def model_for(self, role: Role) -> str | None:
        """The model behind a role, or None where nobody named one."""
        own: str | None = getattr(self.models, role)
        return own or self.model

    def preparation(self) -> Preparation | None:
        """How workspaces are made ready, or None where nothing has to be done.

        Raises:
            UsageError: what it may reach is not written as host:port.
        """
        if self.setup is None:
            return None
        AllowList(self.setup_egress)
        return Preparation(
            command=self.setup, egress=self.setup_egress, seconds=self.setup_timeout_s
        )

    def policy(self) -> ApprovalPolicy:
        """The gates to ask at, as the score wants them."""
        gates = dict.fromkeys(self.allow, Rule.ALLOW) | dict.fromkeys(self.approve, Rule.ASK)
        return ApprovalPolicy(gates=gates, tools=tuple(map(tool_rule, self.tool_rules)))

    @property
    def house(self) -> str:
        """A short name of where runs are kept: sandboxes carry it, so that nobody ends another's.

        A database is named without its credentials.
        """
        place = str(self.state_dir)
        if self.store_url:
            url = urlsplit(self.store_url.get_secret_value())
            place = f"{url.hostname}:{url.port}{url.path}"
        return sha256(place.encode()).hexdigest()[:12]

    @property
    def memory_location(self) -> str:
        """What to open Milvus with: the server's URI, or the path of the embedded one."""
        return self.memory_uri or str(self.state_dir / "memory.milvus")
