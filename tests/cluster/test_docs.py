from pathlib import Path

import click
import pytest

from tests.cluster.pages import PAGES, ROOT, Block, blocks, named, told, tried, understood

PAGE = """\
Words.

<!-- run -->
```sh
export COLOUR=blue
mkdir -p there; cd there
```

<!-- run: exit 3 -->
    test "$COLOUR $(basename "$PWD")" = "blue there"
    exit 3

<!-- check -->
```sh
MODEL=x manta run "Add it" \\
    --repo .   # here
```

    not marked
"""


@pytest.fixture
def page(tmp_path: Path) -> list[Block]:
    file = tmp_path / "page.md"
    file.write_text(PAGE)
    return list(blocks(file))


def test_every_block_of_commands_says_how_it_is_tried(subtests: pytest.Subtests) -> None:
    for page in PAGES:
        with subtests.test(page.name):
            assert [f"{b.page}:{b.line}" for b in blocks(page) if not b.how] == []


def test_who_is_said_to_try_a_block_is_there() -> None:
    named = {b.how.removeprefix("by ") for page in PAGES for b in blocks(page) if "by " in b.how}
    assert named
    assert all((ROOT / name).is_file() for name in named)


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_command_of_a_page_is_one_that_there_is(page: Path) -> None:
    for block in blocks(page):
        for words in block.commands:
            understood(words)
    for words in told(page):
        named(words)


def test_blocks_are_found_with_how_they_are_tried(page: list[Block]) -> None:
    assert [(b.how, b.exit_code) for b in page] == [("run", 0), ("run", 3), ("check", 0)]
    assert page[2].commands == [["run", "Add it", "--repo", "."]]


def test_blocks_go_on_where_the_one_before_them_stood(page: list[Block], tmp_path: Path) -> None:
    for block in page[:2]:
        tried(block, tmp_path, {"PATH": "/usr/bin:/bin"})

    with pytest.raises(AssertionError, match="ended with 3"):
        tried(Block("p", 1, "run", 0, "exit 3"), tmp_path, {"PATH": "/usr/bin:/bin"})


@pytest.mark.parametrize("words", [["nonsense"], ["show", "RUN", "--nonsense"], ["memory", "x"]])
def test_what_there_is_not_is_told(words: list[str]) -> None:
    with pytest.raises(click.UsageError):
        understood(words)
