"""Completions of any provider, through litellm, with retries and fallbacks."""

import asyncio
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from actors.models import litellm_api
from actors.models.answers import Means, Refusals, applied, wanted
from actors.models.failures import Failure, Trouble, read_failure, to_error
from actors.models.gateway import ModelReply, ModelRequest, Role
from actors.models.governed import EXPECTED_OUTPUT, Settling, expected_tokens
from actors.models.governor import Call, Governor, Lane, LocalGovernor
from actors.models.normalising import normalise, sendable, with_cache_marks
from actors.models.replies import KEPT, KeptReplies
from actors.models.retrying import RetryPolicy, persist
from actors.models.routing import Route, Routes
from actors.models.speech import Speeches
from actors.models.text_tools import written_out
from orchestration.clock import Clock, SystemClock
from orchestration.errors import ModelError
from orchestration.messages import Difficulty, Usage


class LitellmGateway:
    """Completions of any provider that litellm knows. Keys come from the environment.

    Every attempt asks the governor first: one that is tried again counts again with the provider.
    """

    def __init__(
        self,
        routes: Routes,
        *,
        governor: Governor | None = None,
        clock: Clock | None = None,
        policy: RetryPolicy | None = None,
        kept: int = KEPT,
    ) -> None:
        self._routes = routes
        self._clock = clock or SystemClock()
        self._governor = Settling(governor or LocalGovernor(clock=self._clock))
        self._policy = policy or RetryPolicy()
        self._replies = KeptReplies(kept)
        self.speeches = Speeches()
        self._refusals = Refusals()
        litellm_api.prepare()
        for way in (way for route in routes.all() for way in route.chain()):
            litellm_api.declare_ollama(way)

    async def complete(self, request: ModelRequest) -> ModelReply:
        return await self._replies.get(request.key, lambda: self._ask(request))

    async def acknowledge(self, key: str) -> None:
        self._replies.forget(key)

    async def check(self, role: Role, *, priced: bool = False) -> str:
        for route in (way for one in self._routes.of_role(role) for way in one.chain()):
            litellm_api.require_usable(route)
            if priced:
                litellm_api.require_price(route)
        return self._routes.of(role).model

    async def context_tokens(self, role: Role, difficulty: Difficulty = "normal") -> int:
        chain = self._routes.of(role, difficulty).chain()
        return min(litellm_api.context_size(route) for route in chain)

    async def close(self) -> None:
        """Cancel calls in flight and close every connection of this process."""
        await self._replies.close()
        await litellm_api.close()

    async def _ask(self, request: ModelRequest) -> ModelReply:
        """Try every route of the role in order. The error of the first one is the one told."""
        started = self._clock.now()
        errors: list[ModelError] = []
        chain = self._routes.of(request.role, request.difficulty).chain()
        for route in chain:
            try:
                reply = await self._ask_route(route, request, is_last=route is chain[-1])
            except ModelError as error:
                errors.append(error)
            else:
                return replace(reply, seconds=self._clock.now() - started)
        raise _joined(errors)

    async def _ask_route(self, route: Route, request: ModelRequest, *, is_last: bool) -> ModelReply:
        """Ask one route until it answers, fails for good or has had its tries."""
        litellm_api.require_usable(route)

        async def waiting(failure: Failure, seconds: float) -> None:
            self._replies.unsent.add(request.key)
            if failure.trouble is Trouble.RATE:
                await self._governor.pause(lane_of(route), seconds)

        try:
            return await persist(
                lambda: self._attempt(route, request),
                self._policy,
                self._clock,
                is_last=is_last,
                waiting=waiting,
            )
        except Failure as failure:
            if failure.trouble is Trouble.POLICY:
                return _refusal(route, failure)
            raise to_error(route, failure, litellm_api.near_names(route)) from None

    async def _attempt(self, route: Route, request: ModelRequest) -> ModelReply:
        """One call, once the governor lets it go; settled whatever becomes of it."""
        tokens = expected_tokens(request)
        usd = litellm_api.price(route, tokens - EXPECTED_OUTPUT, EXPECTED_OUTPUT)
        self._replies.unsent.add(request.key)
        leave = await self._governor.reserve(Call(request.run, lane_of(route), tokens, usd))
        self._replies.unsent.discard(request.key)
        try:
            reply = await self._call(route, request)
        except BaseException:
            await self._governor.settle(leave, Usage())
            raise
        finally:
            self.speeches.over(request)
        return replace(reply, notice=await self._governor.settle(leave, reply.usage))

    async def _call(self, route: Route, request: ModelRequest) -> ModelReply:
        completion = await self._completion(route, request)
        reply = normalise(completion.model_dump(), request)
        cost = litellm_api.price_of(route, completion, reply.usage)
        usage = reply.usage.model_copy(update={"cost_usd": cost})
        return replace(reply, model=route.model, usage=usage)

    async def _completion(self, route: Route, request: ModelRequest) -> Any:
        """With the answer's form asked for by what the provider has not refused."""
        lane = lane_of(route).name
        means, refused = self._refusals.left(lane, _means(route, request)), list[Means]()
        while True:
            try:
                completion = await self._try(route, request, means)
            except Failure as failure:
                if failure.trouble is not Trouble.BAD or not means:
                    raise
                refused.append(means.pop(0))
            else:
                self._refusals.note(lane, refused)
                return completion

    async def _try(self, route: Route, request: ModelRequest, means: Sequence[Means]) -> Any:
        try:
            async with asyncio.timeout(None if route.stream else route.timeout_s):
                return await _complete(route, request, means, self.speeches)
        except TimeoutError:
            raise Failure(Trouble.TIMEOUT, f"no answer in {route.timeout_s:g} s") from None
        except Exception as error:  # noqa: BLE001 - the door to litellm, which raises anything
            raise read_failure(error, os.environ, self._clock.now()) from None


