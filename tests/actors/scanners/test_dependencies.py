import pytest

from actors.scanners.dependencies import new_dependencies


@pytest.mark.parametrize(
    ("path", "lines", "names"),
    [
        ("requirements-dev.txt", ["flask==3.0", "# note", "requests[socks]>=2", "-r x.txt"],
         "flask, requests"),
        ("pyproject.toml", ['version = "1.0"', '  "httpx>=0.28",', 'line-length = 100'], "httpx"),
        ("Cargo.toml", ['serde = "1"', 'x = { git = "https://x" }', 'name = "a"'], "serde, x"),
        ("web/package.json", ['"left-pad": "^1.3.0",', '"test": "jest"', '"@a/b": "1"'],
         "left-pad, @a/b"),
        ("go.mod", ["go 1.22", "\tgithub.com/a/b v1.2.3"], "github.com/a/b"),
    ],
)  # fmt: skip
def test_new_packages_are_named(path: str, lines: list[str], names: str) -> None:
    (finding,) = new_dependencies({path: dict(enumerate(lines, start=1))})
    assert finding.why == f"It depends on code from elsewhere: {names}."


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("README.md", "flask==3.0"),
        ("pyproject.toml", 'description = "does 3 things"'),
        ("package.json", '"version": "1.0.0"'),
    ],
)
def test_other_lines_name_none(path: str, line: str) -> None:
    assert list(new_dependencies({path: {1: line}})) == []
