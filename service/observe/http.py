"""Every HTTP request is given an id, counted, timed and logged, whatever becomes of it. FastAPI itself traces it."""

import logging
import time
from typing import Any, Final

from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from service.observe import correlation

logger = logging.getLogger("service.access")

_SECONDS: Final = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 60.0)
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})
_OTHER: Final = "other"
_QUIET: Final = frozenset({"/healthz", "/readyz", "/metrics"})  # asked every few seconds by machines
_GONE: Final = 499  # the client left before it had an answer; the number that web servers use for it


class HttpMetrics:
    """What this process answered. Routes are templates (`/jobs/{job_id}`), so that there are few of them."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self.requests = Counter(
            "adis_http_requests", "HTTP requests answered.", ("method", "route", "status"), registry=registry
        )
        self.seconds = Histogram(
            "adis_http_seconds",
            "From a request's arrival to its answer's last byte; held answers and event streams are long on purpose.",
            ("method", "route"),
            buckets=_SECONDS,
            registry=registry,
        )


class RequestTelemetryMiddleware:
    """The middleware, outside of all others."""

    def __init__(self, app: ASGIApp, metrics: HttpMetrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        request_id = correlation.take_request_id(headers.get(correlation.HEADER))
        scope.setdefault("state", {})["request_id"] = request_id
        began, status = time.perf_counter(), _GONE

        async def send_with_id(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                MutableHeaders(scope=message)[correlation.HEADER] = request_id
            await send(message)

        correlation.request_id.set(request_id)  # not taken back: the server logs a fault after this, in the same task
        try:
            await self._app(scope, receive, send_with_id)
        except Exception:
            status = 500
            raise
        finally:
            self._tell(scope, _method(scope), _route(scope), status, time.perf_counter() - began)

    def _tell(self, scope: Scope, method: str, route: str, status: int, seconds: float) -> None:
        self._metrics.requests.labels(method, route, str(status)).inc()
        self._metrics.seconds.labels(method, route).observe(seconds)
        level = logging.DEBUG if route in _QUIET and status < 400 else logging.INFO
        about = {
            "method": method,
            "path": scope["path"],
            "route": route,
            "status": status,
            "seconds": round(seconds, 6),
        }
        logger.log(level, "%s %s %d in %.0f ms", method, _plain(scope["path"]), status, 1000 * seconds, extra=about)


def _method(scope: Scope) -> str:
    method: str = scope["method"]
    return method if method in _METHODS else _OTHER


def _route(scope: Scope) -> str:
    """The template of the route that answers; whatever else was asked for is one and the same."""
    route: Any = scope.get("route")
    return str(getattr(route, "path", _OTHER))


def _plain(path: str) -> str:
    """A path may hold any character, a line's end among them."""
    return path if path.isprintable() else ascii(path)[1:-1]
