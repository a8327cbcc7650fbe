"""Recordings of model replies: JSON lines that a person can read and a repository can keep.

The first line is a header, `{"manta_recording": 1, "about": {...}}`; every other line is one
`RecordedReply`. The last complete line of a conversation's turn wins. A line that a crash cut off
at the end of the file is ignored, and removed before more is written.
"""

import asyncio
import json
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import ValidationError

from actors.models.fingerprint import Fingerprint, fingerprint
from actors.models.gateway import ModelGateway, ModelReply, ModelRequest, Role
from orchestration.errors import NotFoundError, StoreError, UsageError
from orchestration.messages import Difficulty, Frozen

VERSION = 1


class RecordedReply(Frozen):
    """One reply, and what it replied to."""

    role: Role
    conversation: str
    turn: int
    context_tokens: int = 128_000
    seen: Fingerprint | None = None
    """None for replies that were written by hand: any question will do."""
    reply: ModelReply


@dataclass(frozen=True, slots=True)
class Recording:
    """Replies by conversation and turn."""

    replies: Mapping[tuple[str, int], RecordedReply]
    about: Mapping[str, str] = field(default_factory=dict[str, str])
    name: str = "the recording"

    @property
    def conversations(self) -> list[str]:
        """Their names, in the order in which they began."""
        return list(dict.fromkeys(conversation for conversation, _ in self.replies))

    def turns(self, conversation: str) -> list[int]:
        return sorted(turn for name, turn in self.replies if name == conversation)


def read_recording(path: Path) -> Recording:
    """Read a recording's file.

    Raises:
        NotFoundError: no such file.
        UsageError: it is no recording, of a newer version, or damaged; names the line.
    """
    try:
        whole, _ = _complete_lines(path.read_bytes())
    except FileNotFoundError:
        raise NotFoundError(f"there is no recording at {path}", "check the path") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}", "name a file") from None
    about = _header(path, whole[0] if whole else b"")
    replies: dict[tuple[str, int], RecordedReply] = {}
    for number, line in enumerate(whole[1:], start=2):
        try:
            said = RecordedReply.model_validate_json(line)
        except ValidationError as error:
            what = error.errors()[0]["msg"]
            raise UsageError(
                f"line {number} of {path} is no recorded reply: {what}",
                "restore the file, or record again",
            ) from None
        replies[said.conversation, said.turn] = said
    return Recording(replies, about, str(path))


def begin_recording(path: Path, about: Mapping[str, str]) -> None:
    """Make a recording's file, saying what it is about; one that is there stays as it is.

    Raises:
        UsageError: it cannot be written, or is another file.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists():
            whole, _ = _complete_lines(path.read_bytes())
            _header(path, whole[0] if whole else b"")
        else:
            _write_header(path, about)
    except OSError as error:
        raise UsageError(
            f"cannot write the recording {path}: {error.strerror}", "name another file"
        ) from None


def write_recording(path: Path, replies: Iterable[RecordedReply], about: Mapping[str, str]) -> None:
    """A whole recording at once, in the place of any other. Blocks."""
    draft = path.with_name(f".{path.name}.draft")
    path.parent.mkdir(parents=True, exist_ok=True)
    _write_header(draft, about)
    lines = b"".join(said.model_dump_json().encode() + b"\n" for said in replies)
    _write(draft, lines, os.O_APPEND)
    draft.replace(path)


class RecordingGateway:
    """Wraps a gateway and appends every reply to a file before handing it on."""

    def __init__(
        self, inner: ModelGateway, path: Path, about: Mapping[str, str] | None = None
    ) -> None:
        self._inner = inner
        self._path = path
        self._about = dict(about or {})
        self._lock = asyncio.Lock()
        self._is_ready = False

    async def complete(self, request: ModelRequest) -> ModelReply:
        reply = await self._inner.complete(request)
        said = RecordedReply(
            role=request.role,
            conversation=request.conversation,
            turn=request.turn,
            context_tokens=await self._inner.context_tokens(request.role, request.difficulty),
            seen=fingerprint(request),
            reply=reply,
        )
        async with self._lock:
            await asyncio.to_thread(self._append, said.model_dump_json().encode())
        return reply

    async def acknowledge(self, key: str) -> None:
        await self._inner.acknowledge(key)

    async def check(self, role: Role, *, priced: bool = False) -> str:
        return await self._inner.check(role, priced=priced)

    async def context_tokens(self, role: Role, difficulty: Difficulty = "normal") -> int:
        return await self._inner.context_tokens(role, difficulty)

    def _append(self, line: bytes) -> None:
        try:
            if not self._is_ready:
                self._prepare()
            _write(self._path, line + b"\n", os.O_APPEND)
        except OSError as error:
            raise StoreError(
                f"cannot write the recording {self._path}: {error.strerror}",
                "free space or choose another path, then resume the run",
            ) from error
        self._is_ready = True

    def _prepare(self) -> None:
        """Make the file with its header, or take an old one up where its last whole line ends."""
        self._path.parent.mkdir(parents=True, exist_ok=True)
        old = self._path.read_bytes() if self._path.exists() else b""
        whole, length = _complete_lines(old)
        if whole:
            _header(self._path, whole[0])
            os.truncate(self._path, length)
        else:
            _write_header(self._path, self._about)


def _write_header(path: Path, about: Mapping[str, str]) -> None:
    header = json.dumps({"manta_recording": VERSION, "about": dict(about)})
    _write(path, header.encode() + b"\n", os.O_TRUNC)


def _write(path: Path, data: bytes, mode: int) -> None:
    """Write all of it and wait until it is on the disk."""
    handle = os.open(path, os.O_WRONLY | os.O_CREAT | mode, 0o600)
    try:
        while data:
            data = data[os.write(handle, data) :]
        os.fsync(handle)
    finally:
        os.close(handle)


def _complete_lines(data: bytes) -> tuple[list[bytes], int]:
    """The lines that end in a newline, and the length of them all."""
    length = data.rfind(b"\n") + 1
    return data[:length].splitlines(), length


def _header(path: Path, line: bytes) -> dict[str, str]:
    """What the header says about the recording, once it is known to be one of ours."""
    try:
        header = json.loads(line)
        version = header["manta_recording"]
        about = {str(k): str(v) for k, v in header.get("about", {}).items()}
    except (ValueError, TypeError, KeyError, AttributeError):
        raise UsageError(
            f"{path} is no recording: its first line is no header",
            "name a file that `manta run --record FILE` wrote",
        ) from None
    if version != VERSION:
        raise UsageError(
            f"{path} is a recording of version {version}; this is version {VERSION}",
            "record again, or use the Manta that recorded it",
        )
    return about
