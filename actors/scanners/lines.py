"""Added lines that deserve a look in any language: our own few patterns, no sandbox needed."""

import re
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from actors.scanners.place import AddedLines
from orchestration.kinds import is_test_path
from orchestration.proof import Finding, Severity

_PYTHON = {".py", ".pyi", ".pyx"}
_SCRIPT = {".js", ".mjs", ".cjs", ".jsx", ".ts", ".mts", ".cts", ".tsx", ".vue", ".svelte"}
_SHELL = {".sh", ".bash", ".zsh", ".yml", ".yaml", "", ".mk", ".json"}
_CODE = _PYTHON | _SCRIPT | {".go", ".rs", ".rb", ".java", ".kt", ".c", ".h", ".cc", ".cpp", ".cs"}
_PROSE = {".md", ".rst", ".txt"}
MAX_LINE = 2000
"""Characters looked at; longer lines are generated."""


class _Pattern(NamedTuple):
    pattern: re.Pattern[str]
    suffixes: set[str]
    severity: Severity
    why: str
    fix: str = ""


def _code(
    pattern: str, suffixes: set[str], severity: Severity, why: str, fix: str = ""
) -> _Pattern:
    return _Pattern(re.compile(pattern), suffixes, severity, why, fix)


_EVERYWHERE = (
    _code(
        r"[\u202a-\u202e\u2066-\u2069]", set(), Severity.HIGH,
        "A character that reorders text on screen, so that the code reads unlike it runs.",
        "remove the control character",
    ),
)  # fmt: skip
_PATTERNS = (
    _code(
        r"PYTEST_CURRENT_TEST|PYTEST_VERSION|['\"]_?pytest['\"]\s+(not\s+)?in\s+sys\.modules"
        r"|NODE_TEST_CONTEXT|JEST_WORKER_ID|VITEST_(WORKER|POOL)_ID|\.git/manta-",
        _CODE, Severity.HIGH, "The code asks whether it is under test.",
        "make it behave the same everywhere",
    ),
    _code(
        r"^\s*(import|from)\s+(_pytest|pytest|pluggy)\b", _PYTHON, Severity.MEDIUM,
        "Code outside the tests imports the test runner.", "keep it in the tests",
    ),
    _code(
        r"--- (PASS|FAIL|SKIP):|\\x16(===|---)|test result: ok|['\"]ok [0-9]+ -",
        _CODE, Severity.HIGH, "It can print what a test runner says.", "say it in other words",
    ),
    _code(
        r"\bsyscall\.Exit\s*\(|\bos\.Exit\s*\(0|\bprocess::exit\s*\(0|libc::_?exit\s*\(",
        {".go", ".rs"}, Severity.MEDIUM,
        "It can end a test run as if all were well.", "return an error instead",
    ),
    _code(
        r"\bgc\.(get_objects|get_referrers)\s*\(|\.pluginmanager\b|\b__main__\.\w+\s*=[^=]",
        _PYTHON, Severity.HIGH, "It can look into the test runner and change what it says.",
        "keep to the objects that are passed in",
    ),
    _code(
        r"\bos\._exit\s*\(|\batexit\.(register|_)|sys\.(settrace|_getframe)\b"
        r"|process\.(reallyExit|exit\s*=)", _CODE, Severity.MEDIUM,
        "It can cut a test run short or look into the runner.", "return or raise instead",
    ),
    _code(
        r"rejectUnauthorized['\"]?\s*:\s*false|NODE_TLS_REJECT_UNAUTHORIZED|InsecureSkipVerify:\s*true"
        r"|danger_accept_invalid_certs\(true|CERT_NONE|_create_unverified_context"
        r"|check_hostname\s*=\s*False|verify\s*=\s*False|ssl\s*=\s*False",
        _CODE, Severity.HIGH, "Certificates are not checked.", "leave TLS verification on",
    ),
    _code(
        r"\b(curl|wget)\b[^|;&]*\|\s*(sudo\s+)?(ba|z|da)?sh\b", _SHELL | _CODE, Severity.HIGH,
        "A download is run unseen.", "pin it by hash, or name a package",
    ),
    _code(
        r"(exec|eval|compile)\s*\(.*(b64decode|fromhex|decompress|urlopen|requests\.get)",
        _PYTHON, Severity.HIGH, "Hidden or downloaded text is run as code.", "write the code out",
    ),
    _code(
        r"['\"]verify_signature['\"]\s*:\s*False|\bjwt\.decode\s*\([^)]*verify\s*=\s*False"
        r"|algorithms?\s*[=:]\s*\[?\s*['\"]none['\"]",
        _CODE, Severity.HIGH, "A signature is not checked.", "check it, with a fixed algorithm",
    ),
    _code(
        r"Access-Control-Allow-Origin['\"]?\s*[,:\]=]+\s*['\"]\*|csrf_exempt|WTF_CSRF_ENABLED\s*=\s*False",
        _CODE, Severity.MEDIUM, "Other sites may speak for the user.", "name the origins",
    ),
    _code(
        r"(tar|tf|archive|zf?|zipf?ile)\w*\.extractall\s*\((?![^)]*filter)", _PYTHON,
        Severity.MEDIUM, "An archive may write outside its target.", "pass filter='data'",
    ),
    _code(
        r"\beval\s*\(|\bnew Function\s*\(|\.innerHTML\s*=|dangerouslySetInnerHTML"
        r"|document\.write\(",
        _SCRIPT, Severity.MEDIUM, "Text becomes code or markup.", "use data and text nodes",
    ),
    _code(
        r"child_process|\bexecSync\s*\(|\bspawn(Sync)?\s*\(|\bexec\.Command\(|Command::new\(",
        _CODE - _PYTHON, Severity.LOW, "It starts a process.",
    ),
    _code(
        r"^\s*(import|from)\s+(socket|requests|httpx|aiohttp|urllib|http\.client|ftplib|smtplib|"
        r"telnetlib|paramiko|websockets?)\b|\bfetch\s*\(|require\(['\"](https?|net|dgram|axios)['\"]\)",
        _CODE, Severity.LOW, "It may use the network.",
    ),
    _code(
        r"--(extra-)?index-url|--trusted-host|\bgit\+(https?|ssh)://|^\s*https?://",
        {".txt", ".in", ".toml", ".cfg"}, Severity.MEDIUM,
        "A dependency comes from an unusual place.", "use the usual package index",
    ),
    _code(
        r"['\"](pre|post)?(install|prepare)['\"]\s*:", {".json"}, Severity.MEDIUM,
        "It is run when somebody installs the package.", "do without an install script",
    ),
)  # fmt: skip


def look(added: AddedLines) -> tuple[Finding, ...]:
    """At most one finding of each kind per file: the first line that has it."""
    return tuple(finding for path in added for finding in _look_at(path, added))


def _look_at(path: str, added: AddedLines) -> Iterator[Finding]:
    suffix = PurePosixPath(path).suffix.lower()
    patterns = _EVERYWHERE
    if suffix not in _PROSE or PurePosixPath(path).name.startswith("requirements"):
        patterns += tuple(p for p in _PATTERNS if suffix in p.suffixes)
    for pattern in patterns:
        if pattern in _PATTERNS and is_test_path(path):
            continue
        for number, text in added[path].items():
            if pattern.pattern.search(text[:MAX_LINE]):
                yield Finding(
                    file=path,
                    line=number,
                    severity=pattern.severity,
                    why=pattern.why,
                    fix=pattern.fix,
                    source="lines",
                )
                break
