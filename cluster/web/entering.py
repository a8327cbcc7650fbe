"""Coming in with the token, going out, and what becomes of a form whose session has ended."""

import json
import re
from typing import Annotated, cast

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from cluster.web.access import BEARER, REMEMBERED_S
from cluster.web.drawing import page
from cluster.web.hall import AHall, Hall, hall_of
from orchestration.errors import UsageError

router = APIRouter(include_in_schema=False)
LAPSED = "/lapsed"
"""Where the doorkeeper sends a form of nobody's session."""
CSRF = "csrf"
_PAGE = re.compile(r"/runs/[\w./-]{1,400}")
Fields = list[tuple[str, str]]


class ForeignFormError(UsageError):
    """A form that another session's page made, or no page of ours.

    `details`: where it was to go, and its fields.
    """

    @property
    def meant(self) -> str:
        return str(self.details[0])

    @property
    def fields(self) -> Fields:
        return cast("Fields", self.details[1])


@router.get("/enter")
async def enter(
    request: Request, hall: AHall, token: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """The address that `manta web` prints: the token becomes a session and leaves the address."""
    return _let_in(request, hall, token)


@router.post("/sign-in")
async def sign_in(
    request: Request,
    hall: AHall,
    token: Annotated[str, Form(max_length=200)] = "",
    meant: Annotated[str, Form(max_length=500)] = "",
    kept: Annotated[str, Form(max_length=2_000_000)] = "",
) -> Response:
    """The same by hand. What was `meant` to be sent before is offered again, never sent by us."""
    return _let_in(request, hall, token, meant, kept)


@router.post("/sign-out")
async def sign_out(request: Request, hall: AHall) -> RedirectResponse:
    """Forget the session."""
    await require_own_form(request)
    response = RedirectResponse("/", 303)
    response.delete_cookie(hall.access.cookie, httponly=True, samesite="strict")
    return response


@router.post(LAPSED)
async def lapsed(request: Request) -> Response:
    """A form came without a session: ask for the token, and keep what was written."""
    meant = str(getattr(request.state, "meant", "/"))
    return _ask(meant, json.dumps(await _fields(request)))


def session_of(request: Request) -> str:
    """Whose request it is; the doorkeeper has checked it."""
    return request.state.session or BEARER


def browser_of(request: Request) -> str:
    """The browser that it came from."""
    return hall_of(request).access.browser_of(session_of(request))


async def require_own_form(request: Request) -> None:
    """Refuse a form that none of this browser's pages made.

    Raises:
        ForeignFormError: the form carries no token, or another browser's.
    """
    given = (await request.form()).get(CSRF)
    token = given if isinstance(given, str) else ""
    if not hall_of(request).access.is_form_of(session_of(request), token):
        raise ForeignFormError(
            "this form is not of your present session; nothing was changed",
            "look at what it says, and send it again if it is yours",
            request.url.path,
            await _fields(request),
        )


def offered_again(request: Request, meant: str, fields: Fields, *, status: int) -> Response:
    """What was not sent, to be looked at and sent by one press."""
    csrf = hall_of(request).access.form_token(session_of(request))
    return page("again.html", status=status, meant=meant, fields=fields, csrf=csrf)


async def _fields(request: Request) -> Fields:
    """Of a form, without its token."""
    form = await request.form()
    return [(k, v) for k, v in form.multi_items() if isinstance(v, str) and k != CSRF]


def _ask(meant: str = "", kept: str = "") -> Response:
    return page("sign_in.html", status=401, meant=meant, kept=kept)


def _let_in(request: Request, hall: Hall, token: str, meant: str = "", kept: str = "") -> Response:
    if not hall.access.knows(token.strip()):
        return _ask(meant, kept)
    session = request.state.session = hall.access.new_session(request.state.before)
    meant, fields = meant if _is_page(meant) else "/", _unpacked(kept)
    response: Response = RedirectResponse(meant, 303)
    if fields and meant != "/":
        response = offered_again(request, meant, fields, status=200)
    response.set_cookie(
        hall.access.cookie,
        session,
        max_age=int(REMEMBERED_S),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response


def _is_page(path: str) -> bool:
    """Whether it is an address of a page of ours, and nowhere else."""
    return _PAGE.fullmatch(path) is not None


def _unpacked(kept: str) -> Fields:
    try:
        found = json.loads(kept)
        return [(str(name), str(value)) for name, value in found]
    except (ValueError, TypeError):
        return []
