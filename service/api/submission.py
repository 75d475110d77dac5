"""Turn a received form into a job: read its values, probe its files, and store, record and queue it."""

import hashlib
import json
import uuid
from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any, Final

from kombu.exceptions import OperationalError
from redis.exceptions import OutOfMemoryError, RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from service.api.auth import Caller, name_caller
from service.api.context import Context, logger, slots
from service.api.descriptions import MAX_IDEMPOTENCY_KEY_LENGTH
from service.api.forms import Form, check_counts, read_ids, read_parameters
from service.api.inputs import find_uploads, link_uploads, probe_and_keep
from service.api.multipart import receive_form
from service.api.request_body import announced_bytes
from service.errors import InvalidValue, MediaError, ModelNotFound, StorageUnavailable, Unavailable
from service.jobs.queue import send
from service.jobs.record import StoredInput
from service.jobs.submission_repository import NewJob
from service.jobs.worker_registry import WorkerReport
from service.kind import Kind
from service.media.audio import AudioInfo
from service.media.still_video import STILL_FPS
from service.media.video_file import VideoInfo
from service.observe import correlation, tracing
from service.schemas.requests import PREVIEW_STEPS_DB, ImageRequest, PreviewRequest, VideoRequest
from service.settings import Settings
from service.uploads.budget import Reservation
from service.uploads.repository import ProbeResult
from service.webhooks.request import WebhookRequest, read_webhook

_RETRY_AFTER_SECONDS: Final = 60
_WORKERS_KEPT_SECONDS: Final = 1.0  # one that dies in it is missed no sooner than one that dies after it


async def submit(
    request: Request, context: Context, caller: Caller, form: Form, defaults: Mapping[str, Any] | None = None
) -> tuple[str, bool]:
    """Take the request in: (id of its job, whether that is new). The uploads are on disk and the record is in Redis.

    defaults: values that the form may leave out. Raises every error that a bad request can have.
    """
    key = _idempotency_key(request, caller)
    workers = await context.ready_workers(form.kind, _WORKERS_KEPT_SECONDS)
    job_id = uuid.uuid4().hex
    try:
        announced = announced_bytes(request, form.rules(context.settings).max_bytes)
        async with context.upload_budget.open(form.kind, job_id, announced, key=key, slots=slots(workers)) as reserved:
            job = await _receive(request, context, caller, job_id, key, workers, form, defaults or {}, reserved)
            actual_id, is_new = await context.submissions.submit(job, slots(workers))
        correlation.job_id.set(actual_id)
    except OutOfMemoryError:  # of a full Redis; nothing was written
        await discard(context, job_id)
        raise
    except RedisError:
        raise  # the record may have been written all the same; then its files are needed, else they are swept up
    except OSError as exc:
        await discard(context, job_id)
        logger.exception("an upload cannot be stored")
        raise Unavailable("the upload cannot be stored now; try again later", retry_after=_RETRY_AFTER_SECONDS) from exc
    except BaseException:
        await discard(context, job_id)
        raise
    if is_new:
        await _send(context, job_id, form.kind)
    else:
        await discard(context, job_id)
    return actual_id, is_new


async def _send(context: Context, job_id: str, kind: Kind) -> None:
    """Tell a worker of the job. It is accepted already: what goes wrong here is made good by the reaper."""
    try:
        await run_in_threadpool(send, context.celery, job_id, kind)
    except (OperationalError, RedisError, OSError) as exc:
        logger.warning("the message of job %s is sent later: %s", job_id, exc)


async def discard(context: Context, job_id: str) -> None:
    """Erase what was received in vain. What a store that is away keeps of it has no record, and is swept up."""
    try:
        await run_in_threadpool(context.storage.erase, job_id)
    except StorageUnavailable:
        await run_in_threadpool(context.storage.release_scratch, job_id)


