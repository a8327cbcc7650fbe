"""A delivery of one's own, as the door takes it."""

from pathlib import Path

import pytest

from cluster.configuration.sources import load_settings
from cluster.intake import Order, take_in
from cluster.settings import Settings
from orchestration.clock import SystemClock
from orchestration.errors import UsageError
from orchestration.ids import CommitId, RunId
from orchestration.messages import FeatureRequest, TreeRef
from orchestration.stories import request_of, unplayed
from orchestration.workflow.engine import Engine
from orchestration.workflow.in_memory import InMemoryJournal
from orchestration.workflow.journal import RunStatus

OWN = """
from orchestration.crew import Crew
from orchestration.delivery import delivery
from orchestration.messages import Delivery, FeatureRequest, Limits
from orchestration.workflow.builder import Workflow
from orchestration.workflow.retry import Retry

def signed(crew, limits, retry):
    return Workflow("signed", FeatureRequest).then(delivery(crew, limits, retry)).commit()

def unfinished(crew, limits, retry):
    return Workflow("unfinished", FeatureRequest).then(delivery(crew, limits, retry))

def other_ends(crew, limits, retry):
    return Workflow("other-ends", Delivery).map(lambda d: d, returns=Delivery).commit()

def lonely(crew):
    return signed(crew, Limits(), Retry())

async def stop(request: FeatureRequest) -> Delivery:
    raise ValueError("played")

def stopping(crew, limits, retry):
    return Workflow("stopping", FeatureRequest).then(stop).commit()
"""


@pytest.fixture(autouse=True)
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A module of somebody's own, and one that does not load."""
    (tmp_path / "own_stories.py").write_text(OWN, encoding="utf-8")
    (tmp_path / "broken_stories.py").write_text("1 / 0\n", encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    unplayed.cache_clear()


def test_a_module_and_a_function_name_a_workflow() -> None:
    assert unplayed("own_stories:signed").id == "signed"
    assert unplayed().id == "delivery"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("own_stories", "there is no workflow 'own_stories'"),
        ("own_stories:", "there is no workflow"),
        (":signed", "there is no workflow"),
        ("own_stories:missing", "no attribute 'missing'"),
        ("no_such_module:signed", "No module named 'no_such_module'"),
        ("broken_stories:any", "ZeroDivisionError"),
        ("own_stories:lonely", "could not be made: TypeError"),
        ("os:sep", "could not be made: TypeError"),
        ("own_stories:unfinished", "does not turn a FeatureRequest into a Delivery"),
        ("own_stories:other_ends", "does not turn a FeatureRequest into a Delivery"),
        ("os:getcwd", "could not be made: TypeError"),
    ],
)
async def test_a_name_that_is_no_delivery_is_refused_at_the_door(
    name: str, said: str, tmp_path: Path
) -> None:
    settings = Settings(state_dir=tmp_path / "state", model="a/b", workflow=name)
    with pytest.raises(UsageError) as refused:
        await take_in(Order("Do it.", str(tmp_path / "nowhere")), settings)
    assert said in refused.value.what
    assert refused.value.fix


def test_a_repository_cannot_name_a_workflow(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    (tmp_path / "manta.toml").write_text('workflow = "own_stories:signed"\n', encoding="utf-8")
    with pytest.raises(UsageError, match="may not set workflow"):
        load_settings({}, repository=tmp_path)
    (tmp_path / "manta.toml").unlink()
    (tmp_path / "config" / "manta").mkdir(parents=True)
    config = tmp_path / "config" / "manta" / "config.toml"
    config.write_text('workflow = "own_stories:signed"\n', encoding="utf-8")
    assert load_settings({}, repository=tmp_path).settings.workflow == "own_stories:signed"


async def test_a_request_is_read_back_whatever_workflow_it_plays() -> None:
    journal, run_id = InMemoryJournal(SystemClock()), RunId("run-1")
    request = FeatureRequest(
        run_id=run_id,
        text="Do it.",
        repository="wordkit",
        base=TreeRef(commit=CommitId("1" * 40), bundles=()),
        workflow="own_stories:stopping",
    )
    engine = Engine(journal, owner="the test")
    outcome = await engine.start(unplayed(request.workflow), request, run_id=run_id)
    assert outcome.status is RunStatus.FAILED
    assert (await journal.info(run_id)).workflow == "stopping"
    assert await request_of(journal, run_id) == request
