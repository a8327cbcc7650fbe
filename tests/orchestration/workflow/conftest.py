"""A stage for every test."""

import pytest

from orchestration.workflow import storage
from tests.orchestration.workflow.stage import LOSES, Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()


@pytest.fixture(autouse=LOSES > 0)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again at once for an acknowledgement that was lost on purpose."""
    monkeypatch.setattr(storage, "_PATIENCE_S", (0.0,))
