"""Which request and which job the code at hand works for, carried along by context variables into every log line."""

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

HEADER: Final = "X-Request-ID"

_VALID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:-]{0,127}")

request_id: ContextVar[str | None] = ContextVar("request_id", default=None)
job_id: ContextVar[str | None] = ContextVar("job_id", default=None)


def take_request_id(given: str | None) -> str:
    """The client's own id, if it is one that can stand in a log line; else a new one."""
    return given if given is not None and _VALID.fullmatch(given) else uuid.uuid4().hex


@contextmanager
def working_on(job: str, request: str | None) -> Iterator[None]:
    """The block works on this job, which that request handed in."""
    tokens = job_id.set(job), request_id.set(request)
    try:
        yield
    finally:
        job_id.reset(tokens[0])
        request_id.reset(tokens[1])
