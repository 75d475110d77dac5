"""The web pages `/` and `/video` and their files: read once, sent with headers that forbid everything from outside."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

STATIC_DIR: Final = Path(__file__).parent / "static"

_MEDIA_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}

# blob: is what the page itself made of the visitor's own files: a preview of the picture, the sound to be played.
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


@dataclass(frozen=True)
class _Asset:
    body: bytes
    media_type: str
    etag: str


def _read_assets() -> dict[str, _Asset]:
    """The files of the page by name. What is not in this table cannot be asked for."""
    assets = {}
    for path in sorted(STATIC_DIR.iterdir()):
        if path.suffix in _MEDIA_TYPES:
            body = path.read_bytes()
            etag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
            assets[path.name] = _Asset(body, _MEDIA_TYPES[path.suffix], etag)
    return assets


_ASSETS: Final = _read_assets()

router = APIRouter(include_in_schema=False)


@router.get("/")
def index(request: Request) -> Response:
    """The page itself."""
    return _send("index.html", request)


@router.get("/video")
def video(request: Request) -> Response:
    """The page for videos."""
    return _send("video.html", request)


@router.get("/static/{name}")
def static_file(name: str, request: Request) -> Response:
    """A style sheet, script or drawing of the page; 404 for any other name."""
    return _send(name, request)


def _send(name: str, request: Request) -> Response:
    asset = _ASSETS.get(name)
    if asset is None:
        raise HTTPException(404, f"the page has no file {name!r}")
    headers = {**_HEADERS, "ETag": asset.etag}
    if request.headers.get("If-None-Match") == asset.etag:
        return Response(status_code=304, headers=headers)
    return Response(asset.body, media_type=asset.media_type, headers=headers)
