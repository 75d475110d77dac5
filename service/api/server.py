"""Run the API: one uvicorn server on a socket that is already bound, stopped by SIGTERM or SIGINT."""

import asyncio
import functools
import logging
import resource
import signal
import socket
from contextlib import suppress
from types import FrameType
from typing import Final

import uvicorn
from fastapi import FastAPI

from service import __version__
from service.api.app import create_app
from service.api.protocol import BoundedHttpProtocol
from service.observe.tracing import start_tracing, stop_tracing
from service.settings import Settings

logger = logging.getLogger(__name__)

_LAST_ANSWERS_SECONDS: Final = 10
_MOST_FILES: Final = 65_536  # connections among them


def serve(settings: Settings, redis_url: str, listener: socket.socket) -> None:
    """Answer requests until SIGTERM or SIGINT; held answers and event streams end then."""
    raise_file_limit()
    app = create_app(settings, redis_url)
    config = uvicorn.Config(
        app,
        http=functools.partial(BoundedHttpProtocol, head_seconds=settings.max_upload_pause_seconds),  # type: ignore[arg-type]
        ws="none",
        log_config=None,
        access_log=False,  # service.observe.http writes it
        server_header=False,
        proxy_headers=False,  # service.api.proxy reads them
        timeout_graceful_shutdown=_LAST_ANSWERS_SECONDS,
    )
    # uvicorn raises its signal once more when it is done; it has been heeded by then
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: None)
    start_tracing(settings.otlp_endpoint, "api", __version__)
    try:
        _Server(config, app).run(sockets=[listener])
    finally:
        stop_tracing()


def raise_file_limit() -> None:
    """Take as many open files as this user may have: the usual 1,024 are few idle connections of one client."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _MOST_FILES if hard == resource.RLIM_INFINITY else min(hard, _MOST_FILES)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        with suppress(ValueError, OSError):  # of a system with a bound of its own
            resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


class _Server(uvicorn.Server):
    """Lets those go who wait for a job, so that a stop does not have to wait for them."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        await super().serve(sockets)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        context = getattr(self._app.state, "context", None)
        if context is not None and self._loop is not None:
            self._loop.call_soon_threadsafe(context.event_bus.close)
