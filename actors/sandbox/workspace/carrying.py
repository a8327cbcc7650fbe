"""Commits and trees carried in and out of a sandbox by programs that run inside it."""

from collections.abc import Sequence

from actors.sandbox.protocol import Sandbox
from actors.sandbox.workspace.git_transport import export_commit, import_commit
from actors.sandbox.workspace.tar_transport import pack, unpack


class Carrying:
    """Four verbs of every level that can run git and tar. See `Sandbox`."""

    async def git_import(self: Sandbox, bundles: Sequence[bytes], commit: str) -> None:
        await import_commit(self, bundles, commit)

    async def git_export(
        self: Sandbox, base: str, *, message: str, max_bytes: int = 200_000_000
    ) -> tuple[str, bytes]:
        return await export_commit(self, base, message, max_bytes)

    async def put_tar(self: Sandbox, archive: bytes, path: str = ".") -> None:
        await unpack(self, archive, path)

    async def get_tar(self: Sandbox, path: str = ".", *, max_bytes: int = 200_000_000) -> bytes:
        return await pack(self, path, max_bytes)
