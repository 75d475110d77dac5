"""Turn a received form into a job: read its values, probe its files, and store, record and queue it."""

import asyncio
import hashlib
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any, Final

import anyio.to_thread
from kombu.exceptions import OperationalError
from pydantic import ValidationError
from redis.exceptions import RedisError
from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from service.api.auth import Caller
from service.api.context import Context, logger, slots
from service.api.descriptions import MAX_IDEMPOTENCY_KEY_LENGTH
from service.api.mismatch import explain_mismatch
from service.api.multipart import FileRule, FormRules, ReceivedForm, receive_form
from service.errors import (
    InvalidValue,
    MediaError,
    MissingField,
    ModelNotFound,
    StorageUnavailable,
    Unavailable,
    UnsupportedMedia,
)
from service.jobs.queue import send
from service.jobs.record import StoredInput
from service.jobs.requests import PREVIEW_STEPS_DB, ImageRequest, PreviewRequest, VideoRequest
from service.jobs.submission_repository import NewJob
from service.jobs.worker_registry import WorkerReport
from service.kind import Kind
from service.media.audio import AudioInfo
from service.media.image import ImageInfo
from service.media.video_file import VideoInfo
from service.observe import correlation, tracing
from service.settings import Settings
from service.webhooks.request import FIELDS as WEBHOOK_FIELDS
from service.webhooks.request import WebhookRequest, read_webhook

_RETRY_AFTER_SECONDS: Final = 60
_WORKERS_KEPT_SECONDS: Final = 1.0  # one that dies in it is missed no sooner than one that dies after it

ProbeResult = ImageInfo | AudioInfo | VideoInfo


@dataclass(frozen=True)
class Form:
    """What one kind of job is handed in as. files: the fields of its files, and whether they are needed."""

    kind: Kind
    model: type[ImageRequest] | type[VideoRequest]
    files: Mapping[str, bool]
    lists: frozenset[str]

    def rules(self, settings: Settings) -> FormRules:
        """How much of everything is taken."""
        sizes = {
            "image": FileRule(settings.max_image_bytes, 1),
            "video": FileRule(settings.max_video_bytes, 1),
            "audio": FileRule(settings.max_audio_bytes, settings.max_audio_parts if self.kind == "image" else 1),
        }
        return FormRules(
            files={field: sizes[field] for field in self.files},
            texts=frozenset({*self.model.model_fields, *WEBHOOK_FIELDS}),
            max_pause_seconds=settings.max_upload_pause_seconds,
        )


IMAGE: Final = Form("image", ImageRequest, {"image": True, "audio": True}, frozenset({"gains_db", "weights"}))
PREVIEW: Final = Form("preview", PreviewRequest, {"video": True, "audio": False}, frozenset({"automation"}))
VIDEO: Final = Form("video", VideoRequest, {"video": True, "audio": False}, frozenset({"automation"}))


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
        job = await _receive(request, context, caller, job_id, key, workers, form, defaults or {})
        actual_id, is_new = await context.submissions.submit(job, slots(workers))
        correlation.job_id.set(actual_id)
    except RedisError:
        raise  # the record may have been written all the same; then its files are needed, else they are swept up
    except OSError as exc:
        await _discard(context, job_id)
        logger.exception("an upload cannot be stored")
        raise Unavailable("the upload cannot be stored now; try again later", retry_after=_RETRY_AFTER_SECONDS) from exc
    except BaseException:
        await _discard(context, job_id)
        raise
    if is_new:
        await _send(context, job_id, form.kind)
    else:
        await _discard(context, job_id)
    return actual_id, is_new


async def _send(context: Context, job_id: str, kind: Kind) -> None:
    """Tell a worker of the job. It is accepted already: what goes wrong here is made good by the reaper."""
    try:
        await run_in_threadpool(send, context.celery, job_id, kind)
    except (OperationalError, RedisError, OSError) as exc:
        logger.warning("the message of job %s is sent later: %s", job_id, exc)


async def _discard(context: Context, job_id: str) -> None:
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
) -> NewJob:
    """Store and check everything that the request brings; what is on disk after an error is the caller's to remove."""
    folder = cache(partial(context.storage.begin, job_id))
    received = await receive_form(request, folder, form.rules(context.settings))
    _check_files(received, form)
    parameters = _read_parameters(received, form, defaults)
    webhook = read_webhook(received.texts, context.settings)
    _check_counts(parameters, received, context.settings)
    _check_model(parameters.model, workers, context.settings)
    probe_results = await _probe_and_keep(received.files, job_id, folder(), context)
    await run_in_threadpool(context.storage.release_scratch, job_id)
    return NewJob(
        id=job_id,
        parameters=parameters.model_dump(mode="json"),
        inputs=tuple(received.files),
        fingerprint=_fingerprint(parameters, received.files, webhook),
        total=_total(parameters, probe_results, received),
        key=key,
        kind=form.kind,
        api_key=caller.key_id,
        max_active=caller.max_active_jobs,
        request_id=correlation.request_id.get(),
        traceparent=tracing.traceparent(),
        more={} if webhook is None else {"root_path": request.scope.get("root_path", ""), **webhook.record_fields()},
    )


