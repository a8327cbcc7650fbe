"""What every desk promises. A plug's test file subclasses this and says how to reach a stage."""

from pathlib import Path

import pytest

from cluster.demo.sample import git
from cluster.desk.protocol import Desk
from cluster.desk.wishing import Wishes
from cluster.intake import Order
from orchestration.approval import Rule
from orchestration.errors import ConflictError, UsageError
from orchestration.ids import RunId
from orchestration.messages import Budget
from tests.cluster.web.stage import Stage

TEXT = "Add a greeting."


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    """A small project with a test."""
    place = tmp_path / "greeter"
    (place / "tests").mkdir(parents=True)
    (place / "greeter.py").write_text("def greet():\n    return 'hello'\n", encoding="utf-8")
    (place / "tests" / "test_greeter.py").write_text(
        "from greeter import greet\n\n\ndef test_greet():\n    assert greet() == 'hello'\n",
        encoding="utf-8",
    )
    git(place, "init", "--quiet", "--template=", "--initial-branch=main")
    git(place, "add", "--all")
    git(place, "commit", "--quiet", "--message=feat: greet")
    return place


class DeskContract:
    """The fixture `desk` returns one over the stage."""

    async def test_an_order_becomes_a_run_that_is_driven(
        self, desk: Desk, stage: Stage, repository: Path
    ) -> None:
        wishes = Wishes(approve=("delivery",), budget=Budget(usd=2.0), test_command="pytest -q")
        order = Order(TEXT, str(repository), run_id="one")
        begun = await desk.submit(order, wishes)
        (request,) = stage.started
        assert (begun.run_id, begun.is_new) == ("one", True)
        assert (request.run_id, request.text, request.repository) == ("one", TEXT, "greeter")
        assert request.policy.rule("delivery") is Rule.ASK
        assert (request.budget.usd, request.test_command) == (2.0, "pytest -q")
        (bundle,) = request.base.bundles
        assert await stage.journal.get_blob(bundle)

    async def test_the_same_order_again_attaches_and_another_one_conflicts(
        self, desk: Desk, stage: Stage, repository: Path
    ) -> None:
        stage.drives = True
        order = Order(TEXT, str(repository), run_id="one")
        await desk.submit(order, Wishes(approve=("plan",)))
        again = await desk.submit(order)
        assert (again.run_id, again.is_new) == ("one", False)
        assert len(stage.started) == 1
        with pytest.raises(ConflictError, match="another run one"):
            await desk.submit(Order("Something else.", str(repository), run_id="one"))

    async def test_a_wish_never_makes_the_hall_less_careful(
        self, desk: Desk, stage: Stage, repository: Path
    ) -> None:
        stage.settle(approve=("plan",), allow=("tests",), budget=Budget(usd=1.0, tokens=50))
        wishes = Wishes(approve=("tests",), budget=Budget(usd=9.0, tokens=20, seconds=60.0))
        await desk.submit(Order(TEXT, str(repository)), wishes)
        (request,) = stage.started
        assert request.policy.rule("plan") is request.policy.rule("tests") is Rule.ASK
        assert request.budget == Budget(usd=1.0, tokens=20, seconds=60.0)

    @pytest.mark.parametrize(
        ("text", "run_id", "wishes", "told"),
        [
            (" ", None, Wishes(), "empty"),
            ("x" * 20_001, None, Wishes(), "20000"),
            (TEXT, "No Way", Wishes(), "No Way"),
            (TEXT, None, Wishes(approve=("lunch",)), "lunch"),
        ],
    )
    async def test_what_cannot_be_meant_is_refused(
        self, desk: Desk, stage: Stage, repository: Path,
        text: str, run_id: RunId | None, wishes: Wishes, told: str,
    ) -> None:  # fmt: skip
        with pytest.raises(UsageError, match=told):
            await desk.submit(Order(text, str(repository), run_id=run_id), wishes)
        assert stage.started == []
