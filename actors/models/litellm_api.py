"""litellm's door: the only file that imports it, and what it knows without a call.

Nothing is fetched but completions: prices, context sizes and header tables are the ones that
come with the package, and no `.env` file is read behind our back. litellm looks at these
variables while it is imported, so they are set before.
"""

import difflib
import os
from collections.abc import Mapping
from typing import Any

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"
os.environ["LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS"] = "True"
os.environ["LITELLM_LOCAL_BLOG_POSTS"] = "True"
os.environ["LITELLM_MODE"] = "PRODUCTION"

import litellm
from litellm.exceptions import BadRequestError
from litellm.llms.custom_httpx.async_client_cleanup import close_litellm_async_clients

from actors.models.routing import Route
from orchestration.errors import ModelError
from orchestration.messages import Usage

DEFAULT_CONTEXT_TOKENS = 64_000
"""For a model that the table does not know."""
OLLAMA_CONTEXT_TOKENS = 32_768
"""Asked of Ollama, which would otherwise cut prompts to a few thousand tokens in silence."""
_OWN_CREDENTIALS = frozenset({"bedrock", "ollama_chat", "sagemaker", "vertex_ai"})
"""Providers that need no key, or find their credentials themselves."""
_STRICT_TOOLS = frozenset({"openai", "azure"})
"""litellm leaves `strict` out for the others, or they refuse it."""
_REDUNDANT = {"ollama": "ollama_chat"}
"""litellm's older way to a provider -> the one that knows tools."""


def prepare() -> None:
    """Settle how litellm behaves in this process."""
    litellm.suppress_debug_info = True  # it would print advice to stdout
    litellm.disable_aiohttp_transport = True  # httpx closes its connections cleanly


async def close() -> None:
    """Close every connection that litellm keeps in this process."""
    await close_litellm_async_clients()
    litellm.in_memory_llm_clients_cache.flush_cache()


async def complete(**arguments: Any) -> Any:
    """One completion, or a stream of chunks; litellm's own model classes."""
    return await litellm.acompletion(**arguments)


def join(chunks: list[Any]) -> Any:
    """A stream's chunks as one completion; None when there is nothing in them."""
    return litellm.stream_chunk_builder(chunks)


def words_of(chunk: Any) -> str:
    """What a chunk of a stream adds to what people may read: text, and tools as they are called."""
    said: list[str] = []
    for choice in getattr(chunk, "choices", None) or ():
        delta = getattr(choice, "delta", None)
        said.append(getattr(delta, "content", None) or "")
        for call in getattr(delta, "tool_calls", None) or ():
            function = getattr(call, "function", None)
            name = getattr(function, "name", None)
            said.append(f" {name} " if name else "")
            said.append(getattr(function, "arguments", None) or "")
    return "".join(said)


async def embed(**arguments: Any) -> Any:
    """One embedding response; litellm's own model class."""
    return await litellm.aembedding(**arguments)


# --- names, keys, sizes, prices ------------------------------------------------------------------


def model_name(route: Route) -> str:
    """The model's name as litellm wants it."""
    provider, slash, name = route.model.partition("/")
    return f"{_REDUNDANT.get(provider, provider)}{slash}{name}"


def wants_cache_marks(route: Route) -> bool:
    """Claude, wherever it is served under its own protocol, caches only what is marked."""
    return "claude" in route.model.lower() and provider_name(route) != "openai"


def provider_name(route: Route) -> str:
    """The provider's name as litellm knows it; empty for an unknown one."""
    try:
        return str(litellm.get_llm_provider(model_name(route))[1])
    except BadRequestError:
        return ""


def key_for(route: Route) -> str | None:
    """The key to pass; None leaves it to the provider's usual variable."""
    if route.key_env:
        return os.environ.get(route.key_env)
    if provider_name(route) == "openai" and _own_endpoint(route):
        return os.environ.get("OPENAI_API_KEY") or "none"  # local servers want none, clients do
    return None


def declare_ollama(route: Route) -> None:
    """Put an Ollama model into the local table, as free.

    Of models that are not in it litellm asks the Ollama server, blocking the event loop.
    """
    if provider_name(route) == "ollama_chat":
        table: dict[str, dict[str, Any]] = litellm.model_cost
        declared = {
            "litellm_provider": "ollama_chat",
            "mode": "chat",
            "input_cost_per_token": 0.0,
            "output_cost_per_token": 0.0,
            "supports_function_calling": True,
        }
        table.setdefault(model_name(route), declared)


