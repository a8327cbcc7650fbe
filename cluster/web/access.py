"""Who may come in: one token per state directory, signed sessions, and where requests come from."""

import hmac
import os
import secrets
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from urllib.parse import urlsplit

from cluster.machines.reach import is_numeric
from orchestration.clock import Clock, SystemClock
from orchestration.errors import InfrastructureError

TOKEN_FILE = "web-token"  # noqa: S105 - a file's name
SESSION_S = 7 * 24 * 3600.0
REMEMBERED_S = 180 * 24 * 3600.0
"""A browser is known again for so long: what it had not sent is still its own."""
BEARER = "bearer"
"""Stands for the session of whoever brings the token itself."""
LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "::1"})


def token_of(state_dir: Path) -> str:
    """The token of a state directory, made where there is none. Removing the file voids it.

    Raises:
        InfrastructureError: others can read the file, or it cannot be kept.
    """
    path = state_dir / TOKEN_FILE
    try:
        state_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW, 0o600)
        except FileExistsError:
            return _kept(path)
        with os.fdopen(handle, "w") as file:
            token = secrets.token_urlsafe(32)
            file.write(token)
            return token
    except OSError as error:
        raise InfrastructureError(
            f"the token of the review page cannot be kept in {path}: {error.strerror}",
            "make the state directory writable, or name another one by --state-dir",
        ) from error


def _kept(path: Path) -> str:
    with os.fdopen(os.open(path, os.O_RDONLY | os.O_NOFOLLOW)) as file:
        status = os.fstat(file.fileno())
        token = file.read().strip()
    if status.st_mode & 0o077 or status.st_uid != os.getuid() or len(token) < 32:
        raise InfrastructureError(
            f"{path} is not a token that only you can read", f"remove it: rm {path}"
        )
    return token


@dataclass(frozen=True, slots=True)
class Access:
    """What a request has to show. All comparisons of secrets take the same time."""

    token: str = field(repr=False)
    names: frozenset[str] = LOOPBACK_NAMES
    """Hosts that we are called by: another one is a name made to point here (DNS rebinding)."""
    is_open: bool = False
    """Listening beyond loopback: then any address in numbers is ours, too."""
    clock: Clock = field(default_factory=SystemClock)

    @property
    def cookie(self) -> str:
        """Cookies know no ports: two servers on one host need two names."""
        return f"manta_{sha256(self.token.encode()).hexdigest()[:8]}"

    def knows(self, token: str) -> bool:
        """Whether this is the token."""
        return hmac.compare_digest(token.encode(), self.token.encode())

    def new_session(self, before: str = "") -> str:
        """What a browser keeps instead of the token. One that was here before keeps its name."""
        name = self.browser_of(before) if self._is_signed(before) else secrets.token_hex(12)
        head = f"{int(self.clock.now() + SESSION_S):x}.{name}"
        return f"{head}.{self._sign('session', head)}"

    def is_session(self, text: str) -> bool:
        """Whether we signed this, and not too long ago."""
        return self._is_signed(text) and int(text.partition(".")[0], 16) > self.clock.now()

    def _is_signed(self, text: str) -> bool:
        head, _, signature = text.rpartition(".")
        return hmac.compare_digest(signature.encode(), self._sign("session", head).encode())

    @staticmethod
    def browser_of(session: str) -> str:
        """The name of a session's browser, which outlives the session."""
        return session.rpartition(".")[0].partition(".")[2] or session

    def form_token(self, session: str) -> str:
        """What a form of this browser carries, and no other site can know."""
        return self._sign("form", self.browser_of(session))

    def is_form_of(self, session: str, given: str) -> bool:
        return hmac.compare_digest(given.encode(), self.form_token(session).encode())

    def is_ours(self, host: str) -> bool:
        """Whether a Host header names us."""
        name = (urlsplit(f"//{host}").hostname or "") if _is_plain(host) else ""
        return name in self.names or (self.is_open and is_numeric(name))

    def is_same_origin(self, headers: dict[str, str]) -> bool:
        """Whether a request that changes something was sent by one of our own pages or no page."""
        if headers.get("sec-fetch-site", "same-origin") not in {"same-origin", "none"}:
            return False
        origin = headers.get("origin")
        return origin is None or (
            _is_plain(origin) and urlsplit(origin).netloc == headers.get("host")
        )

    def _sign(self, purpose: str, text: str) -> str:
        return hmac.new(self.token.encode(), f"{purpose}:{text}".encode(), sha256).hexdigest()


def _is_plain(text: str) -> bool:
    """Whether `urlsplit` takes it: brackets that do not match raise there."""
    return text.isascii() and text.isprintable() and text.count("[") == text.count("]") <= 1
