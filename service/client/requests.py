"""A request's form, and an answer's document: what the two clients have in common, without any input or output."""

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, Literal, TypeAlias, TypedDict, TypeVar

import httpx2 as httpx
from pydantic import BaseModel, ValidationError

from service.client.errors import JobFailed, NoService, Refused
from service.client.models import Job, Upload
from service.media.image_kind import ImageFormat

DEFAULT_SERVER: Final = "http://127.0.0.1:8000"
TRY_AGAIN: Final = frozenset({429, 503})
Media: TypeAlias = str | os.PathLike[str] | Upload
Metadata = Literal["keep", "strip", "no-location"]
Document = TypeVar("Document", bound=BaseModel)
Pairs: TypeAlias = dict[str, str | list[str]]

_EXAMPLE: Final = "example:"
_FIRST_LOOK_SECONDS: Final = 0.1
_LAST_LOOK_SECONDS: Final = 1.0
_SILENCE_SECONDS: Final = 60.0  # of a service that does not answer while a job runs
_WRITE_SECONDS: Final = 600.0


class ImageOptions(TypedDict, total=False):
    """The values of `POST /stylize`; the README says what each means."""

    gain_db: float
    gains_db: Sequence[float]
    strength: float
    weights: Sequence[float]
    start_seconds: float
    max_side: int
    format: ImageFormat
    metadata: Metadata
    color_profile: Literal["srgb", "input"]
    model: str


class VideoOptions(TypedDict, total=False):
    """The values of `POST /stylize/video`."""

    gain_db: float
    automation: Sequence[tuple[float, float]]
    audio_gain_db: float
    strength: float
    smoothing_seconds: float
    max_side: int
    allow_partial: bool
    metadata: Metadata
    model: str


@dataclass(frozen=True)
class Form:
    """values: names and texts. files: names of parts, and the files to send as these. query: of the address."""

    route: str
    values: Pairs
    files: list[tuple[str, Path]]
    query: dict[str, str] = field(default_factory=dict)


def connection(server: str, key: str | None, timeout_seconds: float) -> dict[str, Any]:
    """The arguments of httpx's clients."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    timeout = httpx.Timeout(timeout_seconds, write=_WRITE_SECONDS)
    return {"base_url": server, "headers": headers, "timeout": timeout}


def look_pauses() -> Iterator[float]:
    """Seconds between two looks at a job, growing."""
    pause = _FIRST_LOOK_SECONDS
    while True:
        yield pause
        pause = min(_LAST_LOOK_SECONDS, pause * 1.3)


def is_passing(problem: NoService | Refused, silent_seconds: float) -> bool:
    """Whether a job is waited for all the same, when its service has not answered for so long."""
    may_pass = isinstance(problem, NoService) or problem.status in TRY_AGAIN
    return may_pass and silent_seconds <= _SILENCE_SECONDS


def has_ended_badly(answer: httpx.Response, job: Job) -> bool:
    """Whether a repeated request was answered with a job of before that gave nothing."""
    return "Idempotency-Replayed" in answer.headers and job.state in ("failed", "cancelled")


def finished(job: Job) -> Job:
    """The job, if it succeeded; raises JobFailed."""
    if job.state != "succeeded":
        raise JobFailed(job.id, job.error)
    return job


def sha256_of(path: Path) -> str:
    """Of the file's content: the id of its upload."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def image_form(image: Media, audio: Sequence[Media], options: Mapping[str, Any]) -> Form:
    """The form of `POST /stylize`."""
    return _form("/stylize", [("image", image), *(("audio", one) for one in audio)], options)


def video_form(
    video: Media, audio: Media | None, options: Mapping[str, Any], query: Mapping[str, Any] | None = None
) -> Form:
    """The form of `POST /stylize/video`."""
    media = [("video", video)] + ([("audio", audio)] if audio is not None else [])
    form = _form("/stylize/video", media, options)
    return Form(form.route, form.values, form.files, {name: _text(value) for name, value in (query or {}).items()})


def still_form(image: Media, audio: Media, options: Mapping[str, Any]) -> Form:
    """The form of `POST /stylize/video` for an image that is to follow a sound."""
    return _form("/stylize/video", [("image", image), ("audio", audio)], options)


def read_document(answer: httpx.Response, kind: type[Document]) -> Document:
    """The document of an answer; raises Refused and NoService."""
    check(answer)
    try:
        return kind.model_validate_json(answer.content)
    except ValidationError as exc:
        raise _no_service(answer) from exc


def check(answer: httpx.Response) -> None:
    """Raises Refused for a problem document, and NoService for any other error."""
    if not answer.is_error:
        return
    try:
        problem = answer.json()
    except ValueError as exc:
        raise _no_service(answer) from exc
    if not isinstance(problem, dict):
        raise _no_service(answer)
    again = answer.headers.get("Retry-After", "")
    raise Refused({"status": answer.status_code, **problem}, float(again) if again.isdecimal() else None)


def unreachable(server: httpx.URL, reason: Exception) -> NoService:
    """The error for an address at which nothing answers."""
    return NoService(f"no service answers at {server} ({reason}); start one with `make serve`, or use --local")


def _no_service(answer: httpx.Response) -> NoService:
    return NoService(f"{answer.url} answers {answer.status_code}, and not as this service would")


def _form(route: str, media: Sequence[tuple[str, Media]], options: Mapping[str, Any]) -> Form:
    values: Pairs = {name: _text(value) for name, value in options.items() if value is not None}
    files: list[tuple[str, Path]] = []
    for name, one in media:
        if isinstance(one, Upload) or (isinstance(one, str) and one.startswith(_EXAMPLE)):
            ids = values.setdefault(f"{name}_id", [])
            assert isinstance(ids, list)
            ids.append(one.id if isinstance(one, Upload) else one)
        else:
            files.append((name, Path(one)))
    return Form(route, values, files)


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Sequence) and not isinstance(value, str):
        if value and isinstance(value[0], Sequence):  # a curve
            return str([list(point) for point in value])
        return ",".join(map(str, value))
    return str(value)
