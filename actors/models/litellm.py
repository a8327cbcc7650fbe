"""Model providers through litellm: the only file that imports it.

Nothing is fetched but completions: prices, context sizes and header tables are the ones that
come with the package, and no `.env` file is read behind our back. litellm looks at these
variables while it is imported, so they are set before.
"""

import asyncio
import difflib
import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"
os.environ["LITELLM_LOCAL_BLOG_POSTS"] = "True"
os.environ["LITELLM_MODE"] = "PRODUCTION"

import httpx
import litellm
from litellm.exceptions import BadRequestError
from litellm.llms.custom_httpx.async_client_cleanup import close_litellm_async_clients

from actors.models.failures import (
    PASSING,
    Failure,
    Trouble,
    classify,
    redact,
    shorten,
    to_error,
)
from actors.models.gateway import ModelReply, ModelRequest, Role
from actors.models.normalising import normalise, sendable, with_cache_marks
from actors.models.replies import KEPT, KeptReplies
from actors.models.retrying import RetryPolicy, parse_retry_after
from actors.models.routing import Route, Routes
from orchestration.clock import Clock, SystemClock
from orchestration.errors import ModelError
from orchestration.messages import Usage

DEFAULT_CONTEXT_TOKENS = 64_000
"""For a model that the table does not know."""
OLLAMA_CONTEXT_TOKENS = 32_768
"""Asked of Ollama, which would otherwise cut prompts to a few thousand tokens in silence."""
_OWN_CREDENTIALS = frozenset({"bedrock", "ollama_chat", "sagemaker", "vertex_ai"})
"""Providers that need no key, or find their credentials themselves."""
_REDUNDANT = {"ollama": "ollama_chat"}
"""litellm's older way to a provider -> the one that knows tools."""


class LitellmGateway:
    """Completions of any provider that litellm knows. Keys come from the environment."""

    def __init__(
        self,
        routes: Routes,
        *,
        clock: Clock | None = None,
        policy: RetryPolicy | None = None,
        kept: int = KEPT,
    ) -> None:
        self._routes = routes
        self._clock = clock or SystemClock()
        self._policy = policy or RetryPolicy()
        self._replies = KeptReplies(kept)
        litellm.suppress_debug_info = True  # it would print advice to stdout
        litellm.disable_aiohttp_transport = True  # httpx closes its connections cleanly
        for route in (routes.default, *routes.roles.values()):
            for way in route.chain():
                _declare_ollama(way)

    async def complete(self, request: ModelRequest) -> ModelReply:
        return await self._replies.get(request.key, lambda: self._ask(request))

    async def acknowledge(self, key: str) -> None:
        self._replies.forget(key)

    async def check(self, role: Role) -> str:
        for route in self._routes.of(role).chain():
            _require_usable(route)
        return self._routes.of(role).model

    async def context_tokens(self, role: Role) -> int:
        return min(_context(route) for route in self._routes.of(role).chain())

    async def is_priced(self, role: Role) -> bool:
        """Whether calls of this role cost what the reply says; otherwise they count as free."""
        return all(_table_entry(route) for route in self._routes.of(role).chain())

    async def close(self) -> None:
        """Cancel calls in flight and close every connection of this process."""
        await self._replies.close()
        await close_litellm_async_clients()
        litellm.in_memory_llm_clients_cache.flush_cache()

    async def _ask(self, request: ModelRequest) -> ModelReply:
        """Try every route of the role in order. The error of the first one is the one told."""
        started = self._clock.now()
        errors: list[ModelError] = []
        chain = self._routes.of(request.role).chain()
        for route in chain:
            tries = self._policy.attempts
            if route is not chain[-1]:
                tries = self._policy.attempts_with_fallback
            try:
                reply = await self._ask_route(route, request, tries)
            except ModelError as error:
                errors.append(error)
            else:
                return replace(reply, seconds=self._clock.now() - started)
        raise _joined(errors)

    async def _ask_route(self, route: Route, request: ModelRequest, tries: int) -> ModelReply:
        """Ask one route until it answers, fails for good or has had its tries."""
        _require_usable(route)
        for attempt in range(1, tries + 1):
            try:
                return await self._attempt(route, request)
            except Failure as failure:
                wait = self._policy.delay(attempt, failure.retry_after_s)
                if failure.trouble is Trouble.POLICY:
                    return _refusal(route, failure)
                if failure.trouble not in PASSING or attempt == tries or wait is None:
                    raise to_error(route, failure, attempt, _near(route)) from None
                await self._clock.sleep(wait)
        raise AssertionError("a route is tried at least once")

    async def _attempt(self, route: Route, request: ModelRequest) -> ModelReply:
        try:
            async with asyncio.timeout(None if route.stream else route.timeout_s):
                completion = await _complete(route, request)
        except TimeoutError:
            raise Failure(Trouble.TIMEOUT, f"no answer in {route.timeout_s:g} s") from None
        except Exception as error:  # noqa: BLE001 - the door to litellm, which raises anything
            raise _failure(error, self._clock.now()) from None
        reply = normalise(completion.model_dump(), request)
        usage = reply.usage.model_copy(update={"cost_usd": _cost(route, completion)})
        return replace(reply, model=route.model, usage=usage)


