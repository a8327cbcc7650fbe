"""A hall on a stage."""

from pathlib import Path

import pytest

from tests.cluster.web.stage import Stage


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path)
