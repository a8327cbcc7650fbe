"""The bundle format: a header that names heads and needed commits, then a pack.

Read and written here because git 2.39 does not check the objects of a bundle that it fetches,
whatever `transfer.fsckObjects` says; `git index-pack --strict` on the pack does.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

from orchestration.errors import GitError
from orchestration.ids import CommitId

HEAD_NAME = "refs/heads/manta"
"""What the one head of our own bundles is called."""
MAX_HEADER = 1_000_000
_NEED = re.compile(rb"-([0-9a-f]{40})(?: .*)?")
_HEAD = re.compile(rb"([0-9a-f]{40}) (.+)")
_SIGNATURES = {b"# v2 git bundle", b"# v3 git bundle"}
_FIX = "make it again with `git bundle create`"


@dataclass(frozen=True, slots=True)
class Bundle:
    """Objects of some commits, and what they build on."""

    heads: Mapping[str, CommitId]
    needs: tuple[CommitId, ...]
    """Commits that the receiver must have already."""
    pack: bytes

    def encode(self) -> bytes:
        """The bytes that `git fetch` and `git clone` read."""
        lines = ["# v2 git bundle"]
        lines += [f"-{commit} " for commit in self.needs]
        lines += [f"{commit} {name}" for name, commit in self.heads.items()]
        return "\n".join([*lines, "", ""]).encode() + self.pack


def decode(data: bytes) -> Bundle:
    """Read a bundle's header. Its pack is not looked into.

    Raises:
        GitError: not a bundle, or one of a kind we refuse (SHA-256, filtered).
    """
    end = data.find(b"\n\n", 0, MAX_HEADER)
    lines = data[: max(end, 0)].split(b"\n")
    if lines[0] not in _SIGNATURES or not data.startswith(b"PACK", end + 2):
        raise GitError("these bytes are not a git bundle", _FIX)
    heads: dict[str, CommitId] = {}
    needs: list[CommitId] = []
    for line in lines[1:]:
        if need := _NEED.fullmatch(line):
            needs.append(CommitId(need[1].decode()))
        elif head := _HEAD.fullmatch(line):
            heads[head[2].decode(errors="backslashreplace")] = CommitId(head[1].decode())
        elif line != b"@object-format=sha1":
            raise GitError(f"the bundle's header says {line[:80]!r}, which is not supported", _FIX)
    if not heads:
        raise GitError("the bundle names no commit", _FIX)
    return Bundle(heads, tuple(needs), data[end + 2 :])
