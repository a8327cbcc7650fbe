"""A stage for every test."""

import pytest

from tests.orchestration.workflow.stage import Stage


@pytest.fixture
def stage() -> Stage:
    return Stage()
