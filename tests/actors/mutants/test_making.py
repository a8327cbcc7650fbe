import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from actors.mutants.making import MAX_SOURCE, mutants, mutated

EVERY_LINE = range(1, 1000)
HERE = Path(__file__)
SOURCES = sorted(HERE.parents[3].glob("actors/mutants/*.py"))


def faults(source: str, path: str = "a.py", *, limit: int = 100) -> list[tuple[str, str]]:
    made = mutants(source.encode(), path, EVERY_LINE, limit=limit)
    return [(mutant.before, mutant.after) for mutant in made]


PYTHON = {
    "if a < b: pass": ["< -> <="],
    "x = a is not b or c not in d": ["is not -> is", "or -> and", "not in -> in"],
    "return total": ["total -> None"],
    "if found: pass": ["found -> not (found)"],
    "x = a if b else c": ["b -> not (b)"],
    "if not done: pass": ["not done -> done"],
    "x = True": ["True -> False"],
    "x = 2.5": ["2.5 -> 3.5"],
    "x = 'word'": ["word -> "],
    "x = ''": [" -> mutant"],
    "f(a, b)": ["f(a, b) -> pass", "a, b -> b, a"],
    "self.x = y": ["self.x = y -> pass"],
    "raise E('message')": ["raise E('message') -> pass"],
    "x //= y": ["x //= y -> pass", "//= -> *="],
}
SCRIPT = {
    "if (a === b) {}": ["=== -> !=="],
    "if (found) {}": ["found -> !(found)"],
    "return a ?? b;": ["a ?? b -> undefined", "?? -> &&"],
    "const x = !y;": ["!y -> y"],
    "f(a, b);": ["f(a, b); -> ;", "a, b -> b, a"],
    "o.x = y;": ["o.x = y; -> ;"],
    "throw new E('no');": ["throw new E('no'); -> ;"],
    "x++;": ["++ -> --"],
}


@pytest.mark.parametrize(("source", "expected"), PYTHON.items())
def test_faults_of_python(source: str, expected: list[str]) -> None:
    assert [f"{before} -> {after}" for before, after in faults(source)] == expected


@pytest.mark.parametrize("path", ["a.js", "a.mjs", "a.ts", "a.tsx"])
@pytest.mark.parametrize(("source", "expected"), SCRIPT.items())
def test_faults_of_javascript_and_typescript(path: str, source: str, expected: list[str]) -> None:
    assert [f"{before} -> {after}" for before, after in faults(source, path)] == expected


def test_faults_of_go_and_rust() -> None:
    go = "package a\nfunc F(a int) int { if a < 3 && !b { f(a, c) }; return a - 1 }\n"
    assert faults(go, "a.go") == [
        ("<", "<="), ("3", "4"), ("&&", "||"), ("!b", "b"), ("f(a, c)", ";"), ("a, c", "c, a"),
        ("-", "+"), ("1", "2"),
    ]  # fmt: skip
    rust = "fn f(a: i32) -> bool { if a < 3 { g(a); } a == 2 }\n"
    tests = "#[cfg(test)]\nmod tests { fn t() { f(3); } }\n"
    expected = [("<", "<="), ("3", "4"), ("g(a);", ";"), ("==", "!="), ("2", "3")]
    assert faults(rust + tests, "a.rs") == expected


