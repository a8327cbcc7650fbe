import pytest

from actors.vector_store.in_memory import InMemoryStore
from tests.contracts.vector_store import Make, VectorStoreContract


class TestInMemoryStore(VectorStoreContract):
    @pytest.fixture
    def make(self) -> Make:
        return lambda: InMemoryStore(dimension=3)