def lane_of(route: Route) -> Lane:
    """What shares the provider's limits: one model at one endpoint under one key."""
    name = " ".join([route.model, route.api_base or "", route.key_env or ""]).strip()
    return Lane(name, route.requests_per_minute, route.tokens_per_minute)


def _means(route: Route, request: ModelRequest) -> tuple[Means, ...]:
    return wanted(
        request,
        schemas=litellm_api.knows_schemas(route),
        strict_tools=litellm_api.knows_strict_tools(route),
        tools=litellm_api.knows_tools(route),
    )


async def _complete(
    route: Route, request: ModelRequest, means: Sequence[Means], speeches: Speeches
) -> Any:  # litellm's own model class
    """One call, one attempt: litellm's retries are off, ours know the clock and the budget."""
    response: Any = await litellm_api.complete(**_arguments(route, request, means))
    if not route.stream:
        return response
    chunks: list[Any] = []
    stream = aiter(response)
    speeches.over(request)  # what an earlier attempt said is void
    while True:
        async with asyncio.timeout(route.timeout_s):
            chunk = await anext(stream, None)
        if chunk is None:
            break
        chunks.append(chunk)
        speeches.hear(request, litellm_api.words_of(chunk))
    built: Any = litellm_api.join(chunks)
    if built is None:
        raise Failure(Trouble.GARBLED, "the stream held nothing")
    return built


def _arguments(route: Route, request: ModelRequest, means: Sequence[Means]) -> dict[str, Any]:
    messages = sendable(request.messages)
    knows_tools = litellm_api.knows_tools(route)
    if not knows_tools:
        messages = written_out(messages, request.tools)
    if litellm_api.wants_cache_marks(route):
        messages = with_cache_marks(messages)
    arguments: dict[str, Any] = {
        "model": litellm_api.model_name(route),
        "messages": messages,
        "temperature": route.temperature,
        "max_tokens": request.max_output_tokens or route.max_output_tokens,
        "api_base": route.api_base,
        "api_key": litellm_api.key_for(route),
        "timeout": route.timeout_s,
        "max_retries": 0,
        "drop_params": True,
        **applied(request, means),
        **route.options,
    }
    if not knows_tools or not arguments["tools"]:
        del arguments["tools"]
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
