"""Completions of any provider, through litellm, with retries and fallbacks."""

import asyncio
import os
from dataclasses import replace
from typing import Any

from actors.models import litellm_api
from actors.models.failures import Failure, Trouble, read_failure, to_error
from actors.models.gateway import ModelReply, ModelRequest, Role
from actors.models.normalising import normalise, sendable, with_cache_marks
from actors.models.replies import KEPT, KeptReplies
from actors.models.retrying import RetryPolicy, persist
from actors.models.routing import Route, Routes
from orchestration.clock import Clock, SystemClock
from orchestration.errors import ModelError
from orchestration.messages import Usage


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
        litellm_api.prepare()
        for route in (routes.default, *routes.roles.values()):
            for way in route.chain():
                litellm_api.declare_ollama(way)

    async def complete(self, request: ModelRequest) -> ModelReply:
        return await self._replies.get(request.key, lambda: self._ask(request))

    async def acknowledge(self, key: str) -> None:
        self._replies.forget(key)

    async def check(self, role: Role) -> str:
        for route in self._routes.of(role).chain():
            litellm_api.require_usable(route)
        return self._routes.of(role).model

    async def context_tokens(self, role: Role) -> int:
        return min(litellm_api.context_size(route) for route in self._routes.of(role).chain())

    async def is_priced(self, role: Role) -> bool:
        """Whether calls of this role cost what the reply says; otherwise they count as free."""
        return all(litellm_api.table_entry(route) for route in self._routes.of(role).chain())

    async def close(self) -> None:
        """Cancel calls in flight and close every connection of this process."""
        await self._replies.close()
        await litellm_api.close()

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
        litellm_api.require_usable(route)
        try:
            return await persist(
                lambda: self._attempt(route, request), self._policy, self._clock, tries
            )
        except Failure as failure:
            if failure.trouble is Trouble.POLICY:
                return _refusal(route, failure)
            raise to_error(route, failure, litellm_api.near_names(route)) from None

    async def _attempt(self, route: Route, request: ModelRequest) -> ModelReply:
        try:
            async with asyncio.timeout(None if route.stream else route.timeout_s):
                completion = await _complete(route, request)
        except TimeoutError:
            raise Failure(Trouble.TIMEOUT, f"no answer in {route.timeout_s:g} s") from None
        except Exception as error:  # noqa: BLE001 - the door to litellm, which raises anything
            raise read_failure(error, os.environ, self._clock.now()) from None
        reply = normalise(completion.model_dump(), request)
        usage = reply.usage.model_copy(update={"cost_usd": litellm_api.price_of(route, completion)})
        return replace(reply, model=route.model, usage=usage)


async def _complete(route: Route, request: ModelRequest) -> Any:  # litellm's own model class
    """One call, one attempt: litellm's retries are off, ours know the clock and the budget."""
    response: Any = await litellm_api.complete(**_arguments(route, request))
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
    built: Any = litellm_api.join(chunks)
    if built is None:
        raise Failure(Trouble.GARBLED, "the stream held nothing")
    return built


def _arguments(route: Route, request: ModelRequest) -> dict[str, Any]:
    messages = sendable(request.messages)
    if litellm_api.wants_cache_marks(route):
        messages = with_cache_marks(messages)
    arguments: dict[str, Any] = {
        "model": litellm_api.model_name(route),
        "messages": with_cache_marks(messages)
        if litellm_api.wants_cache_marks(route)
        else messages,
        "tools": list(request.tools) or None,
        "temperature": route.temperature,
        "max_tokens": request.max_output_tokens or route.max_output_tokens,
        "api_base": route.api_base,
        "api_key": litellm_api.key_for(route),
        "timeout": route.timeout_s,
        "max_retries": 0,
        "drop_params": True,
        **route.options,
    }
    if route.stream:
        arguments |= {"stream": True, "stream_options": {"include_usage": True}}
    if litellm_api.provider_name(route) == "ollama_chat":
        arguments.setdefault("num_ctx", litellm_api.context_size(route))
    return {name: value for name, value in arguments.items() if value is not None}


def _refusal(route: Route, failure: Failure) -> ModelReply:
    """A provider's filter said no before the model could: the same to an agent."""
    return ModelReply(text=failure.words, finish="refusal", model=route.model, usage=Usage(calls=1))


def _joined(errors: list[ModelError]) -> ModelError:
    if len(errors) == 1:
        return errors[0]
    rest = "; ".join(error.what for error in errors[1:])
    return ModelError(f"{errors[0].what}; then its fallbacks: {rest}", errors[0].fix)
