"""Embeddings through litellm, over real HTTP against an endpoint on loopback."""

from collections.abc import AsyncGenerator

import pytest

from actors.models.embedding import BATCH, LitellmEmbedder
from actors.models.routing import Route
from orchestration.errors import ModelError
from tests.actors.models import endpoint as http
from tests.actors.models.desk import MARKS, Waits
from tests.actors.models.endpoint import Endpoint

pytestmark = [pytest.mark.slow, *MARKS]


@pytest.fixture
async def embedder(server: Endpoint) -> AsyncGenerator[LitellmEmbedder]:
    route = Route(model="openai/embed", api_base=server.url)
    embedder = LitellmEmbedder(route, clock=Waits())
    yield embedder
    await embedder.close()


def vectors(*rows: tuple[int, list[float]]) -> http.Answer:
    data = [{"object": "embedding", "index": index, "embedding": row} for index, row in rows]
    usage = {"prompt_tokens": 1, "total_tokens": 1}
    return http.document({"object": "list", "data": data, "model": "embed", "usage": usage})


async def test_vectors_come_in_the_order_of_their_texts(
    server: Endpoint, embedder: LitellmEmbedder
):
    server.will(vectors((1, [3.0, 4.0]), (0, [1.0, 2.0])))

    assert await embedder.embed(["first", "second"]) == [(1.0, 2.0), (3.0, 4.0)]
    assert server.paths == ["/v1/embeddings"]


async def test_many_texts_go_in_batches_and_a_busy_server_is_asked_again(
    server: Endpoint, embedder: LitellmEmbedder
):
    whole = vectors(*[(number, [float(number)]) for number in range(BATCH)])
    server.will(http.failure(503, "busy"), whole, vectors((0, [9.0])))

    found = await embedder.embed(["text"] * (BATCH + 1))

    assert (len(found), found[-1]) == (BATCH + 1, (9.0,))
    assert [len(sent["input"]) for sent in server.asked] == [BATCH, BATCH, 1]


async def test_no_texts_need_no_call(server: Endpoint, embedder: LitellmEmbedder):
    assert await embedder.embed([]) == []
    assert server.asked == []


async def test_a_missing_vector_is_a_clear_error(server: Endpoint, embedder: LitellmEmbedder):
    server.will(*[vectors((0, [1.0]))] * 6)

    with pytest.raises(ModelError, match="1 vectors for 2 texts"):
        await embedder.embed(["a", "b"])
