"""The engine's whole suite on a store that loses acknowledgements at random."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SUITE = Path(__file__).parents[1] / "orchestration" / "workflow"


@pytest.mark.faults
@pytest.mark.parametrize("share", ["0.02", "0.1", "0.4"])
def test_every_test_of_the_engine_holds_when_acknowledgements_get_lost(share: str) -> None:
    played = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-m", "not slow and not faults", str(SUITE)],
        env=os.environ | {"MANTA_TEST_LOSES": share},
        capture_output=True,
        text=True,
        check=False,
    )
    assert played.returncode == 0, played.stdout[-6000:]
