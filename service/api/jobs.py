"""Routes of the jobs: hand one in, look at it, follow it, fetch its results, delete it."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import APIRouter, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from service.api.auth import Admitted, Caller, Known
from service.api.context import Context, Using
from service.api.descriptions import PROBLEMS, RESULT, STYLIZE, STYLIZE_VIDEO
from service.api.forms import IMAGE, PREVIEW, VIDEO, Form
from service.api.preferences import read_preferences
from service.api.problems import stored_problem_response
from service.api.results import send_result
from service.api.submission import submit
from service.errors import Conflict, Unauthorized
from service.jobs.job_index import list_jobs
from service.jobs.record import JobRecord, JobState
from service.jobs.submission_repository import job_not_found
from service.jobs.wait_estimator import whole_seconds
from service.schemas.documents import Job, Jobs, job_document
from service.schemas.requests import MAX_SECONDS

router = APIRouter(tags=["jobs"], responses=PROBLEMS)

_JOB_ID: Final = re.compile(r"[0-9a-f]{32}")
_INDEX: Final = re.compile(r"[0-9]{1,9}")
_RETRY_AFTER_SECONDS: Final = 1

JobId = Annotated[str, Path(description="the id that POST /stylize or /stylize/video gave", max_length=64)]


@router.post("/stylize", status_code=202, response_model=Job, **STYLIZE)
async def stylize(request: Request, context: Using, caller: Admitted) -> Response:
    """Hand in a photograph and a sound: the answer is a job, or (if asked for and ready in time) the image itself."""
    return await _hand_in(request, context, caller, IMAGE)


@router.post("/stylize/video", status_code=202, response_model=Job, **STYLIZE_VIDEO)
async def stylize_video(
    request: Request,
    context: Using,
    caller: Admitted,
    preview: Annotated[bool, Query(description="one frame at five gains instead, within seconds")] = False,
    at_seconds: Annotated[
        float | None, Query(ge=0, le=MAX_SECONDS, allow_inf_nan=False, description="of the preview's frame")
    ] = None,
) -> Response:
    """Hand in a video whose soundtrack's volume is to be edited: the answer is a job, or (if ready in time) the video.

    With `image` and `audio` instead of `video` the result is a video of the image, which follows the sound's loudness.
    The soundtrack is made louder or softer, and the images follow what is then heard. A preview's results are a
    contact sheet, then its five frames; each receipt estimates how long the whole video would take.
    """
    if not preview:
        return await _hand_in(request, context, caller, VIDEO)
    return await _hand_in(request, context, caller, PREVIEW, {} if at_seconds is None else {"at_seconds": at_seconds})


async def _hand_in(
    request: Request, context: Context, caller: Caller, form: Form, defaults: Mapping[str, Any] | None = None
) -> Response:
    preferences = read_preferences(
        ",".join(request.headers.getlist("Prefer")),
        ",".join(request.headers.getlist("Accept")),
        context.settings.max_wait_seconds,
        "video" if form.kind == "video" else "image",
    )
    values = dict(defaults or {})
    if form.kind == "image" and preferences.format:
        values["format"] = preferences.format
    job_id, is_new = await submit(request, context, caller, form, values)
    if preferences.patience_seconds > 0:
        await context.event_bus.wait_until_ended(job_id, preferences.patience_seconds)
    record = await context.submissions.read(job_id)
    response = await _answer(request, context, record, preferences.result)
    response.headers["Vary"] = "Accept, Prefer"
    if preferences.wait_seconds is not None:
        response.headers["Preference-Applied"] = f"wait={preferences.wait_seconds:g}"
    if not is_new:
        response.headers["Idempotency-Replayed"] = "true"
    return response


async def _answer(request: Request, context: Context, record: JobRecord, result: bool) -> Response:
    """What a job looks like to the one who handed it in."""
    url = f"{request.scope.get('root_path', '')}/jobs/{record.id}"
    if not record.state.ended:
        estimate = await context.estimate(record)
        again = _RETRY_AFTER_SECONDS if estimate is None else whole_seconds(estimate)
        headers = {"Location": url, "Retry-After": str(again)}
        return _job_response(request, record, 202, headers, estimate)
    if result and record.state is JobState.FAILED and record.error is not None:
        response: Response = stored_problem_response(record.error)
    elif result and record.state is JobState.CANCELLED:
        raise Conflict(f"job {record.id} was cancelled before it had a result")
    elif result and len(record.results) == 1:
        response = await send_result(request, context.storage, record, 0)
    else:
        response = _job_response(request, record)
    response.headers["Location"] = url
    return response


def _job_response(
    request: Request,
    record: JobRecord,
    status_code: int = 200,
    headers: dict[str, str] | None = None,
    estimated_seconds: float | None = None,
    jobs_ahead: int | None = None,
) -> JSONResponse:
    document = job_document(record, request.scope.get("root_path", ""), estimated_seconds, jobs_ahead)
    no_store = {"Cache-Control": "no-store"}
    return JSONResponse(document.model_dump(mode="json"), status_code, headers=no_store | (headers or {}))


@router.get("/jobs", response_model=Jobs)
async def list_own_jobs(
    request: Request,
    context: Using,
    caller: Known,
    limit: Annotated[int, Query(ge=1, le=100, description="most jobs of one page")] = 20,
    cursor: Annotated[str | None, Query(max_length=64, description="`next_cursor` of the page before")] = None,
    state: Annotated[JobState | None, Query(description="only jobs in that state")] = None,
) -> Response:
    """The API key's own jobs, newest first. A page may be short though more follow: go on to `next_cursor`."""
    if caller.key is None:
        raise Unauthorized("a list of jobs needs an API key; without one a job is known by its id alone")
    page = await list_jobs(context.client, caller.key_id, limit, cursor, state)
    documents = [job_document(record, request.scope.get("root_path", "")) for record in page.records]
    answer = Jobs(jobs=documents, next_cursor=page.cursor).model_dump(mode="json")
    return JSONResponse(answer, headers={"Cache-Control": "no-store"})