async def _complete(route: Route, request: ModelRequest) -> Any:  # litellm's own model class
    """One call, one attempt: litellm's retries are off, ours know the clock and the budget."""
    response: Any = await litellm.acompletion(**_arguments(route, request))
    if not route.stream:
        return response
    chunks: list[Any] = []
    stream = aiter(response)
    while True:
        async with asyncio.timeout(route.timeout_s):
            chunk = await anext(stream, None)
        if chunk is None:
            break
        chunks.append(chunk)
    built: Any = litellm.stream_chunk_builder(chunks)
    if built is None:
        raise Failure(Trouble.GARBLED, "the stream held nothing")
    return built


def _arguments(route: Route, request: ModelRequest) -> dict[str, Any]:
    messages = sendable(request.messages)
    arguments: dict[str, Any] = {
        "model": _model(route),
        "messages": with_cache_marks(messages) if _wants_cache_marks(route) else messages,
        "tools": list(request.tools) or None,
        "temperature": route.temperature,
        "max_tokens": request.max_output_tokens or route.max_output_tokens,
        "api_base": route.api_base,
        "api_key": _key(route),
        "timeout": route.timeout_s,
        "max_retries": 0,
        "drop_params": True,
        **route.options,
    }
    if route.stream:
        arguments |= {"stream": True, "stream_options": {"include_usage": True}}
    if _provider(route) == "ollama_chat":
        arguments.setdefault("num_ctx", _context(route))
    return {name: value for name, value in arguments.items() if value is not None}


# --- names, keys, sizes, prices ------------------------------------------------------------------


def _model(route: Route) -> str:
    provider, slash, name = route.model.partition("/")
    return f"{_REDUNDANT.get(provider, provider)}{slash}{name}"


def _wants_cache_marks(route: Route) -> bool:
    """Claude, wherever it is served under its own protocol, caches only what is marked."""
    return "claude" in route.model.lower() and _provider(route) != "openai"


def _provider(route: Route) -> str:
    """The provider's name as litellm knows it; empty for an unknown one."""
    try:
        return str(litellm.get_llm_provider(_model(route))[1])
    except BadRequestError:
        return ""


def _key(route: Route) -> str | None:
    """The key to pass; None leaves it to the provider's usual variable."""
    if route.key_env:
        return os.environ.get(route.key_env)
    if _provider(route) == "openai" and _own_endpoint(route):
        return os.environ.get("OPENAI_API_KEY") or "none"  # local servers want none, clients do
    return None


def _declare_ollama(route: Route) -> None:
    """Put an Ollama model into the local table, as free.

    Of models that are not in it litellm asks the Ollama server, blocking the event loop.
    """
    if _provider(route) == "ollama_chat":
        table: dict[str, dict[str, Any]] = litellm.model_cost
        declared = {
            "litellm_provider": "ollama_chat",
            "mode": "chat",
            "input_cost_per_token": 0.0,
            "output_cost_per_token": 0.0,
            "supports_function_calling": True,
        }
        table.setdefault(_model(route), declared)


