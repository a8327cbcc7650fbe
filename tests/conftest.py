"""The order of tests, and what is loaded for them."""

import gc
import re
from pathlib import Path

import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Whoever does not want any test of a module does not wait for what it imports.

    Marks are read as text, and only expressions that join what is not wanted by `and`.
    """
    if " or " in config.option.markexpr or not collection_path.match("test_*.py"):
        return None
    whole = re.search(
        r"^pytestmark = (\[[^\]]*\]|.*)", collection_path.read_text("utf-8"), re.MULTILINE
    )
    marks = re.findall(r"pytest\.mark\.(\w+)", whole[1]) if whole else []
    unwanted = re.findall(r"not (\w+)", config.option.markexpr)
    return not set(unwanted).isdisjoint(marks) or None


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that test processes side by side end together."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)


def pytest_collection_finish() -> None:
    """What importing made stays for good: no search for garbage walks through it again."""
    gc.collect()
    gc.freeze()
