"""The Python API: a thin face of the desk."""

import subprocess
import sys
from contextlib import aclosing
from pathlib import Path

import pytest

from cluster import Manta
from cluster.demo.sample import git
from cluster.settings import Settings
from orchestration.errors import ConflictError, InfrastructureError, UsageError
from orchestration.messages import Budget
from tests.cluster.desk.conftest import served
from tests.cluster.web.stage import RUN, TOKEN, Stage
from tests.contracts.desk import repository, told_by

__all__ = ["repository"]


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "state")


@pytest.fixture
def manta(stage: Stage) -> Manta:
    return Manta(stage.desk)


async def test_a_run_is_submitted_decided_followed_and_fetched(
    manta: Manta, stage: Stage, tmp_path: Path
) -> None:
    home = await stage.deliver(tmp_path / "there")
    run = manta.run(RUN)
    async with aclosing(run.events()) as events:
        assert [event async for event in events] == await told_by(stage)
    detail = await run.wait()
    assert (detail.run.status, detail.delivery) == ("done", stage.crew.delivered)
    assert await run.fetch(home) == f"manta/{RUN}"
    assert await run.fetch(home, branch="mine") == "mine"
    git(home, "cat-file", "-e", "mine:tests/test_bye.py")
    assert (await run.evidence()).branch == "manta/run"
    assert "def bye(name):" in await run.diff()
    assert not await run.cancel()
    assert [row.run_id for row in await manta.runs()] == [RUN]


async def test_wishes_travel_as_they_were_said(
    manta: Manta, stage: Stage, repository: Path
) -> None:
    run = await manta.submit(
        "Add it.", repo=repository, run_id="one", approve=["plan"], budget="5usd,2h", model="a/b"
    )
    (request,) = stage.started
    assert (run.id, request.budget) == ("one", Budget(usd=5.0, seconds=7200.0))
    assert request.policy.rule("plan") == "ask"
    assert '"a/b"' in request.brain


async def test_a_plan_is_edited_a_change_is_wanted_and_a_no_ends_it(
    manta: Manta, stage: Stage
) -> None:
    stage.drives = True
    await stage.start()
    run = manta.run(RUN)
    await run.request_changes("Smaller.", by="Ada")
    assert stage.crew.notes == ["Smaller."]
    mine = (await run.plan()).model_copy(update={"summary": "Mine."})
    (question,) = (await run.look()).questions
    assert (await run.approve(plan=mine, digest=question.digest)).goes_on
    assert (await run.plan()).summary == "Mine."
    await run.reject(by="Ada")
    detail = await run.wait()
    assert (detail.run.status, detail.error and detail.error.what) == ("failed", "rejected by Ada")
    with pytest.raises(ConflictError):
        await run.approve()


async def test_a_hall_is_opened_by_its_address_and_token(stage: Stage) -> None:
    await stage.start()
    async with served(stage.app) as address:
        async with Manta.open(hall=address, token=TOKEN) as manta:
            assert (await manta.run(RUN).wait()).run.status == "suspended"
        async with Manta.open(settings=Settings(hall=address)) as manta:
            with pytest.raises(InfrastructureError, match="wants a token"):
                await manta.runs()


def test_what_is_no_id_of_a_run_is_told_at_once(manta: Manta) -> None:
    with pytest.raises(UsageError, match="No Way"):
        manta.run("No Way")


@pytest.mark.slow
def test_whoever_imports_the_package_does_not_load_the_api_nor_the_api_ray() -> None:
    code = (
        "import sys, cluster; assert 'cluster.manta' not in sys.modules; "
        "from cluster import Manta; assert 'ray' not in sys.modules; "
        "assert not hasattr(cluster, 'Nothing')"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
