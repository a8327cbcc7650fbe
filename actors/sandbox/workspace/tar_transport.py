"""Carrying trees in and out as archives, by tar that runs inside the sandbox.

A hostile archive can harm only the place it is unpacked in, a hostile tree only itself.
"""

from actors.sandbox.protocol import ExecResult, NoSpaceError, PathRefusedError, Sandbox
from actors.sandbox.workspace.files import relative

_TIMEOUT_S = 600.0
_UNPACK = 'mkdir -p -- "$1" && exec tar -x --no-same-owner -f - -C "$1"'
_PACK = 'exec tar -c -f - -C "$1" .'


async def _tar(sandbox: Sandbox, script: str, path: str, stdin: bytes, kept: int) -> ExecResult:
    return await sandbox.exec(
        ["sh", "-c", script, "tar", relative(path)],
        timeout_s=_TIMEOUT_S,
        stdin=stdin,
        max_output=kept,
    )


def _refused(path: str, result: ExecResult) -> PathRefusedError:
    words = result.stderr.decode(errors="replace").strip()[-500:] or result.ended
    return PathRefusedError(f"tar refused {path[:200]!r}: {words}", "check the archive and path")


async def unpack(sandbox: Sandbox, archive: bytes, path: str) -> None:
    """The `put_tar` of every level that can run tar."""
    result = await _tar(sandbox, _UNPACK, path, archive, 10_000)
    if not result.ok:
        raise _refused(path, result)


async def pack(sandbox: Sandbox, path: str, max_bytes: int) -> bytes:
    """The `get_tar` of every level that can run tar."""
    result = await _tar(sandbox, _PACK, path, b"", max_bytes)
    if result.stdout_total > max_bytes or result.ended == "output_limit":
        raise NoSpaceError(f"{path[:200]!r} is larger than {max_bytes} bytes", "take less")
    if not result.ok:
        raise _refused(path, result)
    return result.stdout
