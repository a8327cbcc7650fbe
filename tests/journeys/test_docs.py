"""Pages whose blocks are marked to be run, tried from top to bottom on the journeys' cluster."""

from pathlib import Path

import pytest

from tests.cluster.pages import blocks, marked_pages, tried
from tests.journeys.door import MANTA, Door

pytestmark = [pytest.mark.ray, pytest.mark.pages, pytest.mark.timeout(1200)]
PAGES = [page for page in marked_pages() if any(block.how == "run" for block in blocks(page))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_a_page_does_what_it_says(page: Path, door: Door, tmp_path: Path) -> None:
    path = f"{Path(MANTA).parent}:{door.environment['PATH']}"
    environment = {
        **door.environment,
        "HOME": str(tmp_path),
        "MANTA_START_TIMEOUT_S": "240",
        "PATH": path,
        "GIT_AUTHOR_NAME": "Reader", "GIT_AUTHOR_EMAIL": "reader@localhost",
        "GIT_COMMITTER_NAME": "Reader", "GIT_COMMITTER_EMAIL": "reader@localhost",
    }  # fmt: skip
    for block in blocks(page):
        if block.how == "run":
            tried(block, tmp_path, environment)
