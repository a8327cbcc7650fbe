"""Texts as vectors, by any embedding model that litellm knows."""

import asyncio
import os
from collections.abc import Sequence

from actors.models import litellm_api
from actors.models.failures import Failure, Trouble, read_failure, to_error
from actors.models.retrying import RetryPolicy, persist
from actors.models.routing import Route
from orchestration.clock import Clock, SystemClock
from orchestration.errors import MantaError

BATCH = 64
"""Texts in one call."""
BRIEF = RetryPolicy(attempts=2, longest_rate_limit_s=5.0)
"""Memory works without vectors, and nobody should wait for them long."""
_CALL_S = 30.0


async def open_embedder(route: str) -> tuple["LitellmEmbedder", int]:
    """An embedder for a route (JSON), and the length of its vectors.

    Raises:
        ModelError: it does not work.
    """
    given = Route.model_validate_json(route)
    quick = given.model_copy(update={"timeout_s": min(given.timeout_s, _CALL_S)})
    embedder = LitellmEmbedder(quick, policy=BRIEF)
    try:
        (vector,) = await embedder.embed(["how long is a vector?"])
    except MantaError:
        await embedder.close()
        raise
    return embedder, len(vector)


class LitellmEmbedder:
    """Embeds texts in batches. Keys come from the environment.

    Raises, from `embed`:
        ModelError: the provider failed for good, is unknown, or its key is missing.
    """

    def __init__(
        self, route: Route, *, clock: Clock | None = None, policy: RetryPolicy | None = None
    ) -> None:
        self._route = route
        self._clock = clock or SystemClock()
        self._policy = policy or RetryPolicy()
        litellm_api.prepare()

    async def embed(self, texts: Sequence[str]) -> list[tuple[float, ...]]:
        """A vector for each text, in their order."""
        litellm_api.require_usable(self._route)
        vectors: list[tuple[float, ...]] = []
        for start in range(0, len(texts), BATCH):
            vectors += await self._embed_batch(list(texts[start : start + BATCH]))
        return vectors

    async def close(self) -> None:
        await litellm_api.close()

    async def _embed_batch(self, texts: list[str]) -> list[tuple[float, ...]]:
        try:
            return await persist(lambda: self._attempt(texts), self._policy, self._clock)
        except Failure as failure:
            near = litellm_api.near_names(self._route)
            raise to_error(self._route, failure, near) from None

    async def _attempt(self, texts: list[str]) -> list[tuple[float, ...]]:
        arguments = {
            "model": litellm_api.model_name(self._route),
            "input": texts,
            "api_base": self._route.api_base,
            "api_key": litellm_api.key_for(self._route),
            "timeout": self._route.timeout_s,
            "max_retries": 0,
            **self._route.options,
        }
        try:
            async with asyncio.timeout(self._route.timeout_s):
                response = await litellm_api.embed(
                    **{name: value for name, value in arguments.items() if value is not None}
                )
        except TimeoutError:
            raise Failure(Trouble.TIMEOUT, f"no answer in {self._route.timeout_s:g} s") from None
        except Exception as error:  # noqa: BLE001 - the door to litellm, which raises anything
            raise read_failure(error, os.environ, self._clock.now()) from None
        rows = sorted(response.model_dump().get("data") or [], key=lambda row: row["index"])
        if len(rows) != len(texts):
            raise Failure(Trouble.GARBLED, f"{len(rows)} vectors for {len(texts)} texts")
        return [tuple(float(x) for x in row["embedding"]) for row in rows]
