"""Follow a job by server-sent events, which FastAPI writes and keeps alive."""

import logging
import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Request, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from redis.exceptions import RedisError
from starlette.exceptions import HTTPException

from service.api.auth import Known, name_caller
from service.api.context import MOST_STREAMS, Using
from service.api.descriptions import EVENTS, PROBLEMS
from service.api.jobs import JobId, read_own_job
from service.errors import TooManyRequests

logger = logging.getLogger(__name__)

router = APIRouter(tags=["jobs"], responses=PROBLEMS)

_EVENT_ID: Final = re.compile(r"\d{1,18}(-\d{1,18})?", re.ASCII)
_RECONNECT_MS: Final = 1000
_RETRY_AFTER_SECONDS: Final = 10


@dataclass(frozen=True)
class _Position:
    """A job, and the id of the event after which its reader goes on."""

    job_id: str
    after: str


async def _find_position(
    job_id: JobId,
    context: Using,
    caller: Known,
    last_event_id: Annotated[str | None, Header(description="where to go on; without it from the start")] = None,
) -> _Position:
    """Raises JobNotFound, and the answer 204, which tells a browser to reconnect no more, where all has been read."""
    record = await read_own_job(context, caller, job_id)
    after = last_event_id if last_event_id and _EVENT_ID.fullmatch(last_event_id) else "0"
    if record.state.ended and not await context.event_bus.has_events(job_id, after):
        raise HTTPException(204)
    return _Position(job_id, after)


Position = Annotated[_Position, Depends(_find_position)]


async def _hold_stream(request: Request, context: Using, caller: Known) -> AsyncIterator[None]:
    """A dependency that lasts as long as the stream; raises TooManyRequests where its caller has too many."""
    share = context.streams.of(name_caller(request, caller))
    if share.locked():
        raise TooManyRequests(
            f"one client may follow {MOST_STREAMS} jobs at a time; end some of them first",
            retry_after=_RETRY_AFTER_SECONDS,
        )
    async with share:
        yield


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse, dependencies=[Depends(_hold_stream)], **EVENTS)
async def follow_job(position: Position, context: Using, response: Response) -> AsyncIterator[ServerSentEvent]:
    """Follow a job by server-sent events; they are kept, so that a reader who was cut off misses nothing."""
    yield ServerSentEvent(retry=_RECONNECT_MS)
    try:
        async for event in context.event_bus.follow(position.job_id, position.after):
            yield ServerSentEvent(id=event.id, event=event.name, raw_data=event.data)
    except RedisError as exc:  # the answer has begun: it ends here, and its reader comes again
        logger.warning("the events of job %s break off, since Redis does not answer: %s", position.job_id, exc)


@router.head("/jobs/{job_id}/events", include_in_schema=False)
async def describe_events(position: Position) -> Response:
    """The headers of the stream."""
    return Response(headers={"Cache-Control": "no-cache"}, media_type=EventSourceResponse.media_type)
