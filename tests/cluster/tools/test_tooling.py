from pathlib import Path

import pytest

from cluster.tools.tooling import LEAST_FILES, Tooling

REPOSITORY = '{"mcpServers": {"lint": {"command": "python", "args": ["lint.py"]}}}'


@pytest.mark.parametrize(("lsp", "least"), [("auto", LEAST_FILES), ("on", 1)])
def test_language_servers_come_where_they_are_worth_it(
    tmp_path: Path, lsp: str, least: int
) -> None:
    tooling = Tooling(lsp="auto" if lsp == "auto" else "on", language_servers=2)
    languages = tooling.equipment(tmp_path).languages
    assert languages
    assert languages.least == least
    places = [languages.slots.take() for _ in range(3)]
    assert [place is None for place in places] == [False, False, True]
    assert places[0]
    places[0].release()
    assert languages.slots.take()


def test_nothing_is_added_unless_asked_for(tmp_path: Path) -> None:
    equipment = Tooling().equipment(tmp_path)
    assert (equipment.languages, equipment.servers, equipment.repository) == (None, None, ())


def test_a_trusted_repositorys_servers_are_ready_to_run_inside(tmp_path: Path) -> None:
    (lint,) = Tooling(repository=REPOSITORY).equipment(tmp_path).repository
    assert lint.command == ("python", "lint.py")