@router.get("/jobs/{job_id}", response_model=Job)
async def read_job(job_id: JobId, request: Request, context: Using, caller: Known) -> Response:
    """The state of a job, its progress, and what came of it."""
    record = await read_own_job(context, caller, job_id)
    ahead = await context.submissions.jobs_ahead(record) if record.state is JobState.QUEUED else None
    return _job_response(request, record, estimated_seconds=await context.estimate(record), jobs_ahead=ahead)


@router.get("/jobs/{job_id}/results/{index}", response_class=Response, **RESULT)
async def read_result(
    job_id: JobId,
    index: Annotated[str, Path(description="from 0")],
    request: Request,
    context: Using,
    caller: Known,
    redirect: Annotated[bool, Query(description="whether a link to the storage may be the answer")] = True,
) -> Response:
    """The bytes of one result, or, where results lie in an object store, a link to them that is good for a while."""
    record = await read_own_job(context, caller, job_id)
    return await send_result(request, context.storage, record, int(index) if _INDEX.fullmatch(index) else -1, redirect)


@router.delete("/jobs/{job_id}", status_code=204)
async def delete_job(job_id: JobId, context: Using, caller: Known) -> Response:
    """Cancel a job that waits or runs, or forget one that has ended; in both cases erase its files."""
    record = await read_own_job(context, caller, job_id)
    if not record.state.ended:  # then its record tells of it until it expires, and is there for another try
        await context.submissions.delete(job_id)
    await run_in_threadpool(context.storage.erase, job_id)
    if record.state.ended:
        await context.submissions.delete(job_id)
    return Response(status_code=204)


async def read_own_job(context: Context, caller: Caller, job_id: str) -> JobRecord:
    """The job's record; raises JobNotFound, for what cannot be an id and for another's job as well.

    Without keys whoever knows the id may read and delete the job. It has 122 random bits.
    """
    if not _JOB_ID.fullmatch(job_id):
        raise job_not_found(job_id)
    record = await context.submissions.read(job_id)
    if record.api_key != caller.key_id:
        raise job_not_found(job_id)
    return record
