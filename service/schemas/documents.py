"""The documents that the API gives, as its OpenAPI description shows them."""

from datetime import UTC, datetime
from typing import Any, Final, Literal

from pydantic import BaseModel, ConfigDict, Field

from service.heard import Heard
from service.jobs.record import JobRecord, JobState
from service.jobs.worker_registry import ModelSummary
from service.schemas.file_name import result_name
from service.uploads.repository import Upload, UploadField


class Problem(BaseModel):
    """A problem document (RFC 9457). field: the name of the part, value or header that is at fault."""

    type: str
    title: str
    status: int
    detail: str
    field: str | None = None


class Progress(BaseModel):
    """How far a job is."""

    done: int
    total: int
    unit: str


class Warning(BaseModel):
    """Something that may explain a poor result."""

    code: str
    detail: str


_FALLING_IGNORED: Final = Warning(
    code="field-ignored", detail="`falling` does nothing any more, and is refused from the next version on"
)


class Result(BaseModel):
    """One result. receipt: everything that is needed to make it again. file_name: under which it is downloaded.

    warnings: what the result could not keep of its input.
    """

    url: str
    media_type: str
    bytes: int
    sha256: str
    width: int
    height: int
    gain_db: float
    heard: Heard
    receipt: dict[str, Any]
    file_name: str
    warnings: list[Warning]


class Webhook(BaseModel):
    """How far the telling of a job's end is.

    state: `waiting` for the end, `pending` until the next attempt, `delivered`, `failed`, or `unwanted`: it ended in a
    way that was not asked for. last_status: of the receiver's latest answer; null if there was none.
    """

    state: Literal["waiting", "pending", "delivered", "failed", "unwanted"]
    attempts: int
    last_status: int | None


class Job(BaseModel):
    """A job. receipt: of the only result; where there are several, each has its own.

    seconds: how long each part of the work took, and the wait in the queue.
    jobs_ahead: of a queued job, how many wait before it; null where that is not asked for, or it waits no more.
    estimated_seconds: until a queued job is done, from how long others took of late; null if that is not known.
    """

    model_config = ConfigDict(json_schema_extra={"description": "The state of a job and what came of it."})

    id: str
    url: str
    state: JobState
    progress: Progress
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    expires_at: datetime | None
    warnings: list[Warning]
    results: list[Result]
    error: Problem | None
    receipt: dict[str, Any] | None
    seconds: dict[str, float]
    jobs_ahead: int | None
    estimated_seconds: float | None
    webhook: Webhook | None


class Jobs(BaseModel):
    """A page of one's own jobs. next_cursor: `cursor` of the next page; null if this is the last."""

    jobs: list[Job]
    next_cursor: str | None


class UploadedImage(BaseModel):
    """What an image's header says. width, height: in pixels, as a viewer shows it."""

    format: str
    width: int
    height: int


class UploadedAudio(BaseModel):
    """What an audio clip's or a video's sound is. seconds: null where the file does not say."""

    codec: str
    seconds: float | None
    sample_rate_hz: int
    channels: int


class UploadedVideo(BaseModel):
    """What a video's header says. width, height: in pixels, as stored. seconds, frames, fps: null where it does not."""

    codec: str
    width: int
    height: int
    seconds: float | None
    frames: int | None
    fps: float | None
    has_audio: bool


class UploadDocument(BaseModel):
    """A file that jobs can name by its id. id: the SHA-256 of its content, in hexadecimal digits.

    kind: of the file. usable_as: the fields that may name it: the sound of a video drives an image, too.
    expires_at: each job that uses it, and each time that it is sent again, moves that back.
    """

    model_config = ConfigDict(title="Upload")

    id: str
    url: str
    kind: UploadField
    usable_as: list[str]
    bytes: int
    file_name: str
    expires_at: datetime
    image: UploadedImage | None
    audio: UploadedAudio | None
    video: UploadedVideo | None


class Model(ModelSummary):
    """A bundle that can be asked for by its name. default: used when a request names none.

    replaced: a newer one of its name has taken its place, and only jobs that ran before still use this one.
    provider, runtime: what runs it.
    """

    default: bool
    provider: str
    runtime: str


class Models(BaseModel):
    """Every bundle that a live worker has."""

    models: list[Model]


class Status(BaseModel):
    """Whether the service, or each part that it needs, answers."""

    status: str = Field(examples=["ok", "ready"])
    checks: dict[str, str] = Field(default_factory=dict)


def job_document(
    record: JobRecord, root_path: str, estimated_seconds: float | None = None, jobs_ahead: int | None = None
) -> Job:
    """The record as clients see it. root_path: prefix of every address, where a proxy adds one."""
    url = f"{root_path}/jobs/{record.id}"
    results = [
        Result(url=f"{url}/results/{index}", file_name=result_name(record, index), **stored.model_dump())
        for index, stored in enumerate(record.results)
    ]
    warnings: dict[str, str] = {warning.code: warning.detail for result in results for warning in result.heard.warnings}
    warnings |= {warning.code: warning.detail for result in results for warning in result.warnings}
    found = [Warning(code=code, detail=detail) for code, detail in warnings.items()]
    if record.parameters.get("falling") is not None:
        found.append(_FALLING_IGNORED)
    waited = {} if record.started is None else {"queued": round(record.started - record.created, 6)}
    return Job(
        id=record.id,
        url=url,
        state=record.state,
        progress=Progress(done=record.done, total=record.total, unit=record.unit),
        created_at=_time(record.created),
        started_at=None if record.started is None else _time(record.started),
        finished_at=None if record.finished is None else _time(record.finished),
        expires_at=None if record.expires is None else _time(record.expires),
        warnings=found,
        results=results,
        error=None if record.error is None else Problem(**record.error),
        receipt=results[0].receipt if len(results) == 1 else None,
        seconds=waited | record.seconds,
        jobs_ahead=jobs_ahead,
        estimated_seconds=None if estimated_seconds is None else round(estimated_seconds, 3),
        webhook=_webhook(record),
    )


def upload_document(upload: Upload, root_path: str) -> UploadDocument:
    """The upload as its owner sees it."""
    image, audio, video = upload.probed.image, upload.probed.audio, upload.probed.video
    return UploadDocument(
        id=upload.sha256,
        url=f"{root_path}/uploads/{upload.sha256}",
        kind=upload.probed.kind,
        usable_as=[f"{field}_id" for field in upload.probed.fields],
        bytes=upload.bytes,
        file_name=upload.name,
        expires_at=_time(upload.expires),
        image=image and UploadedImage(format=image.format, width=image.width, height=image.height),
        audio=audio
        and UploadedAudio(
            codec=audio.codec,
            seconds=audio.duration_seconds,
            sample_rate_hz=audio.sample_rate_hz,
            channels=audio.channels,
        ),
        video=video
        and UploadedVideo(
            codec=video.codec,
            width=video.width,
            height=video.height,
            seconds=video.seconds,
            frames=video.frames or None,
            fps=video.fps,
            has_audio=video.has_sound,
        ),
    )


def _webhook(record: JobRecord) -> Webhook | None:
    if record.webhook_url is None:
        return None
    state = record.webhook_state or ("unwanted" if record.state.ended else "waiting")
    return Webhook.model_validate(
        {"state": state, "attempts": record.webhook_attempts, "last_status": record.webhook_last_status}
    )


def _time(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