def _total(
    parameters: ImageRequest | VideoRequest, probe_results: Sequence[ProbeResult], received: ReceivedForm
) -> int:
    """Results of an image; frames of a video, as far as its header tells. Raises MediaError for a silent video."""
    if isinstance(parameters, ImageRequest):
        return len(parameters.gains)
    video = next(probe_result for probe_result in probe_results if isinstance(probe_result, VideoInfo))
    if not video.has_sound and not any(stored.field == "audio" for stored in received.files):
        raise MediaError(
            "the video has no soundtrack, so nothing can drive its probe_result; send a sound as `audio`", field="video"
        )
    if isinstance(parameters, PreviewRequest):
        return 1 + len(PREVIEW_STEPS_DB)
    return max(1, video.frames or round((video.seconds or 0) * (video.fps or 0)))


def _check_files(received: ReceivedForm, form: Form) -> None:
    for field, needed in form.files.items():
        if needed and not any(stored.field == field for stored in received.files):
            raise MissingField(f"the part {field!r} is missing; send a file with it", field=field)


def _read_parameters(received: ReceivedForm, form: Form, defaults: Mapping[str, Any]) -> ImageRequest | VideoRequest:
    """The form's values, checked against each other; raises InvalidValue."""
    values: dict[str, Any] = dict(defaults)
    for name in {name for name, _ in received.texts} - WEBHOOK_FIELDS.keys():
        given = [text for other, text in received.texts if other == name]
        if name in form.lists:
            values[name] = _read_list(name, given)
        elif len(given) > 1:
            raise InvalidValue(f"{name} is there {len(given)} times; send it once", field=name)
        else:
            values[name] = given[0].strip()
    try:
        return form.model.model_validate(values)
    except ValidationError as exc:
        raise _invalid(exc) from exc


def _check_counts(parameters: ImageRequest | VideoRequest, received: ReceivedForm, settings: Settings) -> None:
    """What an image's lists may hold, given its files and the settings; raises InvalidValue."""
    if isinstance(parameters, VideoRequest):
        return
    sounds = sum(stored.field == "audio" for stored in received.files)
    if len(parameters.gains) > settings.max_gains:
        raise InvalidValue(
            f"gains_db has {len(parameters.gains)} values; at most {settings.max_gains}", field="gains_db"
        )
    if parameters.weights is not None and len(parameters.weights) != sounds:
        raise InvalidValue(
            f"weights has {len(parameters.weights)} values for {sounds} sounds; send one for each", field="weights"
        )


def _read_list(name: str, given: Sequence[str]) -> list[Any]:
    """A list comes as repeated fields, separated by commas, or as JSON."""
    values: list[Any] = []
    for text in given:
        if text.lstrip().startswith("["):
            try:
                values += json.loads(text)
            except (ValueError, RecursionError) as exc:
                raise InvalidValue(f"{name} is not a JSON list: {exc}", field=name) from exc
        else:
            values += [part.strip() for part in text.split(",")]
    return values


def _invalid(error: ValidationError) -> InvalidValue:
    """Pydantic's first complaint, with the value that it is about."""
    first = error.errors(include_url=False, include_context=False)[0]
    location = [str(part) for part in first["loc"]]
    if not location:
        return InvalidValue(first["msg"].removeprefix("Value error, "))
    name = location[0]
    said = f"{name}: {first['msg'].removeprefix('Value error, ')}"
    given = "" if len(str(first["input"])) > 64 else f", not {str(first['input'])!r}"
    return InvalidValue(said + given, field=name)


def _check_model(name: str | None, workers: Sequence[WorkerReport], settings: Settings) -> None:
    known = sorted({model.name for worker in workers for model in worker.models})
    if (name or settings.default_model) not in known:
        raise ModelNotFound(
            f"no model is called {name or settings.default_model!r}; there are {', '.join(known)}", field="model"
        )


async def _probe_and_keep(
    files: Sequence[StoredInput], job_id: str, folder: Path, context: Context
) -> list[ProbeResult]:
    """Probe every file while it is stored; raises the first one's error, in the order of the form.

    All that keeps them goes on at the same time: the disk takes contents and names together, where one after the
    other waits for it five times (docs/log.md).
    """
    probes: dict[str, Callable[[Path], ProbeResult]] = {
        "image": context.decoder_pool.probe_image,
        "audio": context.decoder_pool.probe_audio,
        "video": context.decoder_pool.probe_video,
    }

    async def probe(stored: StoredInput) -> ProbeResult:
        try:
            return await anyio.to_thread.run_sync(probes[stored.field], folder / stored.sha256, limiter=context.probes)
        except (UnsupportedMedia, MediaError) as error:
            raise await run_in_threadpool(explain_mismatch, error, stored, files, folder) from error

    keep = context.storage.persist_tasks(job_id, {stored.sha256 for stored in files})
    outcomes = await asyncio.gather(*map(probe, files), *map(run_in_threadpool, keep), return_exceptions=True)
    for outcome in outcomes:
        if isinstance(outcome, BaseException):
            raise outcome
    return [outcome for outcome in outcomes if outcome is not None and not isinstance(outcome, BaseException)]


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
