"""Spans by OpenTelemetry, sent by OTLP over HTTP; without an endpoint nothing is sent, and nothing is loaded here.

A trace begins with the HTTP request (or with the client's own, by `traceparent`), and goes on in the worker: the job's
record carries it, so that it stays with a job whose message was lost and sent anew.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

Part = Literal["api", "worker"]
Value = str | int | float

_SEND_EVERY_MS: Final = 1000
_LAST_SEND_MS: Final = 3000
_SEND_SECONDS: Final = 5.0


class TracingNotInstalled(Exception):
    """An endpoint is set, and the packages are not there."""


_provider: "TracerProvider | None" = None


def check_installed() -> None:
    """Raises TracingNotInstalled."""
    try:
        import opentelemetry.exporter.otlp.proto.http.trace_exporter
        import opentelemetry.sdk.trace  # noqa: F401
    except ModuleNotFoundError as exc:
        raise TracingNotInstalled(f"ADIS_OTLP_ENDPOINT needs the package {exc.name}: pip install '.[tracing]'") from exc


def start_tracing(endpoint: str | None, part: Part, version: str) -> None:
    """Send this process's spans to `endpoint`; None: send none. Not before a fork, which threads do not survive.

    The provider becomes the process's, so that FastAPI traces requests with it.
    """
    global _provider  # noqa: PLW0603 (one for each process)
    if endpoint is None:
        return
    from opentelemetry import trace
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    resource = Resource.create(
        {"service.name": f"adis-{part}", "service.namespace": "adis", "service.version": version}
    )
    _provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces", timeout=_SEND_SECONDS)
    _provider.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=_SEND_EVERY_MS))
    trace.set_tracer_provider(_provider)


def stop_tracing() -> None:
    """Send what is left, for a few seconds at most."""
    global _provider  # noqa: PLW0603 (one for each process)
    if _provider is not None:
        _provider.force_flush(_LAST_SEND_MS)
        _provider.shutdown()
        _provider = None


@contextmanager
def span(
    name: str,
    attributes: Mapping[str, Value] | None = None,
    parent: str | None = None,
    kind: Literal["INTERNAL", "CONSUMER"] = "INTERNAL",
) -> Iterator["Span | None"]:
    """The block as a span of the current trace, or of `parent`'s (a W3C traceparent); None if nothing is traced."""
    if _provider is None:
        yield None
        return
    from opentelemetry.trace import SpanKind
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    context = TraceContextTextMapPropagator().extract({"traceparent": parent}) if parent else None
    tracer = _provider.get_tracer("service")
    with tracer.start_as_current_span(name, context, SpanKind[kind], dict(attributes or {})) as current:
        yield current


def traceparent() -> str | None:
    """The current span, for whoever goes on with its trace."""
    if _provider is None:
        return None
    from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

    carrier: dict[str, str] = {}
    TraceContextTextMapPropagator().inject(carrier)
    return carrier.get("traceparent")


def trace_id() -> str | None:
    """Of the current trace, as tracing tools show it."""
    parent = traceparent()
    return parent.split("-")[1] if parent else None


def mark_failed(reason: str) -> None:
    """The current span's work ended in an error that is no exception any more."""
    if _provider is not None:
        from opentelemetry.trace import Status, StatusCode, get_current_span

        get_current_span().set_status(Status(StatusCode.ERROR, reason))
