"""The route that Prometheus asks."""

from typing import Final

from fastapi import APIRouter, Request, Response
from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, generate_latest

from service.api.address_rate import Limited
from service.api.context import Using
from service.api.descriptions import PROBLEMS
from service.observe.collector import collect_metrics

router = APIRouter(tags=["service"])

_RESPONSES: Final = {429: PROBLEMS[429], 200: {"content": {"text/plain": {"schema": {"type": "string"}}}}}


@router.get("/metrics", response_class=Response, responses=_RESPONSES, dependencies=[Limited])  # type: ignore[arg-type]
async def read_metrics(request: Request, context: Using) -> Response:
    """Everything that is counted, in Prometheus's text form: this process's requests, and the whole service's jobs."""
    whole = CollectorRegistry()
    whole.register(await collect_metrics(context.client))
    own: CollectorRegistry = request.app.state.registry
    return Response(generate_latest(own) + generate_latest(whole), headers={"Content-Type": CONTENT_TYPE_LATEST})
