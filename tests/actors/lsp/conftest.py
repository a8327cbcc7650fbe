"""A small project in the toy language, and tools that ask the toy server about it."""

import sys
from collections.abc import AsyncGenerator
from pathlib import Path

import pytest

from actors.lsp.languages import Language
from actors.lsp.tools import LanguageTools

TOY = Path(__file__).with_name("toy_server.py")


def toy(*flags: str) -> Language:
    return Language("toy", (sys.executable, "-I", "-S", str(TOY), *flags), {".toy": "toy"})


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    (root / "bank").mkdir(parents=True)
    (root / "bank/account.toy").write_text("class Account\n  def close\n  def open\n")
    (root / "bank/door.toy").write_text("class Door\n  def close\ndef knock\n")
    (root / "main.toy").write_text("use Account\nuse knock\n")
    return root


@pytest.fixture
async def tools(project: Path) -> AsyncGenerator[LanguageTools]:
    made = LanguageTools(project, [toy()])
    yield made
    await made.close()