def _own_endpoint(route: Route) -> bool:
    """Whether the route leads to a server that need not want a key."""
    usual = os.environ.get("OPENAI_BASE_URL") or os.environ.get("OPENAI_API_BASE")
    return bool(route.api_base or (provider_name(route) == "openai" and usual))


def require_usable(route: Route) -> None:
    """Raise a ModelError for an unknown provider or a missing key. Calls nobody."""
    provider = provider_name(route)
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
    found: dict[str, Any] = litellm.validate_environment(model_name(route))
    usual = f"{provider.upper()}_API_KEY"
    if os.environ.get(usual) == "":
        return [usual]
    return [] if found["keys_in_environment"] else [str(name) for name in found["missing_keys"]]


def table_entry(route: Route) -> Mapping[str, Any] | None:
    """The model's line in litellm's local table of prices and sizes."""
    table: dict[str, dict[str, Any]] = litellm.model_cost
    provider, name = provider_name(route), route.model.partition("/")[2] or route.model
    entry = table.get(model_name(route)) or table.get(f"{provider}/{name}")
    if entry is None and (bare := table.get(name)) and bare.get("litellm_provider") == provider:
        entry = bare
    return entry


def context_size(route: Route) -> int:
    """Tokens of the model's context window."""
    if route.context_tokens:
        return route.context_tokens
    if provider_name(route) == "ollama_chat":
        return OLLAMA_CONTEXT_TOKENS
    size = (table_entry(route) or {}).get("max_input_tokens")
    return size if isinstance(size, int) else DEFAULT_CONTEXT_TOKENS


def knows_tools(route: Route) -> bool:
    """Whether the model can be told of tools, rather than have them written into its prompt."""
    if route.tools != "auto":
        return route.tools == "native"
    entry = table_entry(route)
    return entry is None or bool(entry.get("supports_function_calling", True))


def knows_schemas(route: Route) -> bool:
    """Whether the provider can hold a whole reply to a JSON schema."""
    if route.answers != "auto":
        return route.answers == "strict"
    return bool(litellm.supports_response_schema(model_name(route), provider_name(route)))


def knows_strict_tools(route: Route) -> bool:
    """Whether it can hold a tool's arguments to one."""
    if route.answers != "auto":
        return route.answers == "strict"
    return provider_name(route) in _STRICT_TOOLS and knows_schemas(route)


def require_price(route: Route) -> None:
    """Raise a ModelError where nobody knows what the model costs: no budget could hold."""
    if route.usd_per_million is None and not table_entry(route):
        raise ModelError(
            f"nobody knows what {route.model} costs, so a budget in money cannot hold",
            "set usd_per_million on its route (0,0 for a model of your own), or give the budget "
            "in tokens or time",
        )


def price(route: Route, tokens_in: int, tokens_out: int) -> float:
    """US dollars that so many tokens cost at most; 0 where nobody knows."""
    if route.usd_per_million is not None:
        into, out = route.usd_per_million
        return (tokens_in * into + tokens_out * out) / 1_000_000
    entry = table_entry(route) or {}
    into, out = (entry.get(f"{way}_cost_per_token") or 0.0 for way in ("input", "output"))
    return tokens_in * float(into) + tokens_out * float(out)


def price_of(route: Route, completion: object, usage: Usage) -> float:
    """US dollars by the route's own price or the local table; 0 where there is none."""
    if route.usd_per_million is not None:
        return price(route, usage.input_tokens, usage.output_tokens)
    if not table_entry(route):
        return 0.0
    return float(
        litellm.completion_cost(completion_response=completion, model=model_name(route)) or 0.0
    )


def near_names(route: Route) -> str:
    """Known names close to the route's, joined by commas."""
    name = route.model.rpartition("/")[2]
    found = difflib.get_close_matches(name, litellm.model_cost, n=3, cutoff=0.7)
    return ", ".join(found)


def _close(route: Route) -> str:
    near = near_names(route)
    return f"; close: {near}" if near else ""
