import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from cluster.configuration.sources import Loaded, load_settings
from cluster.jobs.queued import in_line, withdrawn
from cluster.jobs.reaching import VARIABLE, reached
from cluster.settings import Settings
from orchestration.errors import InfrastructureError, UsageError
from orchestration.ids import RunId
from tests.cluster.jobs.dashboard import Dashboard, dashboard


@pytest.fixture(autouse=True)
def own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Reaching a cluster turns this process to it; afterwards it is turned away again."""
    for name in ("RAY_ADDRESS", VARIABLE, "RAY_AUTH_MODE", "RAY_AUTH_TOKEN_PATH", "MANTA_ADDRESS"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    for name in ("XDG_CONFIG_HOME", "XDG_STATE_HOME"):
        monkeypatch.setenv(name, str(tmp_path))


@pytest.fixture
def ray_dashboard() -> Iterator[Dashboard]:
    with dashboard() as opened:
        yield opened


def loaded(address: str | None = None) -> Loaded:
    return load_settings({"address": address})


async def test_a_dashboard_is_reached_by_flag_and_by_rays_own_variable(
    ray_dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
):
    async with reached(loaded(ray_dashboard.url + "/")) as by_flag:
        assert by_flag.dashboard_url == os.environ[VARIABLE] == ray_dashboard.url
    monkeypatch.setenv(VARIABLE, ray_dashboard.url)
    monkeypatch.setenv("RAY_ADDRESS", "nobody.invalid:6379")
    async with reached(loaded()) as by_variable:
        assert by_variable.dashboard_url == ray_dashboard.url
    assert not (Path(os.environ["XDG_STATE_HOME"]) / "manta").exists()


async def test_a_flag_stands_above_rays_variable(
    ray_dashboard: Dashboard, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(VARIABLE, ray_dashboard.url)
    with pytest.raises(UsageError, match="is no address of a Ray cluster"):
        async with reached(loaded("nonsense")):
            pass


async def test_nobody_there_is_told_at_once_with_the_way_through_a_tunnel():
    with socket.create_server(("127.0.0.1", 0)) as taken:
        url = f"http://127.0.0.1:{taken.getsockname()[1]}"
    with pytest.raises(InfrastructureError, match=r"no Ray dashboard answers at .*ssh -L 8265"):
        async with reached(loaded(url)):
            pass


@pytest.mark.parametrize("address", ["ray://head:10001", "http://", "ftp://head/"])
async def test_another_kind_of_address_is_refused(address: str):
    with pytest.raises(UsageError, match="is no address of a Ray dashboard — such as http"):
        async with reached(loaded(address)):
            pass


async def test_without_a_cluster_here_nobody_is_in_line(tmp_path: Path):
    settings = Settings(state_dir=tmp_path)
    assert await in_line(settings) == []
    assert not await withdrawn(settings, RunId("greet"))