@pytest.mark.parametrize(
    ("path", "source"),
    [
        ("a.py", '"""Says 3."""\nimport x\nfrom y import z\nx: list[3]\n# 1 < 2\n'),
        ("a.py", "@cache(3)\ndef f(a: 'int') -> 'str': ...\n"),
        ("a.py", "logger.info('x %d', 3)\nprint(1, 2)\nself._log.debug(1 < 2)\n"),
        ("a.py", "if __name__ == '__main__': main(1)\nif TYPE_CHECKING: x = 3\n"),
        ("a.py", "assert 1 < 2\n"),
        ("a.ts", 'import x from "y";\ntype T = "a" | 3;\nlet x: 3;\ninterface I { a: 3 }\n'),
        ("a.py", "__all__ = ['a', 'b']\n__all__ += ['c']\n__version__ = '1'\n"),
        ("a.py", "def f(a: 'int' = x) -> list['str']: 'Says 1.'\n"),
        ("a.py", "x: 'int'\ny: Final['str']\ntype A = B['C']\n"),
        ("a.py", "T = TypeVar('T')\nId = typing.NewType('Id', str)\ny = cast('int', x)\n"),
        ("a.py", "if TYPE_CHECKING:\n    from a import b\nelse:\n    b = 1\n"),
        ("a.py", "if sys.version_info >= (3, 12): x = 1\n"),
        ("a.py", "def f(self):\n    raise NotImplementedError('in words')\n"),
        ("a.py", "error = ValueError('in words')\n"),
        ("a.py", "x = f(help='words', description='of ' 'two')\n"),
        ("a.py", "def f(timeout: float = 3.5, wait_s=2): ...\nx = f(delay=1)\n"),
        ("a.d.ts", "export const x = 3;\n"),
        ("a.ts", "declare const x: 3;\ndeclare function f(a = 3): void;\n"),
        ("a.js", "const e = new TypeError('words');\nconst s = Symbol('words');\n"),
        ("a.js", "const o = { timeout: 100, 'delay': 3 };\n"),
        ("a.go", 'package a\nvar E = errors.New("words")\n'),
        ("a.js", "console.log(1 < 2);\n"),
        ("a.rs", '#[derive(x)]\nfn f() { println!("{}", 3); }\n'),
        ("tests/test_a.py", "x = 3\n"),
        ("a.test.js", "const x = 3;\n"),
        ("a.md", "x = 3\n"),
        ("a.py", "x = = 3 < (\n"),
    ],
)
def test_what_no_test_could_show_is_left_alone(path: str, source: str) -> None:
    assert faults(source, path) == []


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("names = ['a']\n", "a"),
        ("x = f(helper='a')\n", "a"),
        ("x = f(retries=3)\n", "3"),
        ("x = f(timeout=timeout < 3)\n", "<"),
        ("def f():\n    raise ValueError\n", "raise ValueError"),
        ("e = ValueError(f('a'))\n", "a"),
        ("x = __all__ + ['a']\n", "a"),
    ],
)
def test_what_only_looks_like_it_is_changed(source: str, wanted: str) -> None:
    assert wanted in {before for before, _ in faults(source)}


def test_only_changed_lines_are_changed() -> None:
    source = b"a = 1\nb = 2\nc = 3\n"
    assert [m.line for m in mutants(source, "a.py", {2})] == [2]
    assert mutants(source, "a.py", ()) == ()


def test_a_limit_takes_from_every_line_first_and_is_the_same_each_time() -> None:
    source = b"".join(b"x = a + b - c * %d\n" % n for n in range(5))
    chosen = mutants(source, "a.py", EVERY_LINE, limit=5, seed="s")
    assert [m.line for m in chosen] == [1, 2, 3, 4, 5]
    assert chosen == mutants(source, "a.py", EVERY_LINE, limit=5, seed="s")
    assert chosen != mutants(source, "a.py", EVERY_LINE, limit=5, seed="t")


def test_an_edit_is_exact_to_the_byte() -> None:
    source = "é = '→'\r\nif é < 3:\r\n    x = 1\r\n".encode()
    edits = {m.after: mutated(source, m) for m in mutants(source, "a.py", {2})}
    assert edits["<="] == source.replace(b"<", b"<=")


def test_a_mutant_of_another_text_is_refused() -> None:
    mutant = mutants(b"x = 3\n", "a.py", {1})[0]
    with pytest.raises(ValueError, match=r"a\.py is not what"):
        mutated(b"y == 3\n", mutant)


@pytest.mark.parametrize("source", [b"x = 3 # \xff\n", b"x = 3\0\n", b"x = 3\n" * MAX_SOURCE])
def test_what_is_no_text_or_too_long_has_no_mutants(source: bytes) -> None:
    assert mutants(source, "a.py", {1}) == ()


def test_lines_that_no_person_wrote_are_left_alone() -> None:
    source = b"x = 3\n" + b"f(1, 2);" * 20_000 + b"\ny = 4\n"
    assert {m.line for m in mutants(source, "a.js", {1, 2, 3})} == {1, 3}
    assert mutants(b"x = 3\n", "a.py", {0, 7}) == ()


@pytest.mark.parametrize(
    "source", [b"\n" + b"(" * 100_000, b"x\n" + b"f(<" * 60_000, b"if x:\n" * 20_000]
)
@pytest.mark.slow
def test_code_that_was_made_to_be_hard_to_read_ends_soon(source: bytes) -> None:
    assert len(mutants(source, "a.py", {1}, limit=5)) <= 5


@pytest.mark.parametrize("path", SOURCES, ids=lambda path: path.name)
def test_mutants_of_real_code_are_code(path: Path) -> None:
    source = path.read_bytes()
    made = mutants(source, path.name, EVERY_LINE, limit=40)
    for mutant in made:
        faulty = mutated(source, mutant)
        assert faulty != source
        ast.parse(faulty)
    assert made or path.name == "__init__.py"


@given(st.text())
def test_no_text_is_too_odd(text: str) -> None:
    source = text.encode(errors="replace")
    for mutant in mutants(source, "a.py", EVERY_LINE):
        assert mutated(source, mutant) != source
