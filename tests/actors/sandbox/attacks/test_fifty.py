"""None of the fifty attacks is without the test that shows what becomes of it."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from tests.actors.sandbox.attacks.cases import ATTACKS

ROOM = Path(__file__).parents[1]
TESTS = ROOM.parents[1]
PAGE = TESTS.parent / "docs" / "sandboxes.md"
LIKE = {48: 14}
"""What another role's sandbox is safe from is what any other sandbox is safe from."""


@cache
def rows() -> dict[int, str]:
    """The evidence that the page names, by number."""
    found = re.findall(r"^\| (\d+) \| .+? \| (.+) \|$", PAGE.read_text("utf-8"), re.MULTILINE)
    return {int(number): evidence for number, evidence in found}


@cache
def functions(file: Path) -> frozenset[str]:
    tree = ast.parse(file.read_text(encoding="utf-8"))
    kinds = (ast.FunctionDef, ast.AsyncFunctionDef)
    return frozenset(node.name for node in ast.walk(tree) if isinstance(node, kinds))


def test_the_page_lists_them_all() -> None:
    assert list(rows()) == list(range(1, 51))


@pytest.mark.parametrize("number", range(1, 51))
def test_every_attack_has_its_test(number: int) -> None:
    places = re.findall(r"`(.+?)::(\w+)`", rows()[number])
    scripts = [attack for attack in ATTACKS if attack.number == LIKE.get(number, number)]
    assert places or "scripts" in rows()[number]
    assert bool(scripts) or "scripts" not in rows()[number]
    for file, name in places:
        folder = ROOM if (ROOM / file).is_file() else TESTS
        assert name in functions(folder / file), f"{file}::{name}"
