"""What every answer tells browsers, and which other origins' pages may call the API."""

from collections.abc import Sequence
from typing import Final

from fastapi import FastAPI
from starlette.datastructures import MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

# The page's own policy is stricter. /docs has inline scripts, so that this one cannot forbid them.
SECURITY_HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "frame-ancestors 'none'; base-uri 'none'; object-src 'none'",
}

_METHODS: Final = ("GET", "HEAD", "POST", "DELETE")
_TAKEN: Final = ("Authorization", "X-API-Key", "Idempotency-Key", "Prefer", "Last-Event-ID", "Range", "X-Request-ID")
_SHOWN: Final = (
    "Location",
    "Content-Location",
    "Content-Range",
    "ETag",
    "Retry-After",
    "Preference-Applied",
    "Idempotency-Replayed",
    "X-Request-ID",
)


class SecurityHeadersMiddleware:
    """The middleware that adds the headers which an answer does not have of its own."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_secured(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in SECURITY_HEADERS.items():
                    headers.setdefault(name, value)
            await send(message)

        await self._app(scope, receive, send_secured)


def install_headers(app: FastAPI, origins: Sequence[str]) -> None:
    """Secure every answer; let pages of these origins call the API, with a key but never with cookies."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_TAKEN,
            expose_headers=_SHOWN,
        )
    app.add_middleware(SecurityHeadersMiddleware)
