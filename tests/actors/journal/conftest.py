from collections.abc import Iterator

import pytest

from tests.actors.journal.postgres_server import Server, running_server


@pytest.fixture(scope="module")
def postgres() -> Iterator[Server]:
    with running_server() as server:
        yield server
