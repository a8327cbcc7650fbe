"""One local Ray cluster for all journeys."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.demo.sample import HERE, RECORDING, lay_out
from tests.journeys.door import Door

REQUEST = HERE / "request.txt"


@pytest.fixture(scope="session")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    opened = Door(tmp_path_factory.mktemp("door"))
    yield opened
    opened.close()


@pytest.fixture
def wordkit(tmp_path: Path) -> Path:
    """A fresh copy of the sample repository."""
    place = tmp_path / "wordkit"
    lay_out(place)
    return place


def recorded(repository: Path, *more: str) -> list[str]:
    """Arguments of the sample's run, played back."""
    return [
        "run", REQUEST.read_text(encoding="utf-8"),
        "--repo", str(repository), "--replay", str(RECORDING), *more,
    ]  # fmt: skip
