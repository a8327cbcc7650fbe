"""What a change touches besides code: links, modes, and files that steer other programs."""

import re
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from orchestration.kinds import is_runner_config
from orchestration.messages import FileChange
from orchestration.proof import Finding, Severity


class _Rule(NamedTuple):
    pattern: re.Pattern[str]
    why: str
    severity: Severity


def _rule(pattern: str, why: str, severity: Severity) -> _Rule:
    return _Rule(re.compile(rf"(?:.*/)?(?:{pattern})"), why, severity)


_RULES = (
    _rule(
        r"\.github/(workflows|actions)/.*|\.gitlab-ci\.ya?ml|\.circleci/.*|\.buildkite/.*"
        r"|\.woodpecker(/.*|\.ya?ml)|\.travis\.yml|\.drone\.ya?ml|\.cirrus\.ya?ml|Jenkinsfile"
        r"|(azure|bitbucket)-pipelines\.ya?ml|\.?appveyor\.yml|cloudbuild\.ya?ml",
        "is run by the CI service, with its secrets",
        Severity.MEDIUM,
    ),
    _rule(
        r"\.githooks/.*|\.husky/.*|git-?hooks/.*|\.pre-commit-(config|hooks)\.yaml|lefthook\.ya?ml",
        "is run by git on developers' machines",
        Severity.MEDIUM,
    ),
    _rule(
        r"\.gitattributes|\.gitmodules|\.gitconfig|\.lfsconfig",
        "changes how git treats the repository",
        Severity.MEDIUM,
    ),
    _rule(
        r"(\.github/)?CODEOWNERS|\.github/(dependabot|renovate)\.ya?ml|renovate\.json5?"
        r"|\.bandit|\.secrets\.baseline|\.semgrep(ignore|\.ya?ml|/.*)|\.trivyignore|\.snyk"
        r"|\.gitleaks(ignore|\.toml)|\.nycrc|\.coveragerc|codecov\.ya?ml",
        "decides who or what reviews changes",
        Severity.MEDIUM,
    ),
    _rule(
        r"sitecustomize\.py|usercustomize\.py|.*\.pth",
        "is run whenever Python starts",
        Severity.HIGH,
    ),
    _rule(
        r"\.envrc|\.vscode/.*|\.idea/.*|\.devcontainer/.*|\.mcp\.json|\.claude/.*|\.cursor/.*"
        r"|\.codex/.*|\.npmrc|\.yarnrc(\.yml)?|\.pnp\.[cm]?js|\.pypirc|pip\.conf|\.bazelrc"
        r"|\.cargo/config(\.toml)?",
        "steers editors, agents or package managers of whoever checks it out",
        Severity.MEDIUM,
    ),
    _rule(
        r"AGENTS\.md|CLAUDE\.md|GEMINI\.md|\.cursorrules|copilot-instructions\.md|SKILL\.md",
        "instructs coding agents",
        Severity.LOW,
    ),
    _rule(
        r"uv\.lock|poetry\.lock|Pipfile\.lock|pdm\.lock|package-lock\.json|npm-shrinkwrap\.json"
        r"|yarn\.lock|pnpm-lock\.yaml|bun\.lockb?|Cargo\.lock|go\.sum|Gemfile\.lock|composer\.lock"
        r"|.*\.lock",
        "locks dependencies",
        Severity.LOW,
    ),
    _rule(
        r"requirements[^/]*\.(txt|in)|constraints[^/]*\.txt|Pipfile|environment\.ya?ml|go\.mod"
        r"|Gemfile|composer\.json",
        "names dependencies",
        Severity.LOW,
    ),
    _rule(
        r"pyproject\.toml|setup\.(py|cfg)|package\.json|Cargo\.toml|build\.rs|(GNU)?[mM]akefile"
        r"|CMakeLists\.txt|.*\.cmake|.*\.gradle(\.kts)?|pom\.xml|meson\.build|BUILD(\.bazel)?"
        r"|WORKSPACE|MODULE\.bazel|(Docker|Container)file[^/]*|(docker-)?compose[^/]*\.ya?ml"
        r"|noxfile\.py|tox\.ini|tasks\.py|hatch_build\.py|binding\.gyp|configure(\.ac)?|justfile"
        r"|Rakefile|Vagrantfile|Taskfile\.ya?ml|turbo\.json|nx\.json|deno\.jsonc?|bunfig\.toml"
        r"|gradlew(\.bat)?|gradle-wrapper\.(jar|properties)|mvnw(\.cmd)?|.*\.(csproj|tf|tfvars)",
        "takes part in builds or names dependencies",
        Severity.LOW,
    ),
)
_LINK, _SUBMODULE = "120000", "160000"


def flags(changes: Iterable[FileChange]) -> list[tuple[str, str]]:
    """Changed paths that people and reviewers must know of, each with why."""
    return [(finding.file, finding.why) for finding in surface(changes)]


def surface(changes: Iterable[FileChange]) -> tuple[Finding, ...]:
    """The same as findings."""
    return tuple(
        Finding(file=change.path, severity=severity, why=f"{change.path} {why}.", source="surface")
        for change in changes
        for why, severity in _whys(change)
    )


def _whys(change: FileChange) -> Iterator[tuple[str, Severity]]:
    if change.new_mode == _LINK:
        yield "is a symbolic link", Severity.MEDIUM
    elif change.new_mode == _SUBMODULE:
        yield "is a submodule: code from elsewhere", Severity.MEDIUM
    elif change.status == "A" and change.new_mode == "100755":
        yield "is a new executable file", Severity.LOW
    elif change.status in "MT" and change.old_mode != change.new_mode:
        yield f"changes its mode from {change.old_mode} to {change.new_mode}", Severity.LOW
    if not change.path.isprintable() or "\\" in change.path or change.path.startswith("-"):
        yield "has an unusual name", Severity.LOW
    if is_runner_config(change.path):
        yield "decides how tests run", Severity.MEDIUM
    for rule in _RULES:
        if rule.pattern.fullmatch(change.path):
            yield rule.why, rule.severity
            return
