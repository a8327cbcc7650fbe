"""A request as a Ray job: what it runs, and the files that lie beside it.

The entrypoint is what a person could type: `manta run` on a bundle of the repository, with what was
said here by flags, environment and files as variables before it. Everybody who sees the cluster's
dashboard sees all of it, so nothing secret may be in there.
"""

import asyncio
import json
import re
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from hashlib import sha256

from actors.git.identity import local_identity
from actors.git.source import BUNDLE, Source, is_url, name_of, open_source
from cluster.build import build_id
from cluster.configuration.sources import Loaded
from cluster.intake import Order, brain_of, check_text
from cluster.machines.papers import JOB_CONFIG
from cluster.settings import ENV_NESTED, ENV_PREFIX, Settings
from orchestration.errors import UsageError
from orchestration.ids import RunId, new_run_id, parse_run_id

RUN, DIGEST, TITLE, BUILD = "manta_run", "manta_digest", "job_name", "manta_build"
"""What is written on a job, for whoever lists them; Ray's dashboard shows `job_name` by itself."""
TITLE_LENGTH = 80
RECORDING = "recording.jsonl"
MAX_BYTES = 500_000_000
"""What Ray takes as a job's files."""
TRAVELS = (
    *("model", "models", "api_base", "routes", "requests_per_minute", "tokens_per_minute"),
    *("sandbox", "sandbox_image", "sandbox_needs", "suspended_sandboxes", "approve", "allow"),
    *("deliver", "independent_tests", "workflow", "test_command", "setup", "setup_egress"),
    *("setup_timeout_s", "limits", "budget", "tool_rules", "trust_mcp", "lsp"),
    *("recall_timeout_s", "memory_key"),
)
"""Settings that are about the request; the others are about the machine, and the cluster's own."""
_SEPARATORS = {"tool_rules": ";"}
_PASSWORD = re.compile(r"://[^/@\s]*:[^/@\s]*@|://[^/@\s]{20,}@")
"""A password or a long user name, which then is a token, in a URL."""


@dataclass(frozen=True, slots=True)
class Parcel:
    """A request, ready to be handed over."""

    run_id: RunId
    text: str
    repository: str
    """Its name, for people."""
    arguments: tuple[str, ...]
    """Of `manta`."""
    variables: Mapping[str, str]
    files: Mapping[str, bytes]
    """Beside the job, by name. Ray's processes import from there: nothing else may lie there."""

    @property
    def digest(self) -> str:
        """Tells requests of one id apart."""
        return sha256(f"{self.repository}\n{self.text}".encode()).hexdigest()[:16]

    @property
    def label(self) -> dict[str, str]:
        """What is written on the job."""
        title = self.text.splitlines()[0][:TITLE_LENGTH]
        return {RUN: self.run_id, DIGEST: self.digest, TITLE: title, BUILD: build_id()}

    def entrypoint(self, manta: str = "manta") -> str:
        """The job's command. `manta`: how the program is called on the cluster.

        It takes its shell's place: of a job that is stopped while its shell begins it, Ray would
        end the shell alone, and the run would go on.
        """
        said = [f"{name}={value}" for name, value in sorted(self.variables.items())]
        return shlex.join(["exec", *(["env", *said] if said else []), manta, *self.arguments])


async def pack(order: Order, loaded: Loaded, source: Source | None = None) -> Parcel:
    """Read the repository and make a parcel of the order. Needs no cluster.

    `source` is what was read of the repository already. One at a URL is read by the job.

    Raises:
        UsageError: something of it cannot be used, must not be seen, or does not travel.
    """
    text = check_text(order.text)
    _refuse_what_stays(order, loaded)
    run_id = parse_run_id(order.run_id) if order.run_id else new_run_id(text)
    arguments, variables, files = (
        ["run", text, "--run-id", run_id],
        said(loaded),
        dict[str, bytes](),
    )
    if is_url(order.repository):
        repository = _plain(name_of(order.repository))
        arguments += ["--repo", order.repository, "--ref", order.ref]
    else:
        source = source or await open_source(order.repository, order.ref)
        repository = source.name
        beside = f"{_plain(source.name)}{BUNDLE}"
        files[beside] = source.parcel()
        arguments += ["--repo", beside]
        variables |= await _memory_of(loaded.settings, source)
    if order.replay:
        brain_of(order, loaded.settings)
        files[RECORDING] = await asyncio.to_thread(order.replay.read_bytes)
        arguments += ["--replay", RECORDING]
    parcel = Parcel(run_id, text, repository, tuple(arguments), variables, files)
    _refuse_what_must_not_be_seen(parcel)
    _refuse_too_much(parcel)
    return parcel


