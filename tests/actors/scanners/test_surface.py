import pytest

from actors.scanners.surface import flags, surface
from orchestration.messages import FileChange
from orchestration.proof import Severity


def change(path: str, status: str = "A", old: str = "000000", new: str = "100644") -> FileChange:
    return FileChange(
        path=path, status=status, old_mode=old, new_mode=new, old_blob="0", new_blob="1"
    )


@pytest.mark.parametrize(
    ("made", "word"),
    [
        (change("a", new="120000"), "symbolic link"),
        (change("libs/x", new="160000"), "submodule"),
        (change("run", new="100755"), "executable"),
        (change("run", "M", "100644", "100755"), "changes its mode"),
        (change("a", "T", "100644", "120000"), "symbolic link"),
        (change(".github/workflows/ci.yml", "M"), "CI service"),
        (change("sub/.gitlab-ci.yml"), "CI service"),
        (change(".husky/pre-commit"), "run by git"),
        (change(".pre-commit-config.yaml"), "run by git"),
        (change(".gitattributes"), "treats the repository"),
        (change("x/.gitmodules"), "treats the repository"),
        (change("sitecustomize.py"), "whenever Python starts"),
        (change("src/a.pth"), "whenever Python starts"),
        (change(".envrc"), "steers"),
        (change(".vscode/tasks.json"), "steers"),
        (change(".mcp.json"), "steers"),
        (change("AGENTS.md"), "instructs"),
        (change("uv.lock"), "locks"),
        (change("web/package-lock.json"), "locks"),
        (change("requirements-dev.txt"), "names dependencies"),
        (change("setup.py"), "builds"),
        (change("Makefile", "D", "100644", "000000"), "builds"),
        (change("docker/Dockerfile.gpu"), "builds"),
        (change("tests/conftest.py"), "how tests run"),
        (change("a\nb"), "unusual name"),
        (change("-rf"), "unusual name"),
    ],
)
def test_what_steers_other_programs_is_flagged(made: FileChange, word: str) -> None:
    (path, why), *_ = [flag for flag in flags([made]) if word in flag[1]]
    assert path == made.path
    assert why.startswith(made.path)


@pytest.mark.parametrize(
    "path", ["src/app.py", "README.md", "tests/test_a.py", "src/hooks.py", "lock.py", "a/build.py"]
)
def test_plain_files_are_not_flagged(path: str) -> None:
    assert flags([change(path), change(path, "M", "100644", "100644")]) == []


def test_a_flag_has_a_severity() -> None:
    assert [f.severity for f in surface([change("x.pth")])] == [Severity.MEDIUM, Severity.HIGH]
