"""Coming in with the token, and going out."""

from typing import Annotated

from fastapi import APIRouter, Form, Query, Request
from fastapi.responses import RedirectResponse, Response

from cluster.web.access import BEARER, SESSION_S
from cluster.web.drawing import page
from cluster.web.hall import AHall, Hall, hall_of
from orchestration.errors import UsageError

router = APIRouter(include_in_schema=False)


class ForeignFormError(UsageError):
    """A form that another session's page made, or no page of ours."""


@router.get("/enter")
async def enter(
    request: Request, hall: AHall, token: Annotated[str, Query(max_length=200)] = ""
) -> Response:
    """The address that `manta web` prints: the token becomes a session and leaves the address."""
    return _let_in(request, hall, token)


@router.post("/sign-in")
async def sign_in(
    request: Request, hall: AHall, token: Annotated[str, Form(max_length=200)] = ""
) -> Response:
    """The same by hand."""
    return _let_in(request, hall, token)


@router.post("/sign-out")
async def sign_out(
    request: Request, hall: AHall, csrf: Annotated[str, Form()] = ""
) -> RedirectResponse:
    """Forget the session."""
    require_own_form(request, csrf)
    response = RedirectResponse("/", 303)
    response.delete_cookie(hall.access.cookie, httponly=True, samesite="strict")
    return response


def session_of(request: Request) -> str:
    """Whose request it is; the doorkeeper has checked it."""
    return request.state.session or BEARER


def require_own_form(request: Request, given: str) -> None:
    """Refuse a form that none of this session's pages made.

    Raises:
        ForeignFormError: the form carries no token, or another session's.
    """
    if not hall_of(request).access.is_form_of(session_of(request), given):
        raise ForeignFormError(
            "this form is not of your present session; nothing was changed",
            "load the page again, then send it",
        )


def _let_in(request: Request, hall: Hall, token: str) -> Response:
    if not hall.access.knows(token.strip()):
        return page("sign_in.html", status=401)
    response = RedirectResponse("/", 303)
    response.set_cookie(
        hall.access.cookie,
        hall.access.new_session(),
        max_age=int(SESSION_S),
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
    return response
