"""Calling a hall: one HTTP client, and one sentence for whatever may go wrong on the way."""

import ssl
from collections.abc import AsyncGenerator, Generator
from contextlib import contextmanager
from http import HTTPStatus
from typing import Any
from urllib.parse import urlsplit

import httpx
from pydantic import ValidationError

from cluster.desk.troubles import error_of
from cluster.desk.wire import API_HEADER, API_VERSION, Trouble
from orchestration.errors import InfrastructureError, UsageError

QUICK = httpx.Timeout(60.0, connect=10.0)
SLOW = httpx.Timeout(300.0, connect=10.0)
"""For what may start a cluster, or carries a repository."""
STREAM = httpx.Timeout(60.0, connect=10.0)
"""A hall gives a sign of life more often: a stream that says nothing for so long is dead."""
_AWAY = frozenset({502, 503, 504})
"""What proxies say of a hall that is not there."""


class LostError(InfrastructureError):
    """The connection broke, or could not be made."""


class Caller:
    """Speaks to one hall as whoever has its token."""

    def __init__(
        self, hall: str, token: str, *, transport: httpx.AsyncBaseTransport | None = None
    ) -> None:
        """`hall`: its address, as `manta web` prints it.

        Raises:
            UsageError: that is no address, or no token's text.
        """
        self.hall = _address(hall)
        if not token.isascii() or not token.isprintable() or " " in token:
            raise UsageError("the hall's token is no token", "copy it from the hall's `web-token`")
        self._has_token = bool(token)
        self._client = httpx.AsyncClient(
            base_url=f"{self.hall}/api/v1/",
            headers={"Authorization": f"Bearer {token}"} if token else {},
            timeout=QUICK,
            transport=transport,
        )

    async def close(self) -> None:
        await self._client.aclose()

    async def ask(self, method: str, path: str, **what: Any) -> httpx.Response:
        """The hall's answer, when it is a good one.

        Raises:
            LostError: nobody answers, or the connection broke.
            MantaError: what the hall says is wrong.
        """
        with self._lost():
            answer = await self._client.request(method, path, **what)
        self._check(answer)
        return answer

    async def stream(self, path: str, **what: Any) -> AsyncGenerator[bytes]:
        """The bytes of a long answer, as they come. Raises as `ask` does."""
        with self._lost():
            async with self._client.stream("GET", path, timeout=STREAM, **what) as answer:
                if not answer.is_success:
                    await answer.aread()
                self._check(answer)
                async for some in answer.aiter_bytes():
                    yield some

    @contextmanager
    def _lost(self) -> Generator[None]:
        try:
            yield
        except httpx.TimeoutException as error:
            raise LostError(
                f"the hall at {self.hall} does not answer in time",
                "see whether it still runs, then look at the run before you do it again",
            ) from error
        except httpx.TransportError as error:
            raise self._nobody(error) from error

    def _nobody(self, error: httpx.TransportError) -> LostError:
        why = str(error) or type(error).__name__
        root = _root(error)
        if isinstance(root, ssl.SSLCertVerificationError):
            return LostError(
                f"the certificate of {self.hall} cannot be trusted: {why}",
                "name the authority in SSL_CERT_FILE, or the host as its certificate does",
            )
        if isinstance(root, ssl.SSLError):
            return LostError(
                f"{self.hall} does not speak TLS: {why}", "check the address: http or https"
            )
        return LostError(
            f"no hall answers at {self.hall} ({why})",
            "check --hall; on the hall's machine `manta web` starts one",
        )

    def _check(self, answer: httpx.Response) -> None:
        """Raise what is wrong with an answer."""
        version = answer.headers.get(API_HEADER, "")
        if not version and answer.status_code in _AWAY:
            raise LostError(
                f"no hall answers behind {self.hall} (HTTP {answer.status_code})",
                "check the proxy; on the hall's machine `manta web` starts one",
            )
        if not version:
            raise self._no_hall(answer)
        if version != API_VERSION:
            raise InfrastructureError(
                f"the hall at {self.hall} speaks version {version[:10]} of the API, "
                f"this program {API_VERSION}",
                "use the same version of Manta on both sides",
            )
        if answer.status_code == HTTPStatus.UNAUTHORIZED:
            raise self._refused()
        if not answer.is_success:
            raise error_of(_trouble(answer), answer.status_code)

    def _no_hall(self, answer: httpx.Response) -> UsageError:
        to = answer.headers.get("location", "") if answer.has_redirect_location else ""
        return UsageError(
            f"the page at {self.hall} is no Manta hall (HTTP {answer.status_code})",
            f"it points to {to[:200]}: check --hall" if to else "check --hall",
        )

    def _refused(self) -> InfrastructureError:
        said = "refuses this token" if self._has_token else "wants a token"
        return InfrastructureError(
            f"the hall at {self.hall} {said}",
            "set MANTA_HALL_TOKEN to what STATE_DIR/web-token says on the hall's machine",
        )


def _address(hall: str) -> str:
    """The address without what comes after it."""
    try:
        parts = urlsplit(hall.strip())
        is_fine = parts.scheme in {"http", "https"} and parts.hostname and parts.port != 0
    except ValueError:
        is_fine = False
    if not is_fine or "@" in hall or "?" in hall or "#" in hall or not hall.isprintable():
        raise UsageError(
            f"{hall[:200]!r} is no address of a hall", "such as https://manta.example.org"
        )
    return hall.strip().rstrip("/")


def _root(error: BaseException) -> BaseException:
    """What an error came from."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    return error


def _trouble(answer: httpx.Response) -> Trouble:
    try:
        return Trouble.model_validate_json(answer.content, extra="ignore")
    except ValidationError:
        return Trouble(what=f"the hall says HTTP {answer.status_code}", fix="see its log")
