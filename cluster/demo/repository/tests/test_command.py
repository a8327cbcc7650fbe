from pathlib import Path

import pytest
from wordkit.__main__ import main


def test_count_prints_the_number_of_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "poem.txt"
    file.write_text("roses are red", encoding="utf-8")
    assert main(["count", str(file)]) == 0
    assert capsys.readouterr().out == "3\n"


def test_an_unknown_command_prints_the_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["dance"]) == 2
    assert "usage" in capsys.readouterr().err
