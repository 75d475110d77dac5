"""Every error leaves the API as a problem document (RFC 9457), whoever raised it."""

import http
import logging
from collections.abc import Mapping
from typing import Any, Final

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from redis.exceptions import OutOfMemoryError, RedisError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import compile_path

from service.api.headers import SECURITY_HEADERS
from service.errors import InvalidValue, StylizationError, Unavailable
from service.observe.correlation import HEADER
from service.redis.connection import IS_FULL

logger = logging.getLogger(__name__)

MEDIA_TYPE: Final = "application/problem+json"
_RETRY_AFTER_SECONDS: Final = 5


class ProblemResponse(JSONResponse):
    """A problem document."""

    media_type = MEDIA_TYPE


def problem_response(
    error: StylizationError, headers: Mapping[str, str] | None = None, more: Mapping[str, Any] | None = None
) -> ProblemResponse:
    """The answer to a request that ended in `error`. more: members of the document that this kind of problem adds."""
    retry = {} if error.retry_after is None else {"Retry-After": str(error.retry_after)}
    document = {**error.problem(), **(more or {})}
    return ProblemResponse(document, status_code=error.status, headers={**error.headers, **retry, **(headers or {})})


def stored_problem_response(problem: Mapping[str, Any]) -> ProblemResponse:
    """The answer to a request whose job failed with this problem document."""
    return ProblemResponse(dict(problem), status_code=int(problem["status"]))


def install_problems(app: FastAPI) -> None:
    """Answer every exception with a problem document; what is not foreseen is logged and told to nobody else."""
    app.add_exception_handler(StylizationError, _foreseen)
    app.add_exception_handler(HTTPException, _of_http)
    app.add_exception_handler(RequestValidationError, _of_fastapi)
    app.add_exception_handler(RedisError, _no_redis)
    app.add_exception_handler(ClientDisconnect, _gone)
    app.add_exception_handler(Exception, _unforeseen)


async def _foreseen(request: Request, error: Exception) -> Response:
    assert isinstance(error, StylizationError)
    return problem_response(error)


async def _of_http(request: Request, error: Exception) -> Response:
    """What Starlette raises itself: 404 and 405, for the most part."""
    assert isinstance(error, HTTPException)
    if error.status_code in (204, 304):  # an answer without a body, and no problem
        return Response(status_code=error.status_code, headers=error.headers)
    root_path = request.scope.get("root_path", "")
    detail = {
        404: f"there is nothing at {request.scope['path']}; {root_path}/docs describes the API",
        405: f"{request.method} is not possible here; the Allow header says what is",
    }.get(error.status_code, error.detail)
    document = {
        "type": "about:blank",
        "title": http.HTTPStatus(error.status_code).phrase,
        "status": error.status_code,
        "detail": detail,
    }
    headers = dict(error.headers or {})
    if error.status_code == 405:
        headers["Allow"] = _allowed(request, headers.get("Allow", ""))
    return ProblemResponse(document, status_code=error.status_code, headers=headers)


def _allowed(request: Request, first: str) -> str:
    """The methods of every route of this path; Starlette names those of the `first` one alone."""
    methods = {method.strip() for method in first.split(",")} - {""}
    path = request.scope["path"].removeprefix(request.scope.get("root_path", ""))
    for template, operations in request.app.openapi()["paths"].items():
        if compile_path(template)[0].match(path):
            methods |= {method.upper() for method in operations} | ({"HEAD"} if "get" in operations else set())
    return ", ".join(sorted(methods))


async def _of_fastapi(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)
    first = error.errors()[0]
    place = [str(part) for part in first.get("loc", ())]  # where it came ("query"), its name, its number in a list
    field = place[1] if len(place) > 1 else None
    return problem_response(InvalidValue(f"{field}: {first['msg']}", field=field))


async def _no_redis(request: Request, error: Exception) -> Response:
    if isinstance(error, OutOfMemoryError):
        logger.error("%s", IS_FULL)
        return problem_response(
            Unavailable(f"{IS_FULL}, and takes nothing new; try again soon", retry_after=_RETRY_AFTER_SECONDS)
        )
    logger.error("Redis does not answer: %s", error)
    return problem_response(
        Unavailable("the job queue does not answer; try again soon", retry_after=_RETRY_AFTER_SECONDS)
    )


async def _gone(request: Request, error: Exception) -> Response:
    return Response(status_code=400)  # nobody is there to read it


async def _unforeseen(request: Request, error: Exception) -> Response:
    # this answer is made outside of the middleware that adds them
    headers = {HEADER: request.state.request_id, **SECURITY_HEADERS}
    return problem_response(StylizationError("the service failed on this request; the fault is logged"), headers)
