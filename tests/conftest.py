"""The order of tests."""

import pytest


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """What takes longest comes first, so that test processes side by side end together."""
    items.sort(key=lambda item: item.get_closest_marker("ray") is None)