def other_sender(environ: Mapping[str, str]) -> str:
    """In a job: the build that submitted it, where that is another one than this; else ""."""
    config = json.loads(environ.get(JOB_CONFIG) or "{}")
    sender = str((config.get("metadata") or {}).get(BUILD, ""))
    return sender if sender != build_id() else ""


def said(loaded: Loaded) -> dict[str, str]:
    """What somebody said of the request here, as environment variables."""
    values = loaded.settings.model_dump(mode="json", include=set(TRAVELS))
    found: dict[str, str] = {}
    for name, value in _leaves(values):
        top = name.partition(".")[0]
        wanted = top if top == "routes" else name
        is_default = all(
            by == "default"
            for known, by in loaded.origins.items()
            if known == wanted or known.startswith(f"{wanted}.")
        )
        if value is not None and not is_default:
            variable = ENV_PREFIX + name.replace(".", ENV_NESTED).upper()
            found[variable] = _text(value, _SEPARATORS.get(name, ","))
    return found


def _leaves(values: Mapping[str, object]) -> list[tuple[str, object]]:
    """Values by dotted name; tables of our own are opened, routes are one value."""
    leaves: list[tuple[str, object]] = []
    for name, value in values.items():
        if isinstance(value, dict) and name != "routes":
            leaves += [(f"{name}.{below}", inner) for below, inner in value.items()]
        else:
            leaves.append((name, value))
    return leaves


def _text(value: object, separator: str) -> str:
    if isinstance(value, list):
        return separator.join(map(str, value))
    return json.dumps(value) if isinstance(value, dict | bool) else str(value)


def _refuse_what_stays(order: Order, loaded: Loaded) -> None:
    """Refuse what is a file or a tool of this machine, before anything is read."""
    settings = loaded.settings
    if loaded.origins.get("mcp") == "flag":
        raise UsageError(
            "--mcp does not travel with a submitted request: it may hold secrets",
            "put the file beside the cluster's own configuration (see docs/mcp-and-lsp.md)",
        )
    if order.record:
        raise UsageError("--record does not travel with a submitted request", "use `manta run`")
    if settings.deliver == "patch" or (settings.deliver == "pr" and not is_url(order.repository)):
        raise UsageError(
            f"--deliver {settings.deliver} needs the repository, which stays here",
            "submit without it, and then `manta fetch RUN --patch FILE` or `manta fetch RUN --pr`",
        )


def _refuse_what_must_not_be_seen(parcel: Parcel) -> None:
    """Refuse passwords in addresses: everybody who sees the dashboard sees a job's command."""
    for name, value in parcel.variables.items():
        if _PASSWORD.search(value):
            raise UsageError(
                f"{name} carries a password, and a job's command can be read in Ray's dashboard",
                "leave it out, and put it into the environment of the cluster's nodes",
            )
    if any(_PASSWORD.search(argument) for argument in parcel.arguments[2:]):
        raise UsageError(
            "the address of the repository carries a password, and a job's command can be read in"
            " Ray's dashboard",
            "clone it here and submit the clone, or let git on the cluster have the password",
        )
    if any("\0" in argument for argument in parcel.arguments):
        raise UsageError("the request has a NUL in it", "remove it")


def _refuse_too_much(parcel: Parcel) -> None:
    size = sum(map(len, parcel.files.values()))
    if size > MAX_BYTES:
        raise UsageError(
            f"{parcel.repository} has {size // 1_000_000} MB of history; Ray takes"
            f" {MAX_BYTES // 1_000_000} MB with a job",
            "push it to where the cluster can fetch it, and give that address as --repo",
        )


async def _memory_of(settings: Settings, source: Source) -> dict[str, str]:
    """Where it lies here tells its memory from others', also where only a bundle of it is."""
    if settings.memory_key or source.local_path is None:
        return {}
    key = await local_identity(source.local_path, source.commit)
    return {f"{ENV_PREFIX}MEMORY_KEY": key}


def _plain(name: str) -> str:
    """A name that needs no quoting."""
    return re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip("-.") or "repository"
