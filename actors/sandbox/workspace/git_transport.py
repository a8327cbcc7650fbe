"""Carrying commits into and out of a sandbox, by git that runs inside it.

Bundles travel as data over stdin and stdout. The scripts trust nothing that the workspace's own
repository says: configuration, hooks, index and attributes' drivers are left aside. The result
is untrusted all the same: whoever takes it checks it in a place of its own.
"""

import re
from collections.abc import Sequence
from typing import Final

from actors.sandbox.protocol import (
    ExecResult,
    NoSpaceError,
    Sandbox,
    SandboxError,
    SandboxUnavailableError,
)

EXPORTED_REF: Final = "refs/manta/export"
"""The one reference in an exported bundle."""
_TIMEOUT_S = 600.0
_WHO = "Manta"
_MAIL = "manta@localhost"
_ENVIRONMENT = {
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    "GIT_AUTHOR_NAME": _WHO,
    "GIT_AUTHOR_EMAIL": _MAIL,
    "GIT_COMMITTER_NAME": _WHO,
    "GIT_COMMITTER_EMAIL": _MAIL,
    "LC_ALL": "C",
}
_CONFIG = f"""\
[core]
	repositoryformatversion = 0
	filemode = true
	bare = false
	logallrefupdates = true
[user]
	name = {_WHO}
	email = {_MAIL}
[gc]
	auto = 0"""
_IMPORT = f"""
set -eu
bundle=.git/manta.bundle
commit=$1; shift
if [ -L .git ] || [ ! -d .git ]; then rm -rf .git; fi
if [ -d .git ]; then
    rm -rf .git/hooks .git/config .git/config.worktree .git/info .git/modules .git/worktrees \
        .git/HEAD .git/index .git/refs .git/packed-refs .git/shallow .git/rebase-merge \
        .git/rebase-apply .git/objects/info/alternates "$bundle"
    find .git -name '*.lock' -delete 2>/dev/null || true
fi
[ -d .git/refs ] && [ -d .git/objects ] || mkdir -p .git/refs .git/objects
echo 'ref: refs/heads/manta' > .git/HEAD
echo '{_CONFIG}' > .git/config
for size; do
    head -c "$size" > "$bundle"
    git bundle unbundle "$bundle" > /dev/null
    rm -f "$bundle"
done
git update-ref --no-deref refs/heads/manta "$commit" || exit 4
checkout() {{
    git -c core.hooksPath=/dev/null -c core.fsmonitor=false reset -q --hard "$1" &&
        git -c core.fsmonitor=false clean -q -ffd
}}
checkout "$commit" 2> /dev/null ||
    {{ chmod -R u+rwX . 2> /dev/null || true; checkout "$commit"; }}
"""
_EXPORT = f"""
set -eu
if [ -L .git ] || [ ! -d .git/objects ]; then echo 'the workspace has no repository' >&2; exit 3; fi
private=$(mktemp -d)
trap 'rm -rf "$private"' EXIT
mkdir -p "$private/git/refs/manta" "$private/git/objects"
echo 'ref: refs/heads/none' > "$private/git/HEAD"
export GIT_DIR="$private/git" GIT_WORK_TREE="$PWD" GIT_OBJECT_DIRECTORY="$PWD/.git/objects"
export GIT_INDEX_FILE="$private/index"
git read-tree "$1" || exit 4
add() {{
    find . -mindepth 2 -name .git -prune -exec sh -c '
        for path; do printf ":(exclude,literal)%s\\0" "${{path%/.git}}"; done
        ' sh {{}} + > "$private/paths" &&
        printf '.\\0' >> "$private/paths" &&
        git add --all --pathspec-from-file="$private/paths" --pathspec-file-nul
}}
add 2> /dev/null || {{ chmod -R u+rwX . 2> /dev/null || true; add; }}
if git diff-index --cached --quiet --ignore-submodules=none "$1"; then exit 0; fi
tree=$(git write-tree)
git commit-tree "$tree" -p "$1" -F - > "$private/git/{EXPORTED_REF}"
git bundle create -q - {EXPORTED_REF} --not "$1"
"""
_HEAD = re.compile(rb"^([0-9a-f]{40}) " + EXPORTED_REF.encode() + rb"$", re.MULTILINE)
_COMMIT = re.compile(r"[0-9a-f]{40}")


def _checked(commit: str) -> str:
    if not _COMMIT.fullmatch(commit):
        raise SandboxError(f"{commit[:80]!r} is not a commit id", "pass 40 hexadecimal digits")
    return commit


async def _run(
    sandbox: Sandbox, script: str, words: Sequence[str], stdin: bytes, kept: int
) -> ExecResult:
    return await sandbox.exec(
        ["sh", "-c", script, "git", *words],
        timeout_s=_TIMEOUT_S,
        env=_ENVIRONMENT,
        stdin=stdin,
        max_output=kept,
    )


def _refused(action: str, commit: str, result: ExecResult) -> SandboxError:
    words = result.stderr.decode(errors="replace").strip()[-500:] or result.ended
    if "No space left on device" in words:
        return SandboxUnavailableError(
            f"git {action} of {commit[:12]}: the disk that holds the sandbox is full",
            "free space there, then resume the run",
        )
    if result.exit_code == 4:
        return SandboxError(
            f"git {action}: the sandbox does not know commit {commit}",
            "import it first, with every bundle it rests on",
        )
    return SandboxError(f"git {action} of {commit[:12]} failed: {words}", "use a fresh sandbox")


async def import_commit(sandbox: Sandbox, bundles: Sequence[bytes], commit: str) -> None:
    """The `git_import` of every level that can run git. Ignored files are left alone.

    Raises:
        SandboxError: a bundle is damaged, or they do not contain the commit.
    """
    sizes = [str(len(bundle)) for bundle in bundles if bundle]
    words = [_checked(commit), *sizes]
    result = await _run(sandbox, _IMPORT, words, b"".join(bundles), 10_000)
    if not result.ok:
        raise _refused("import", commit, result)


async def export_commit(
    sandbox: Sandbox, base: str, message: str, max_bytes: int
) -> tuple[str, bytes]:
    """The `git_export` of every level that can run git.

    Repositories inside the workspace (other than submodules of `base`) are not exported.

    Raises:
        NoSpaceError: the bundle is larger than `max_bytes`.
        SandboxError: the base is unknown here, or git refused.
    """
    result = await _run(sandbox, _EXPORT, [_checked(base)], message.encode(), max_bytes)
    if result.stdout_total > max_bytes or result.ended == "output_limit":
        raise NoSpaceError(
            f"the changes since {base[:12]} are larger than {max_bytes} bytes",
            "remove large files, or ignore them",
        )
    if not result.ok:
        raise _refused("export", base, result)
    if not result.stdout:
        return "", b""
    head = _HEAD.search(result.stdout[:100_000].split(b"\n\n", 1)[0])
    if head is None:
        raise SandboxError("git export: the answer is not a bundle", "use a fresh sandbox")
    return head[1].decode(), result.stdout
