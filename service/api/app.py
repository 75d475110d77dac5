"""Put the API together: routes, errors, and what they work with."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry, ProcessCollector

from service import __version__
from service.api import events, examples, jobs, metrics, page, status, uploads
from service.api.address_rate import AddressRate
from service.api.context import open_context
from service.api.cross_site import CrossSiteMiddleware
from service.api.head import answer_head
from service.api.headers import install_headers
from service.api.openapi import TAGS, install_openapi, name_operations
from service.api.problems import install_problems
from service.api.proxy import ForwardedMiddleware
from service.observe.http import HttpMetrics, RequestTelemetryMiddleware
from service.settings import Settings

_DESCRIPTION = """A photograph and a sound go in; the photograph comes back looking like the place where the sound is
heard. Errors are problem documents (RFC 9457)."""


def create_app(settings: Settings, redis_url: str) -> FastAPI:
    """The application; it connects when it starts."""

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with open_context(settings, redis_url) as context:
            app.state.context = context
            yield

    app = FastAPIOffline(  # /docs brings its own scripts: a host behind a firewall has a page too
        title="Audio-driven image stylization",
        version=__version__,
        description=_DESCRIPTION,
        lifespan=lifespan,
        redoc_url=None,
        openapi_tags=TAGS,
        telemetry={"operation_spans": False},  # of each request one span, by the process's provider if it has one
    )
    install_problems(app)
    # inside of what follows: a refusal has an id, headers and a line in the log as well
    app.add_middleware(CrossSiteMiddleware, trusted_hosts=settings.own_hosts, origins=settings.cors_origins)
    install_headers(app, settings.cors_origins)
    app.state.address_rate = AddressRate()
    app.state.registry = CollectorRegistry()
    ProcessCollector(registry=app.state.registry)
    app.add_middleware(RequestTelemetryMiddleware, metrics=HttpMetrics(app.state.registry))
    app.add_middleware(ForwardedMiddleware, root_path=settings.root_path, trusted=settings.trusted_proxies)
    for part in (jobs, events, uploads, examples, status, metrics, page):
        app.include_router(answer_head(name_operations(part.router)))
    answer_head(app.router)  # /docs
    install_openapi(app)
    return app
