import pytest

from tests.cluster.desk.conftest import stage
from tests.contracts.desk import repository

__all__ = ["repository", "stage"]


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"
