"""The user's repository: read at the start, given a new branch at the end, else left alone."""

import asyncio
import os
import re
import tempfile
from collections.abc import AsyncGenerator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from pathlib import Path

from actors.git.bundle import Bundle, decode
from actors.git.command import NEUTRAL, Git
from actors.git.records import entries, oid
from actors.git.repository import BareRepository, index_pack, pack_bundle
from orchestration.errors import ConflictError, GitError, UsageError
from orchestration.ids import CommitId

BUNDLE = ".bundle"
"""How the files are called that `git bundle create` makes."""
_URL = re.compile(r"(?P<scheme>[a-z][a-z0-9+.-]*)://|(?P<ssh>[\w.-]+@[\w.-]+:)")
_SCHEMES = {"https", "ssh", "git", "file"}
_PERSONAL = re.compile(
    r"HOME|USER|LOGNAME|XDG_CONFIG_HOME|SSH_AUTH_SOCK|SSL_CERT_(FILE|DIR)|GIT_SSL_CAINFO"
    r"|GIT_ASKPASS|GIT_SSH(_COMMAND)?|GIT_CONFIG_\w+"
    r"|(https?|all|no)_proxy",
    re.IGNORECASE,
)
"""What a person's own git needs to reach a private repository."""
_BRANCH = re.compile(r"(?!HEAD$|.*\.lock(/|$))[A-Za-z0-9_+][A-Za-z0-9_+-]*([./][A-Za-z0-9_+-]+)*")
"""Names of branches that need no asking whether they are legal; git knows more."""
_ZERO = "0" * 40


@dataclass(frozen=True, slots=True)
class Source:
    """A commit to start from, and where it came from."""

    name: str
    """The last part of the path or URL."""
    commit: CommitId
    ref_name: str
    """What the commit is called there: the branch HEAD is on, or the ref asked for."""
    bundle: bytes
    """The commit and all its history."""
    is_dirty: bool
    """There are uncommitted changes; they stay where they are and are not part of this."""
    submodules: tuple[str, ...]
    """Paths of submodules; they will be empty directories."""
    local_path: Path | None
    """The user's repository on this machine; None when it came from a URL or a bundle."""
    is_file: bool = False
    """It came from a bundle, which is nothing to deliver into."""

    def parcel(self) -> bytes:
        """A bundle that opens as this very source, elsewhere: HEAD is on the branch that it was.

        A ref whose name cannot be a branch's is left out; HEAD is then on no branch.
        """
        name = f"refs/heads/{self.ref_name}"
        heads = {name: self.commit} if _BRANCH.fullmatch(self.ref_name) else {}
        return Bundle({"HEAD": self.commit, **heads}, (), decode(self.bundle).pack).encode()


async def open_source(path_or_url: str, ref: str = "HEAD") -> Source:
    """Read a commit from a repository or a bundle on this machine, or from a URL.

    Raises:
        UsageError: not a repository, no commits, unknown ref, a kind that is not supported.
        GitError: the URL cannot be reached, or the bundle is broken.
    """
    url = _URL.match(path_or_url)
    if not url:
        path = await asyncio.to_thread(lambda: Path(path_or_url).expanduser().absolute())
        if await asyncio.to_thread(path.is_file):
            async with _unpacked(path) as git:
                return replace(await _read(git, ref, name_of(str(path)), None), is_file=True)
        return await _read(await _open(path), ref, name_of(str(path)), path)
    if not url["ssh"] and url["scheme"] not in _SCHEMES:
        raise UsageError(
            f"cannot fetch from {url['scheme']}:// addresses",
            f"use one of {', '.join(sorted(_SCHEMES))}, or a local path",
        )
    async with _clone(path_or_url) as git:
        return await _read(git, ref, name_of(path_or_url), None)