async def _receive(
    request: Request,
    context: Context,
    caller: Caller,
    job_id: str,
    key: str,
    workers: Sequence[WorkerReport],
    form: Form,
    defaults: Mapping[str, Any],
    reserved: Reservation,
) -> NewJob:
    """Store and check everything that the request brings; what is on disk after an error is the caller's to remove."""
    folder = cache(partial(context.storage.begin, job_id))
    async with context.upload_gate.enter(name_caller(request, caller)):
        received = await receive_form(request, folder, form.rules(context.settings), reserved.cover)
    ids = read_ids(received, form, context.settings)
    parameters = read_parameters(received, form, defaults)
    webhook = read_webhook(received.texts, context.settings)
    uploads = await find_uploads(context, caller, ids)
    files = (*received.files, *(one.stored for one in uploads))
    check_counts(parameters, sum(stored.field == "audio" for stored in files), context.settings)
    _check_model(parameters.model, workers, context.settings)
    inputs_folder = await run_in_threadpool(folder)
    await link_uploads(context, job_id, inputs_folder, uploads)
    probed = await probe_and_keep(received.files, job_id, inputs_folder, context, name_caller(request, caller))
    probed += [one.probed for one in uploads]
    await run_in_threadpool(context.storage.release_scratch, job_id)
    return NewJob(
        id=job_id,
        parameters=parameters.model_dump(mode="json"),
        inputs=files,
        fingerprint=_fingerprint(parameters, files, webhook),
        total=_total(parameters, probed),
        key=key,
        kind=form.kind,
        api_key=caller.key_id,
        max_active=caller.max_active_jobs,
        request_id=correlation.request_id.get(),
        traceparent=tracing.traceparent(),
        more={} if webhook is None else {"root_path": request.scope.get("root_path", ""), **webhook.record_fields()},
    )


def _total(parameters: ImageRequest | VideoRequest, probed: Sequence[ProbeResult]) -> int:
    """Results of an image; frames of a video, as far as its header tells. Raises MediaError for a silent video."""
    if isinstance(parameters, ImageRequest):
        return len(parameters.gains)
    video = next((found for found in probed if isinstance(found, VideoInfo)), None)
    if video is None:  # an image that is to follow a sound
        audio = next(found for found in probed if isinstance(found, AudioInfo))
        return max(1, round((audio.duration_seconds or 0) * STILL_FPS))
    if not video.has_sound and not any(isinstance(found, AudioInfo) for found in probed):
        raise MediaError(
            "the video has no soundtrack, so nothing can drive its look; send a sound as `audio`", field="video"
        )
    if isinstance(parameters, PreviewRequest):
        return 1 + len(PREVIEW_STEPS_DB)
    return max(1, video.frames or round((video.seconds or 0) * (video.fps or 0)))


def _check_model(name: str | None, workers: Sequence[WorkerReport], settings: Settings) -> None:
    known = sorted({model.name for worker in workers for model in worker.models})
    if (name or settings.default_model) not in known:
        raise ModelNotFound(
            f"no model is called {name or settings.default_model!r}; there are {', '.join(known)}", field="model"
        )


def _fingerprint(
    parameters: ImageRequest | VideoRequest, files: Sequence[StoredInput], webhook: WebhookRequest | None
) -> str:
    """The same for the same request, whatever the order of its fields."""
    content: list[Any] = [
        parameters.model_dump(mode="json"),
        [[stored.field, stored.sha256] for stored in sorted(files, key=lambda stored: stored.field)],
    ]
    if webhook is not None:
        content.append(webhook.record_fields())
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _idempotency_key(request: Request, caller: Caller) -> str:
    """The key's hash, which is another for every API key, or empty if the request has none."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return ""
    if not 1 <= len(key) <= MAX_IDEMPOTENCY_KEY_LENGTH:
        raise InvalidValue(f"the key must have 1 to {MAX_IDEMPOTENCY_KEY_LENGTH} characters", field="Idempotency-Key")
    return hashlib.sha256(f"{caller.key_id}:{key}".encode("latin-1")).hexdigest()
