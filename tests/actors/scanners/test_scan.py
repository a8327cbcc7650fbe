"""The scanners in a real sandbox, and what becomes of those that fail."""

from collections.abc import Mapping, Sequence

import pytest

from actors.sandbox.in_memory import InMemoryProvider, answered
from actors.sandbox.protocol import ExecResult, Sandbox, SandboxSpec
from actors.scanners.place import AddedLines
from actors.scanners.scan import MAX_FINDINGS, scan
from orchestration.proof import Finding, Severity

TOKEN = "ghp_" + "Ab3dEf6hIj9kLm2nOp5qRs8tUv1wXy4zAb3d"


def all_lines(files: Mapping[str, str]) -> AddedLines:
    return {path: dict(enumerate(text.split("\n"), start=1)) for path, text in files.items()}


async def scanned(
    sandbox: Sandbox, files: Mapping[str, str], added: AddedLines | None = None
) -> tuple[Finding, ...]:
    for path, text in files.items():
        await sandbox.write_file(path, text.encode())
    lines = all_lines(files) if added is None else added
    return (await scan(sandbox, changes=(), added=lines)).findings


VULNERABLE = {
    "shell": "import subprocess\ndef f(x):\n    subprocess.run('ls ' + x, shell=True)\n",
    "sql": "def f(c, x):\n    c.execute('SELECT * FROM t WHERE a = \\'%s\\'' % x)\n",
    "pickle": "import pickle\ndef f(x):\n    return pickle.loads(x)\n",
    "yaml": "import yaml\ndef f(x):\n    return yaml.load(x)\n",
    "tls": "import requests\ndef f(x):\n    return requests.get(x, verify=False, timeout=5)\n",
    "tar": "import tarfile\ndef f(x):\n    tarfile.open(x).extractall('/srv')\n",
    "eval": "def f(x):\n    return eval(x)\n",
    "leak": f"TOKEN = '{TOKEN}'\n",
    "password": "password = 'correct-horse-battery-9'\n",
    "nosec": "import subprocess\ndef f(x):\n    subprocess.run(x, shell=True)  # nosec\n",
    "allowed": f"TOKEN = '{TOKEN}'  # pragma: allowlist secret\n",
}
HARMLESS = {
    "add": "def add(a: int, b: int) -> int:\n    return a + b\n",
    "run": "import subprocess\ndef f():\n    subprocess.run(['git', 'status'], check=True)\n",
    "sql": "def f(c, x):\n    c.execute('SELECT * FROM t WHERE a = ?', (x,))\n",
    "json": "import json\ndef f(x):\n    return json.loads(x)\n",
    "yaml": "import yaml\ndef f(x):\n    return yaml.safe_load(x)\n",
    "tls": "import requests\ndef f(x):\n    return requests.get(x, timeout=5)\n",
    "tar": "import tarfile\ndef f(x):\n    tarfile.open(x).extractall('/srv', filter='data')\n",
    "env": "import os\nTOKEN = os.environ['TOKEN']\n",
    "assert": "def f(x):\n    assert x\n",
    "hash": "import hashlib\ndef f(x):\n    return hashlib.sha256(x).hexdigest()\n",
}


@pytest.mark.slow
async def test_vulnerable_code_is_found_and_harmless_code_is_not(sandbox: Sandbox) -> None:
    files = {f"src/bad_{name}.py": text for name, text in VULNERABLE.items()}
    files |= {f"src/good_{name}.py": text for name, text in HARMLESS.items()}
    found = await scanned(sandbox, files)
    blocking = {f.file for f in found if f.severity.rank >= Severity.MEDIUM.rank}
    assert blocking == {f"src/bad_{name}.py" for name in VULNERABLE}
    assert TOKEN not in str(found)
    assert [f.severity.rank for f in found] == sorted([f.severity.rank for f in found])[::-1]


@pytest.mark.slow
async def test_only_added_lines_count(sandbox: Sandbox) -> None:
    old = f"import pickle\npickle.loads(x)\nTOKEN = '{TOKEN}'\n"
    found = await scanned(sandbox, {"a.py": old + "y = 1\n"}, {"a.py": {4: "y = 1"}})
    assert found == ()


@pytest.mark.slow
async def test_a_file_that_cannot_be_parsed_is_a_finding(sandbox: Sandbox) -> None:
    (finding,) = await scanned(sandbox, {"-a.py": "def (:\n"})
    assert "bandit did not run" in finding.why
    assert "-a.py" in finding.why


async def answering(code: int, stdout: bytes = b"", stderr: bytes = b"") -> Sandbox:
    async def answer(argv: Sequence[str], files: dict[str, bytes]) -> ExecResult:
        return answered(code, stdout, stderr)

    return await InMemoryProvider(handler=answer).create(SandboxSpec())


@pytest.mark.parametrize(
    ("code", "stdout"), [(1, b""), (127, b""), (0, b""), (0, b"{}"), (0, b'[["a", "x"]]')]
)
async def test_a_scanner_that_fails_is_a_finding(code: int, stdout: bytes) -> None:
    sandbox = await answering(code, stdout, b"No module named \x1b[1mbandit")
    found = await scanned(sandbox, {"a.py": "x = 1\n"})
    absent = {"semgrep"} if code == 127 else set[str]()  # nobody has to have it
    assert {f.source for f in found} == {"bandit", "detect-secrets", "semgrep"} - absent
    assert {f.severity for f in found} == {Severity.MEDIUM}
    assert all("did not run" in f.why for f in found)
    assert "\x1b" not in str(found)


async def test_nothing_added_needs_no_scanner() -> None:
    assert await scanned(await answering(1), {}) == ()


async def test_findings_are_capped_without_hiding_how_bad_they_are() -> None:
    sandbox = await answering(1)
    files = {f"{n}.go": "InsecureSkipVerify: true" for n in range(MAX_FINDINGS + 50)}
    found = await scanned(sandbox, files)
    assert len(found) == MAX_FINDINGS + 1
    assert found[-1].severity is Severity.HIGH
    assert "52 more findings" in found[-1].why


@pytest.mark.parametrize(
    ("path", "bandit", "looked", "missing"),
    [
        ("a.py", 0, ("bandit", "detect-secrets", "manta"), ("semgrep",)),
        ("a.py", 1, ("detect-secrets", "manta"), ("bandit", "semgrep")),
        ("a.md", 0, ("detect-secrets", "manta"), ()),
    ],
)
async def test_it_is_told_which_scanners_looked_and_which_could_not(
    path: str, bandit: int, looked: tuple[str, ...], missing: tuple[str, ...]
) -> None:
    async def answer(argv: Sequence[str], files: dict[str, bytes]) -> ExecResult:
        if argv[0] == "sh":
            return answered(127, b"")
        return answered(bandit, b'{"results": []}') if "bandit" in argv else answered(0, b"[]")

    sandbox = await InMemoryProvider(handler=answer).create(SandboxSpec())
    made = await scan(sandbox, changes=(), added={path: {1: "x = y"}})
    assert (made.scanners, made.missing) == (looked, missing)
