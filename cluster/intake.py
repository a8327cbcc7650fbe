"""At the door: words and a repository become a `FeatureRequest`, or an error with its remedy."""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from actors.git.identity import identity, local_identity
from actors.git.issues import is_link, issue_at
from actors.git.repository import BareRepository
from actors.git.source import Source, open_source
from actors.guidance import readable, root_guidance
from actors.models.routing import ROLES, Routes, parse_routes
from actors.runners.suite import detect
from cluster.brain import Brain
from cluster.settings import Settings
from cluster.tools.servers import servers_of
from orchestration.errors import UsageError
from orchestration.ids import BlobId, RunId, new_run_id, parse_run_id
from orchestration.messages import FeatureRequest, TreeRef
from orchestration.stories import unplayed

REQUEST_LIMIT = 20_000
"""Characters. A longer request belongs into a file of the repository that the request names."""
RATES = ("requests_per_minute", "tokens_per_minute")


@dataclass(frozen=True, slots=True)
class Order:
    """What a person typed."""

    text: str
    repository: str
    ref: str = "HEAD"
    run_id: str | None = None
    replay: Path | None = None
    record: Path | None = None


def check_text(text: str) -> str:
    """The request itself, neither empty nor a book.

    Raises:
        UsageError: it is empty or too long.
    """
    text = text.strip()
    if not text:
        raise UsageError("the request is empty", 'say what you want, such as manta run "Add ..."')
    if len(text) > REQUEST_LIMIT:
        raise UsageError(
            f"the request has {len(text)} characters; {REQUEST_LIMIT} is the limit",
            "put the details into a file of the repository and name it in the request",
        )
    return text


async def in_words(text: str) -> str:
    """What is wanted: a text as it is, or the issue that it is the link to.

    Raises:
        UsageError: the person's `gh` is missing, or not logged in.
        GitError: the issue cannot be read.
    """
    return (await issue_at(text)).request() if is_link(text) else text


def brain_of(order: Order, settings: Settings) -> Brain:
    """Who thinks.

    Raises:
        UsageError: neither a model nor a recording was named, or the recording is not there.
    """
    if order.replay:
        if not order.replay.is_file():
            raise UsageError(f"there is no recording at {order.replay}", "check --replay")
        return Brain(replay=str(order.replay.absolute()))
    record = str(order.record.absolute()) if order.record else ""
    return Brain(routes=routes_of(settings), record=record)


def routes_of(settings: Settings) -> Routes:
    """A route per role and difficulty, as the settings name the models."""
    named: dict[str, object] = {
        role: model for role in ROLES if (model := settings.model_for(role))
    }
    default = settings.model or next(iter(named.values()), None)
    named = {"default": default, **{r: m for r, m in named.items() if m != default}}
    tables: dict[str, object] = {
        role: {"model": model, "api_base": settings.api_base}
        for role, model in named.items()
        if model
    }
    return parse_routes(
        {
            name: _with_rates(route, settings)
            for name, route in {**tables, **settings.routes}.items()
        }
    )


def _with_rates(route: object, settings: Settings) -> object:
    """A route as a table, with the common rates where it has none of its own."""
    table = {"model": route} if isinstance(route, str) else route
    if not isinstance(table, dict):
        return table
    return {**{name: getattr(settings, name) for name in RATES}, **table}


async def take_in(
    order: Order,
    settings: Settings,
    say: Callable[[str], None] = lambda _: None,
    *,
    source: Source | None = None,
) -> tuple[FeatureRequest, Source]:
    """Read the repository and make the request. Needs no cluster, so that errors come at once.

    `say` is told what the person should know of the repository. `source` is what was read of it
    already.

    The base commit's bundle is named by its content; whoever starts the run stores it first.
    Nothing of the person's repository is touched and nothing of it runs.

    Raises:
        UsageError: the text, the repository, the model, the workflow or the run id cannot be used.
    """
    text, brain = check_text(order.text), brain_of(order, settings)
    unplayed(settings.workflow)
    run_id = parse_run_id(order.run_id) if order.run_id else new_run_id(text)
    source = source or await open_source(order.repository, order.ref)
    repository = await BareRepository.create(repository_path(settings, run_id))
    await repository.import_bundle(source.bundle, max_bytes=len(source.bundle))
    entries = await repository.files(source.commit)
    files = [entry.path for entry in entries]
    origin = public_origin(order.repository, source)

    async def read(path: str) -> bytes:
        return await repository.read(source.commit, path)

    if not settings.test_command:
        await detect(files, read)
    servers = await servers_of(settings, files, read, say, is_replay=bool(order.replay))
    brain = brain.model_copy(update={"servers": servers})
    base = TreeRef(commit=source.commit, bundles=(BlobId(sha256(source.bundle).hexdigest()),))
    request = FeatureRequest(
        run_id=run_id,
        text=text,
        repository=source.name,
        base=base,
        memory=settings.memory_key or await memory_key(source, origin, repository),
        origin=origin,
        base_ref=source.ref_name,
        brain=brain.model_dump_json(),
        guidance=await root_guidance(readable(entries), read),
        test_command=settings.test_command,
        setup=settings.preparation(),
        limits=settings.limits,
        budget=settings.budget,
        policy=settings.policy(),
        independent_tests=settings.independent_tests,
        deliver=settings.deliver,
        workflow=settings.workflow,
    )
    return request, source


def repository_path(settings: Settings, run_id: RunId) -> Path:
    """The run's own bare repository: a cache of bundles in the store."""
    return settings.state_dir / "repositories" / f"{run_id}.git"


def public_origin(given: str, source: Source) -> str:
    """Where the repository is, without credentials."""
    if source.local_path is not None:
        return str(source.local_path)
    if source.is_file:
        return Path(given).name
    parts = urlsplit(given)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


async def memory_key(source: Source, origin: str, repository: BareRepository) -> str:
    """Under which key memory keeps a repository."""
    if source.local_path is not None:
        return await local_identity(source.local_path, source.commit)
    return identity(origin, await repository.root(source.commit))
