"""The application: routes, what errors become, and the doorkeeper around all."""

from functools import cache

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp

from cluster.desk.troubles import status_of, trouble_of
from cluster.desk.wire import Trouble
from cluster.web import api, changes, entering, pages
from cluster.web.drawing import HERE, page
from cluster.web.entering import ForeignFormError, offered_again
from cluster.web.guard import API, Guard
from cluster.web.hall import Hall
from orchestration.errors import MantaError


def application(hall: Hall) -> ASGIApp:
    """Review page and API over a hall's store. Whoever serves it closes the store after."""
    return Guard(_routes(), hall)


@cache
def _routes() -> FastAPI:
    """All routes, for whichever hall the doorkeeper brings along."""
    app = FastAPI(
        title="Manta",
        version="1",
        description="Runs of an autonomous coding team: watch, review, decide, fetch.",
        docs_url=None,
        redoc_url=None,
        openapi_url=f"{API}v1/openapi.json",
    )
    for router in (api.router, entering.router, pages.router, changes.router):
        app.include_router(router)
    app.mount("/static", StaticFiles(directory=HERE / "static"))
    app.add_exception_handler(MantaError, _of_ours)
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _refused)
    app.add_exception_handler(Exception, _broken)
    return app


def _told(request: Request, status: int, what: str, fix: str, *, kind: str = "") -> Response:
    if request.url.path.startswith(API):
        told = Trouble(what=what, fix=fix, kind=kind)
        return JSONResponse(told.model_dump(exclude_defaults=True), status)
    return page("message.html", status=status, what=what, fix=fix)


async def _of_ours(request: Request, error: Exception) -> Response:
    assert isinstance(error, MantaError), "registered for it"
    if isinstance(error, ForeignFormError):
        return offered_again(request, error.meant, error.fields, status=403)
    told = trouble_of(error)
    return _told(request, status_of(error), told.what, told.fix, kind=told.kind)


async def _invalid(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError), "registered for it"
    wrong = [f"{'.'.join(map(str, one['loc'][1:]))}: {one['msg']}" for one in error.errors()[:5]]
    what = f"the request does not fit: {'; '.join(wrong)}"
    return _told(request, 422, what.encode(errors="replace").decode(), "correct it and send again")


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException), "registered for it"
    fix = f"the API is described by {API}v1/openapi.json"
    response = _told(request, error.status_code, f"{request.url.path}: {error.detail}", fix)
    response.headers.update(error.headers or {})
    return response


async def _broken(request: Request, error: Exception) -> Response:
    what = f"something broke here ({type(error).__name__})"
    return _told(request, 500, what, "see what `manta web` printed, and report it")
