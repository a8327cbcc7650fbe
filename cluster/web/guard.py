"""The doorkeeper: every request passes it before anything else sees it, and every answer after."""

from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie
from typing import Final

from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.desk.wire import API_HEADER, API_VERSION, MAX_BUNDLE, MAX_RECORDING
from cluster.web.access import BEARER
from cluster.web.drawing import page
from cluster.web.entering import LAPSED
from cluster.web.hall import Hall

API = "/api/"
SUBMISSIONS = "/api/v1/runs"
STATIC = "/static/"
PAGES = "/runs/"
UNLOCKED = frozenset({"/enter", "/sign-in"})
"""Where one shows the token."""
SAFE_METHODS = frozenset({"GET", "HEAD"})
MAX_BODY = 2_000_000
"""Bytes of a request."""
MAX_SUBMISSION = MAX_BUNDLE + MAX_RECORDING + MAX_BODY
"""Bytes of one that brings a repository along."""
HEADERS: Final = {
    API_HEADER: API_VERSION,
    "Content-Security-Policy": (
        "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
        "img-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    # Not `no-referrer`: browsers then send `Origin: null` with our own forms.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "X-Frame-Options": "DENY",
}


class Guard:
    """ASGI middleware: host, origin, size, token or session; and headers on all answers."""

    def __init__(self, app: ASGIApp, hall: Hall) -> None:
        """Requests that pass find the hall in their state."""
        self._app, self._hall, self._access = app, hall, hall.access

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":
            return

        async def send_safely(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(HEADERS)
                is_static = scope["path"].startswith(STATIC)
                headers["Cache-Control"] = "no-cache" if is_static else "no-store"
            await send(message)

        headers = _headers(scope["headers"])
        refused = self._refused(scope, headers)
        await (refused or self._app)(scope, receive, send_safely)

    def _refused(self, scope: Scope, headers: dict[str, str]) -> Response | None:
        """Why the request goes no further; else its session is noted in the scope."""
        path, is_safe = scope["path"], scope["method"] in SAFE_METHODS
        if not self._access.is_ours(headers.get("host", "")):
            return _told(path, 403, "this is not a name of ours", "use --url to add one")
        if not is_safe and (trouble := self._unsafe(path, headers)):
            return trouble
        kept = _cookie(headers.get("cookie", ""), self._access.cookie)
        session = self._session(headers, kept)
        scope["state"] = {"session": session, "hall": self._hall, "before": kept}
        if path.startswith(STATIC) or path in UNLOCKED:
            return None
        if not session:
            return None if _is_kept(scope, headers) else _unknown(path)
        if not is_safe and path.startswith(API) and session != BEARER:
            what = "the API changes things only for whoever brings the token"
            return _told(path, 403, what, "send it as `Authorization: Bearer TOKEN`")
        return None

    def _unsafe(self, path: str, headers: dict[str, str]) -> Response | None:
        if not self._access.is_same_origin(headers):
            return _told(path, 403, "this request comes from another site", "use our own page")
        length = headers.get("content-length", "0")
        if "transfer-encoding" in headers or not length.isdigit():
            return _told(path, 411, "the request does not say how long it is", "send its length")
        most = MAX_SUBMISSION if path == SUBMISSIONS else MAX_BODY
        if int(length) > most:
            return _told(path, 413, f"a request has at most {most} bytes here", "send less")
        return None

    def _session(self, headers: dict[str, str], kept: str) -> str:
        """Whose request it is; nothing for a stranger's."""
        scheme, _, token = headers.get("authorization", "").partition(" ")
        if scheme:
            return BEARER if scheme.lower() == "bearer" and self._access.knows(token) else ""
        kept = _cookie(headers.get("cookie", ""), self._access.cookie)
        return kept if self._access.is_session(kept) else ""


def _is_kept(scope: Scope, headers: dict[str, str]) -> bool:
    """Send a form whose session has ended to where it is kept. It changes nothing there."""
    is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
    if scope["method"] != "POST" or not scope["path"].startswith(PAGES) or not is_form:
        return False
    scope["state"]["meant"] = scope["path"]
    scope["path"], scope["raw_path"] = LAPSED, LAPSED.encode()
    return True


def _headers(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    return {name.decode("latin-1").lower(): value.decode("latin-1") for name, value in raw}


def _cookie(header: str, name: str) -> str:
    try:
        found = SimpleCookie(header).get(name)
    except CookieError:
        return ""
    return found.value if found else ""


def _unknown(path: str) -> Response:
    if path.startswith(API):
        what, fix = "the token is missing or wrong", "send `Authorization: Bearer TOKEN`"
        return JSONResponse({"what": what, "fix": fix}, 401, {"WWW-Authenticate": "Bearer"})
    return page("sign_in.html", status=401, meant=path, kept="")


def _told(path: str, status: int, what: str, fix: str) -> Response:
    if path.startswith(API):
        return JSONResponse({"what": what, "fix": fix}, status)
    return page("message.html", status=status, what=what, fix=fix)
