from collections.abc import Callable
from pathlib import Path

import pytest

from actors.git.repository import BareRepository
from tests.actors.git.checkout import Checkout


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    """A user's repository with one commit."""
    made = Checkout(tmp_path / "project")
    made.commit({"README.md": "hello\n", "src/a.py": "x = 1\n"}, "Begin")
    return made


@pytest.fixture
def new_checkout(tmp_path: Path) -> Callable[[str], Checkout]:
    return lambda name: Checkout(tmp_path / name)


@pytest.fixture
async def bare(tmp_path: Path) -> BareRepository:
    return await BareRepository.create(tmp_path / "run.git")
