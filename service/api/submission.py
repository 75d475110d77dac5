"""Take a request in as a job: receive its files, validate what it asks for, store the files, record and queue it."""

import hashlib
import json
import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

from kombu.exceptions import OperationalError
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from service.api.auth import Caller, name_caller
from service.api.context import Context, slots
from service.api.descriptions import MAX_IDEMPOTENCY_KEY_LENGTH
from service.api.forms import Form, check_counts, read_ids, read_parameters
from service.api.inputs import JobInput, find_uploads, link_uploads, probe_and_keep
from service.api.multipart import ReceivedForm, receive_form
from service.api.received_files import discard, erased_on_failure
from service.api.request_body import announced_bytes
from service.errors import InvalidValue, MediaError, ModelNotFound
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

logger = logging.getLogger(__name__)

_WORKERS_KEPT_SECONDS: Final = 1.0  # one that dies in it is missed no sooner than one that dies after it


@dataclass(frozen=True)
class _Incoming:
    """A request to be taken in as the job `job_id`. defaults: values that the form may leave out.

    workers: those that take such jobs now. folder: makes the one for its files at the first call, which blocks.
    """

    request: Request
    context: Context
    caller: Caller
    form: Form
    defaults: Mapping[str, Any]
    job_id: str
    workers: Sequence[WorkerReport]
    folder: Callable[[], Path]


@dataclass(frozen=True)
class _Wanted:
    """What the form asks for. uploads: the files that it names; files: these and those that came with it."""

    parameters: ImageRequest | VideoRequest
    webhook: WebhookRequest | None
    uploads: Sequence[JobInput]
    files: tuple[StoredInput, ...]


async def submit(
    request: Request, context: Context, caller: Caller, form: Form, defaults: Mapping[str, Any] | None = None
) -> tuple[str, bool]:
    """Take the request in: (id of its job, whether that is new). The uploads are on disk and the record is in Redis.

    defaults: values that the form may leave out. Raises every error that a bad request can have.
    """
    key = _idempotency_key(request, caller)
    workers = await context.ready_workers(form.kind, _WORKERS_KEPT_SECONDS)
    job_id = uuid.uuid4().hex
    folder = cache(partial(context.storage.begin, job_id))
    incoming = _Incoming(request, context, caller, form, defaults or {}, job_id, workers, folder)
    async with erased_on_failure(context, job_id):
        announced = announced_bytes(request, form.rules(context.settings).max_bytes)
        async with context.upload_budget.open(form.kind, job_id, announced, key=key, slots=slots(workers)) as reserved:
            received = await _receive(incoming, reserved)
            wanted = await _validate(incoming, received)
            probed = await _store(incoming, received, wanted)
            job = _describe(incoming, key, wanted, probed)
            actual_id, is_new = await context.submissions.submit(job, slots(workers))
        correlation.job_id.set(actual_id)
    if is_new:
        await _send(context, job_id, form.kind)
    else:
        await discard(context, job_id)
    return actual_id, is_new


async def _receive(incoming: _Incoming, reserved: Reservation) -> ReceivedForm:
    """Write the files that come with the request to the disk."""
    rules = incoming.form.rules(incoming.context.settings)
    async with incoming.context.upload_gate.enter(name_caller(incoming.request, incoming.caller)):
        return await receive_form(incoming.request, incoming.folder, rules, reserved.cover)


async def _validate(incoming: _Incoming, received: ReceivedForm) -> _Wanted:
    """Read the form's values, and find the uploads that it names."""
    context, form, settings = incoming.context, incoming.form, incoming.context.settings
    ids = read_ids(received, form, settings)
    parameters = read_parameters(received, form, incoming.defaults)
    webhook = read_webhook(received.texts, settings)
    uploads = await find_uploads(context, incoming.caller, ids)
    files = (*received.files, *(one.stored for one in uploads))
    check_counts(parameters, sum(stored.field == "audio" for stored in files), settings)
    _check_model(parameters.model, incoming.workers, settings)
    return _Wanted(parameters, webhook, uploads, files)


async def _store(incoming: _Incoming, received: ReceivedForm, wanted: _Wanted) -> list[ProbeResult]:
    """Have the job's files where every worker finds them; what probing found in them."""
    context, job_id = incoming.context, incoming.job_id
    folder = await run_in_threadpool(incoming.folder)
    await link_uploads(context, job_id, folder, wanted.uploads)
    sender = name_caller(incoming.request, incoming.caller)
    probed = await probe_and_keep(received.files, job_id, folder, context, sender)
    await run_in_threadpool(context.storage.release_scratch, job_id)
    return [*probed, *(one.probed for one in wanted.uploads)]


def _describe(incoming: _Incoming, key: str, wanted: _Wanted, probed: Sequence[ProbeResult]) -> NewJob:
    """The record to be. key: hash of the idempotency key, or empty."""
    request, caller, webhook = incoming.request, incoming.caller, wanted.webhook
    return NewJob(
        id=incoming.job_id,
        parameters=wanted.parameters.model_dump(mode="json"),
        inputs=wanted.files,
        fingerprint=_fingerprint(wanted.parameters, wanted.files, webhook),
        total=_total(wanted.parameters, probed),
        key=key,
        kind=incoming.form.kind,
        api_key=caller.key_id,
        max_active=caller.max_active_jobs,
        request_id=correlation.request_id.get(),
        traceparent=tracing.traceparent(),
        more={} if webhook is None else {"root_path": request.scope.get("root_path", ""), **webhook.record_fields()},
    )


async def _send(context: Context, job_id: str, kind: Kind) -> None:
    """Tell a worker of the job. It is accepted already: what goes wrong here is made good by the reaper."""
    try:
        await run_in_threadpool(send, context.celery, job_id, kind)
    except (OperationalError, RedisError, OSError) as exc:
        logger.warning("the message of job %s is sent later: %s", job_id, exc)


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