def _own_endpoint(route: Route) -> bool:
    """Whether the route leads to a server that need not want a key."""
    usual = os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")
    return bool(route.api_base or (_provider(route) == "openai" and usual))


def _require_usable(route: Route) -> None:
    """Raise a ModelError for an unknown provider or a missing key. Calls nobody."""
    provider = _provider(route)
    if not provider:
        raise ModelError(
            f"no provider is known for the model {route.model!r}",
            "write PROVIDER/NAME, such as anthropic/NAME, ollama/NAME, or openai/NAME with "
            "OPENAI_API_BASE for an OpenAI-compatible server" + _close(route),
        )
    if missing := _missing_keys(route, provider):
        raise ModelError(
            f"{route.model} needs a key, and {' or '.join(missing)} is not set",
            f"export {missing[0]}=... in the environment of the process that calls models",
        )


def _missing_keys(route: Route, provider: str) -> list[str]:
    if route.key_env:
        return [] if os.environ.get(route.key_env) else [route.key_env]
    if provider in _OWN_CREDENTIALS or _own_endpoint(route):
        return []
    found: dict[str, Any] = litellm.validate_environment(_model(route))
    usual = f"{provider.upper()}_API_KEY"
    if os.environ.get(usual) == "":
        return [usual]
    return [] if found["keys_in_environment"] else [str(name) for name in found["missing_keys"]]


def _table_entry(route: Route) -> Mapping[str, Any] | None:
    """The model's line in litellm's local table of prices and sizes."""
    table: dict[str, dict[str, Any]] = litellm.model_cost
    provider, name = _provider(route), route.model.partition("/")[2] or route.model
    entry = table.get(_model(route)) or table.get(f"{provider}/{name}")
    if entry is None and (bare := table.get(name)) and bare.get("litellm_provider") == provider:
        entry = bare
    return entry


def _context(route: Route) -> int:
    if route.context_tokens:
        return route.context_tokens
    if _provider(route) == "ollama_chat":
        return OLLAMA_CONTEXT_TOKENS
    size = (_table_entry(route) or {}).get("max_input_tokens")
    return size if isinstance(size, int) else DEFAULT_CONTEXT_TOKENS


def _cost(route: Route, completion: object) -> float:
    """US dollars by the local table; 0 where it has no price."""
    if not _table_entry(route):
        return 0.0
    return float(
        litellm.completion_cost(completion_response=completion, model=_model(route)) or 0.0
    )


def _near(route: Route) -> str:
    """Known names close to the route's, joined by commas."""
    name = route.model.rpartition("/")[2]
    found = difflib.get_close_matches(name, litellm.model_cost, n=3, cutoff=0.7)
    return ", ".join(found)


def _close(route: Route) -> str:
    near = _near(route)
    return f"; close: {near}" if near else ""


# --- failures ------------------------------------------------------------------------------------


def _failure(error: Exception, now: float) -> Failure:
    """What litellm raised, as one of our kinds."""
    if isinstance(error, Failure):
        return error
    words = shorten(redact(str(getattr(error, "message", error)), os.environ))
    if _is_unreachable(error):
        return Failure(Trouble.UNREACHABLE, words)
    status = getattr(error, "status_code", None)
    trouble = classify(type(error).__name__, status if isinstance(status, int) else None, words)
    headers: Mapping[str, str] = getattr(error, "litellm_response_headers", None) or {}
    return Failure(trouble, words, parse_retry_after(headers.get("retry-after"), now))


def _is_unreachable(error: BaseException) -> bool:
    """Whether a connection could not be made: litellm calls that a server's error."""
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, httpx.ConnectError | httpx.ConnectTimeout | ConnectionError):
            return True
        cause = cause.__cause__ or cause.__context__
    return False


def _refusal(route: Route, failure: Failure) -> ModelReply:
    """A provider's filter said no before the model could: the same to an agent."""
    return ModelReply(text=failure.words, finish="refusal", model=route.model, usage=Usage(calls=1))


def _joined(errors: list[ModelError]) -> ModelError:
    if len(errors) == 1:
        return errors[0]
    rest = "; ".join(error.what for error in errors[1:])
    return ModelError(f"{errors[0].what}; then its fallbacks: {rest}", errors[0].fix)
