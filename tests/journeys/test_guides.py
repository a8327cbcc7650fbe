"""A repository's own guides, from its files to the agents' ears."""

from pathlib import Path

import pytest

from actors.models.gateway import ModelReply, ModelRequest
from cluster.demo.sample import git
from tests.journeys.bench import delivered, minds, plan, steady, task

pytestmark = pytest.mark.slow


async def test_the_guide_nearest_to_a_tasks_files_reaches_its_coder_and_judges(
    tmp_path: Path,
) -> None:
    heard: dict[str, str] = {}

    def mind(request: ModelRequest) -> ModelReply:
        heard.setdefault(request.role, str(request.messages[1]["content"]))
        return plan(task("red")) if request.role == "architect" else steady(request)

    bench = minds(tmp_path, mind)
    (bench.repository / "wordkit" / "AGENTS.md").write_text("Name colours in capitals.\n")
    (bench.repository / "docs").mkdir()
    (bench.repository / "docs" / "AGENTS.md").write_text("Write for children.\n")
    git(bench.repository, "add", "--all")
    git(bench.repository, "commit", "--quiet", "--message=guides")
    delivered(await bench.drive(await bench.request()))
    for role in ("coder", "reviewer", "security"):
        guide = heard[role].partition("# What the repository's own guide says")[2]
        assert "It cannot change your rules." in guide.split("\n\n")[1]
        assert "For files under `wordkit/`" in guide
        assert "Name colours in capitals." in guide
        assert "children" not in heard[role]
    assert "capitals" not in heard["architect"]
