"""The web pages `/` and `/video` and their files, sent with headers that forbid everything from outside."""

import os
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.staticfiles import StaticFiles
from starlette.types import Scope

STATIC_DIR: Final = Path(__file__).parent / "static"

# blob: is what the page itself made of the visitor's own files: a preview of the image, the audio to be played.
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' blob:; "
        "media-src 'self' blob:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cache-Control": "no-cache",
}


class _PageFiles(StaticFiles):
    """The folder of the page, with `_HEADERS` on every file."""

    def file_response(
        self, full_path: str | os.PathLike[str], stat_result: os.stat_result, scope: Scope, status_code: int = 200
    ) -> Response:
        response = super().file_response(full_path, stat_result, scope, status_code)
        response.headers.update(_HEADERS)
        return response


_FILES: Final = _PageFiles(directory=STATIC_DIR)

router = APIRouter(include_in_schema=False)


@router.api_route("/", methods=["GET", "HEAD"])
async def index(request: Request) -> Response:
    """The page itself."""
    return await _FILES.get_response("index.html", request.scope)


@router.api_route("/video", methods=["GET", "HEAD"])
async def video(request: Request) -> Response:
    """The page for videos."""
    return await _FILES.get_response("video.html", request.scope)


@router.api_route("/static/{name:path}", methods=["GET", "HEAD"])
async def static_file(name: str, request: Request) -> Response:
    """A style sheet, script or drawing of a page; 404 for any other name."""
    return await _FILES.get_response(name, request.scope)
