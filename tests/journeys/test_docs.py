"""Pages whose blocks are marked to be run, tried from top to bottom on a cluster of their own."""

import json
from pathlib import Path

import pytest

from cluster.demo.sample import git, lay_out
from tests.cluster.pages import PAGES, ROOT, Block, blocks, tried
from tests.journeys.door import MANTA, Door
from tests.journeys.provider import provider, route

pytestmark = [pytest.mark.ray, pytest.mark.pages, pytest.mark.timeout(1200)]
TRIED = [page for page in PAGES if any(block.how == "run" for block in blocks(page))]
BEGINNINGS = {"first-run.md", "real-models.md"}
"""Pages whose reader has neither a model nor a project yet."""


@pytest.mark.parametrize("page", TRIED, ids=lambda page: page.name)
def test_a_page_does_what_it_says(page: Path, tmp_path: Path) -> None:
    with provider() as (url, _):
        door = Door(tmp_path, MANTA_START_TIMEOUT_S="240")
        environment = {
            **door.environment,
            "PATH": f"{Path(MANTA).parent}:{door.environment['PATH']}",
            "GIT_AUTHOR_NAME": "Reader", "GIT_AUTHOR_EMAIL": "reader@localhost",
            "GIT_COMMITTER_NAME": "Reader", "GIT_COMMITTER_EMAIL": "reader@localhost",
        }  # fmt: skip
        try:
            if page.name not in BEGINNINGS:
                choose_model(tmp_path / ".config" / "manta" / "config.toml", url)
                project(tmp_path / "src" / "app")
                tried(Block(page.name, 0, "run", 0, "cd ~/src/app"), tmp_path, environment)
            for block in blocks(page):
                if block.how == "run":
                    tried(block, tmp_path, environment)
        finally:
            door.close()


def choose_model(file: Path, url: str) -> None:
    """The reader's own settings, in which a model was named."""
    file.parent.mkdir(parents=True)
    default = json.loads(route(url))["default"]
    named = [f"{name} = {json.dumps(value)}" for name, value in default.items()]
    file.write_text("\n".join(["[routes.default]", *named, ""]))


def project(place: Path) -> None:
    """The sample repository, with our examples in it."""
    lay_out(place)
    (place / "examples").symlink_to(ROOT / "examples")
    git(place, "config", "core.excludesFile", str(ROOT / ".gitignore"))