async def deliver(path: Path, bundle: bytes, branch: str, commit: str) -> None:
    """Make a new branch in the user's repository. Work tree, index, config stay; no hook runs.

    Idempotent.

    Raises:
        UsageError: not a repository, or the branch's name is not legal.
        ConflictError: the branch exists and points elsewhere.
        GitError: the bundle does not fit this repository.
    """
    git = await _open(path)
    legal = await git("check-ref-format", "--branch", branch, ok=(0, 1, 128))
    if legal.code or branch.startswith("-"):
        raise UsageError(f"{branch!r} is not a legal branch name", "choose another name")
    contents = decode(bundle)
    if commit not in contents.heads.values():
        raise GitError(f"the bundle does not bring {commit}")
    ref = f"refs/heads/{branch}"
    if await _refuse_other(git, ref, commit):
        return
    for need in contents.needs:
        if (await git("cat-file", "-t", oid(need), ok=(0, 128))).text != "commit":
            raise GitError(
                f"{path} does not have {need[:12]}, on which the work was built",
                "fetch it from where the run's base came from, then try again",
            )
    await index_pack(git, contents.pack)
    made = await git("update-ref", ref, oid(commit), _ZERO, ok=(0, 1, 128))
    if made.code and not await _refuse_other(git, ref, commit):
        raise GitError(f"cannot make branch {branch}: {made.err}", "choose another branch name")


async def _refuse_other(git: Git, ref: str, commit: str) -> bool:
    """Whether the ref is there already with this commit."""
    there = (await git("rev-parse", "--verify", "--quiet", ref, ok=(0, 1))).text
    if there and there != commit:
        raise ConflictError(
            f"branch {ref.removeprefix('refs/heads/')} exists and points to {there[:12]}",
            "choose another branch name, or delete that branch",
        )
    return bool(there)


async def _open(path: Path) -> Git:
    """Git in this repository, whatever kind (checkout, worktree, subdirectory, bare)."""
    fix = (
        "give the path of a git repository, or a full address (https://...); in a new project"
        " run `git init` and commit first"
    )
    if not await asyncio.to_thread(path.is_dir):
        raise UsageError(f"there is no directory {path}", fix)
    git = Git(path)
    answer = await git("rev-parse", "--show-object-format", "--is-shallow-repository", ok=(0, 128))
    if answer.code:
        raise UsageError(f"{path} is not a git repository", fix)
    kind, shallow = answer.text.split()
    if kind != "sha1":
        raise UsageError(f"{path} uses {kind} objects", "only SHA-1 repositories are supported")
    if shallow == "true":
        raise UsageError(f"{path} is a shallow clone", "run `git fetch --unshallow` in it first")
    return git


async def _read(git: Git, ref: str, name: str, local_path: Path | None) -> Source:
    commit = await _resolve(git, ref)
    tree = entries((await git("ls-tree", "-r", "-l", "-z", "--full-tree", commit)).out)
    try:
        bundle = await pack_bundle(git, None, commit)
    except GitError as error:
        raise GitError(
            f"cannot read the history of {name}: {error.what}",
            "run `git fsck` there; in a partial clone run `git fetch --refetch --no-filter` first",
        ) from error
    return Source(
        name=name,
        commit=commit,
        ref_name=await _called(git, ref),
        bundle=bundle,
        is_dirty=local_path is not None and await _is_dirty(git),
        submodules=tuple(entry.path for entry in tree if entry.mode == "160000"),
        local_path=local_path,
    )


async def _resolve(git: Git, ref: str) -> CommitId:
    wanted = f"{ref}^{{commit}}"
    # A clone has most branches only as its origin's, and `git switch` finds them there, too.
    for name in (wanted, f"refs/remotes/origin/{wanted}"):
        verified = ("rev-parse", "--verify", "--quiet", "--end-of-options", name)
        answer = await git(*verified, ok=(0, 1, 128))
        if not answer.code:
            return CommitId(oid(answer.text))
    listing = await git("for-each-ref", "--count=10", "--format=%(refname:short)", "refs/heads")
    known = listing.text.split()
    if not known:
        raise UsageError("the repository has no commits", "commit something first")
    raise UsageError(f"the repository has no {ref!r}", f"branches there: {', '.join(known)}")


async def _called(git: Git, ref: str) -> str:
    if ref != "HEAD":
        return ref
    return (await git("symbolic-ref", "--short", "--quiet", "HEAD", ok=(0, 1))).text or "HEAD"


async def _is_dirty(git: Git) -> bool:
    """Whether there are uncommitted changes. Looks, and neither writes nor runs filters."""
    if (await git("rev-parse", "--is-inside-work-tree", ok=(0, 128))).text != "true":
        return False
    pattern = r"^filter\..*\.(clean|smudge|process|required)$"
    answer = await git("config", "--null", "--name-only", "--get-regexp", pattern, ok=(0, 1))
    keys = [key.decode(errors="surrogateescape") for key in answer.out.split(b"\0")[:-1]]
    off = {"GIT_CONFIG_COUNT": str(len(keys))}
    for number, key in enumerate(keys):
        off[f"GIT_CONFIG_KEY_{number}"] = key
        off[f"GIT_CONFIG_VALUE_{number}"] = "false" if key.endswith(".required") else ""
    answer = await git("status", "--porcelain", "-z", "--ignore-submodules=all", env=off)
    return bool(answer.out)


