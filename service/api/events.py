"""Follow a job by server-sent events, which FastAPI writes and keeps alive."""

import re
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Response
from fastapi.sse import EventSourceResponse, ServerSentEvent
from starlette.exceptions import HTTPException

from service.api.auth import Known
from service.api.context import Using
from service.api.descriptions import EVENTS, PROBLEMS
from service.api.jobs import JobId, read_own_job

router = APIRouter(tags=["jobs"], responses=PROBLEMS)

_EVENT_ID: Final = re.compile(r"\d{1,18}(-\d{1,18})?", re.ASCII)
_RECONNECT_MS: Final = 1000


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


@router.get("/jobs/{job_id}/events", response_class=EventSourceResponse, **EVENTS)
async def follow_job(position: Position, context: Using, response: Response) -> AsyncIterator[ServerSentEvent]:
    """Follow a job by server-sent events; they are kept, so that a reader who was cut off misses nothing."""
    yield ServerSentEvent(retry=_RECONNECT_MS)
    async for event in context.event_bus.follow(position.job_id, position.after):
        yield ServerSentEvent(id=event.id, event=event.name, raw_data=event.data)


@router.head("/jobs/{job_id}/events", include_in_schema=False)
async def describe_events(position: Position) -> Response:
    """The headers of the stream."""
    return Response(headers={"Cache-Control": "no-cache"}, media_type=EventSourceResponse.media_type)
