"""The law of the house: floors, sizes, names, doors, and what may lie at the top."""

import ast
import functools
import importlib
import pickle  # noqa: TID251 - to see that errors survive it
import re
import subprocess
import sys
from pathlib import Path

import pytest

from orchestration.errors import MantaError

ROOT = Path(__file__).parent.parent
FLOORS = ("orchestration", "actors", "cluster")
NOT_OURS = "cluster/demo/repository"
"""The sample repository obeys its own law."""
FORBIDDEN_NAMES = {"utils", "common", "helpers", "base", "manager", "impl", "types", "misc"}
TOP_LEVEL = {
    "actors", "benchmarks", "cluster", "docs", "examples", "orchestration", "tests",
    "AGENTS.md", "CHANGELOG.md", "LICENSE", "Makefile", "README.md", "pyproject.toml",
    "requirements.lock",
}  # fmt: skip
NESTING = (ast.If, ast.For, ast.AsyncFor, ast.While, ast.With, ast.AsyncWith, ast.Try, ast.Match)


def modules() -> list[Path]:
    found = [p for floor in FLOORS for p in sorted((ROOT / floor).rglob("*.py"))]
    return [p for p in found if NOT_OURS not in p.as_posix()]


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


@functools.cache
def functions() -> list[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    return [
        (f"{path.relative_to(ROOT)}:{node.lineno} {node.name}", node)
        for path in modules()
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


def body_lines(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    start = node.body[0]
    documented = ast.get_docstring(node) is not None and len(node.body) > 1
    first = node.body[1].lineno if documented else start.lineno
    return (node.end_lineno or first) - first + 1


def depth(node: ast.AST, level: int = 0) -> int:
    deepest = level
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.Lambda):
            continue
        is_elif = isinstance(node, ast.If) and isinstance(child, ast.If) and child in node.orelse
        deeper = level + (isinstance(child, NESTING) and not is_elif)
        deepest = max(deepest, depth(child, deeper))
    return deepest


def test_only_what_belongs_there_lies_at_the_top() -> None:
    tracked = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout.split("\n")
    top = {line.split("/")[0] for line in tracked if line}
    assert {name for name in top if not name.startswith(".")} <= TOP_LEVEL


def test_modules_stay_small() -> None:
    sizes = {p: len(p.read_text(encoding="utf-8").splitlines()) for p in modules()}
    assert {str(p.relative_to(ROOT)): n for p, n in sizes.items() if n > 400} == {}
    assert sorted(sizes.values())[len(sizes) // 2] <= 130


def test_functions_stay_short_and_flat() -> None:
    long = {where: n for where, node in functions() if (n := body_lines(node)) > 50}
    deep = {where: n for where, node in functions() if (n := depth(node)) > 3}
    assert (long, deep) == ({}, {})


def test_nine_functions_of_ten_fit_into_thirty_lines() -> None:
    lengths = sorted(body_lines(node) for _, node in functions())
    assert lengths[len(lengths) * 9 // 10] <= 30


def test_no_room_is_called_by_a_name_that_says_nothing() -> None:
    assert [p for p in modules() if p.stem in FORBIDDEN_NAMES] == []


def test_rooms_are_at_most_two_below_their_floor() -> None:
    assert [p for p in modules() if len(p.parent.relative_to(ROOT).parts) > 3] == []


def test_no_first_party_import_hides_inside_a_function() -> None:
    hidden = [
        where
        for where, function in functions()
        for node in ast.walk(function)
        if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in FLOORS
    ]
    assert hidden == []


def test_every_room_says_what_belongs_in_it() -> None:
    silent = [
        str(p.relative_to(ROOT))
        for p in modules()
        if parsed(p).body and not ast.get_docstring(parsed(p))
    ]
    assert silent == []


def test_suppressions_are_few_and_say_why() -> None:
    lines = [
        (p, line)
        for p in modules()
        for line in p.read_text(encoding="utf-8").splitlines()
        if re.search(r"# (noqa|type: ignore|pyright: ignore)", line)
    ]
    total = sum(len(p.read_text(encoding="utf-8").splitlines()) for p in modules())
    bare = [f"{p.relative_to(ROOT)}: {line.strip()}" for p, line in lines if " - " not in line]
    assert [b for b in bare if "reportAttributeAccessIssue" not in b] == []
    assert len(lines) <= total / 250


def test_the_lock_names_no_index_and_pins_every_file_by_hash() -> None:
    for lock in (ROOT / "requirements.lock", ROOT / "cluster/docker/sandbox.lock"):
        text = lock.read_text(encoding="utf-8")
        assert "--index-url" not in text
        assert "://" not in text
        pins = re.findall(r"^[a-z0-9][\w.-]*==", text, re.MULTILINE)
        assert len(pins) <= text.count("--hash=sha256:")


def every_error() -> list[type[MantaError]]:
    heavy = re.compile(r"^(import|from) (ray|litellm|pymilvus|milvus_lite|e2b|daytona|mcp)", re.M)
    for path in modules():
        text = path.read_text(encoding="utf-8")
        if re.search(r"class \w+\(.*(Error|MantaError)", text) and not heavy.search(text):
            importlib.import_module(".".join(path.relative_to(ROOT).with_suffix("").parts))
    found: list[type[MantaError]] = []
    waiting: list[type[MantaError]] = [MantaError]
    while waiting:
        kind = waiting.pop()
        found.append(kind)
        waiting += kind.__subclasses__()
    return found


def test_every_error_survives_pickling_with_all_it_knows() -> None:
    for kind in every_error():
        error = kind("what", "fix", "detail", 3)
        again = pickle.loads(pickle.dumps(error))
        assert (type(again), again.what, again.fix, again.details) == (
            kind, "what", "fix", ("detail", 3),
        ), kind  # fmt: skip
        assert str(again) == "what — fix", kind


@pytest.mark.slow
@pytest.mark.parametrize(
    ("room", "forbidden"),
    [
        ("orchestration.delivery", ["ray", "litellm", "pymilvus", "sqlalchemy", "httpx"]),
        ("actors.coder", ["ray", "litellm", "pymilvus", "sqlalchemy", "mcp", "e2b", "daytona"]),
        ("actors.supervisor", ["ray", "litellm", "pymilvus", "sqlalchemy"]),
        ("cluster.worker", ["litellm", "pymilvus", "milvus_lite", "psycopg"]),
    ],
)
def test_a_process_holds_only_what_it_uses(room: str, forbidden: list[str]) -> None:
    code = f"import sys, {room}; print([m for m in {forbidden!r} if m in sys.modules])"
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code],
        cwd=ROOT, capture_output=True, text=True, check=True, timeout=60,
    )  # fmt: skip
    assert done.stdout.strip() == "[]"


@pytest.mark.slow
def test_imports_only_go_down() -> None:
    done = subprocess.run(
        [str(Path(sys.executable).parent / "lint-imports"), "--no-logo"],
        cwd=ROOT, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:]