def personal() -> dict[str, str]:
    """An environment in which git reaches what the person can reach, with their credentials."""
    env = {name: value for name, value in NEUTRAL.items() if not name.startswith("GIT_CONFIG_")}
    env |= {name: value for name, value in os.environ.items() if _PERSONAL.fullmatch(name)}
    return env | {"GIT_ALLOW_PROTOCOL": ":".join(sorted(_SCHEMES))}


@asynccontextmanager
async def opened(path_or_url: str) -> AsyncGenerator[Git]:
    """The person's repository, or a clone of a URL that is gone afterwards."""
    if is_url(path_or_url):
        async with _clone(path_or_url) as git:
            yield git
    else:
        path = await asyncio.to_thread(lambda: Path(path_or_url).expanduser().absolute())
        if await asyncio.to_thread(path.is_file):
            async with _unpacked(path) as git:
                yield git
        else:
            yield await _open(path)


@asynccontextmanager
async def _unpacked(path: Path) -> AsyncGenerator[Git]:
    """What a bundle file holds, as a bare repository in a temporary directory. Objects are checked.

    Raises:
        UsageError: the file is no bundle, or one that builds on commits it does not bring.
    """
    whole = f"make one with `git bundle create {path.stem}{BUNDLE} HEAD --branches --tags`"
    try:
        bundle = decode(await asyncio.to_thread(path.read_bytes))
    except GitError as error:
        raise UsageError(f"{path} is not a git bundle", whole) from error
    if bundle.needs:
        raise UsageError(f"{path} builds on {bundle.needs[0][:12]}, which it does not bring", whole)
    scratch = await asyncio.to_thread(tempfile.TemporaryDirectory, ignore_cleanup_errors=True)
    try:
        made = await BareRepository.create(Path(scratch.name) / "unpacked")
        git = await _open(made.path)
        await index_pack(git, bundle.pack)
        refs = {name: at for name, at in bundle.heads.items() if name.startswith("refs/")}
        for name, commit in refs.items():
            await git("update-ref", name, oid(commit))
        await _put_head(git, bundle.heads)
        yield git
    finally:
        await asyncio.to_thread(scratch.cleanup)


async def _put_head(git: Git, heads: Mapping[str, CommitId]) -> None:
    """HEAD as a clone of the bundle has it: on a branch of its commit, if there is one."""
    branches = [name for name in heads if name.startswith("refs/heads/")]
    head = heads.get("HEAD")
    fitting = [name for name in branches if head in {None, heads[name]}]
    if fitting and (head or len(branches) == 1):
        await git("symbolic-ref", "HEAD", fitting[0])
    elif head:
        await git("update-ref", "--no-deref", "HEAD", oid(head))


@asynccontextmanager
async def _clone(url: str) -> AsyncGenerator[Git]:
    """A bare clone in a temporary directory, made with the person's own credentials."""
    shown = re.sub(r"(?<=://)[^/@\s]+@", "", url)
    env = personal()
    scratch = await asyncio.to_thread(tempfile.TemporaryDirectory, ignore_cleanup_errors=True)
    try:
        target = Path(scratch.name) / "clone"
        try:
            await Git(Path(scratch.name), env)(
                "clone", "--bare", "--quiet", "--template=",
                "--config", "remote.origin.fetch=+refs/notes/*:refs/notes/*",
                "--", url, str(target),
                timeout_s=1800,
            )  # fmt: skip
        except GitError as error:
            raise GitError(
                f"cannot clone {shown}: {error.what}",
                f"check the address, the network and your access: git ls-remote {shown}",
            ) from error
        yield await _open(target)
    finally:
        await asyncio.to_thread(scratch.cleanup)


def is_url(path_or_url: str) -> bool:
    """Whether it is to be cloned, rather than something on this machine."""
    return _URL.match(path_or_url) is not None


def name_of(path_or_url: str) -> str:
    """What a repository is called: the last part of its path or URL."""
    last = re.split(r"[/:]", path_or_url.rstrip("/"))[-1]
    return last.removesuffix(BUNDLE).removesuffix(".git") or "repository"
