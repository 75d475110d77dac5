"""Routes of the uploads: keep a file once, so that any number of jobs can use it without sending it again."""

import uuid
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path as FilePath
from typing import Annotated, Final

from fastapi import APIRouter, Path, Request, Response
from fastapi.responses import JSONResponse
from starlette.concurrency import run_in_threadpool

from service.api.auth import Admitted, Caller, Known, name_caller
from service.api.context import Context, Using
from service.api.descriptions import PROBLEMS, UPLOAD
from service.api.forms import file_sizes
from service.api.inputs import check_id, probes_of
from service.api.multipart import FileRule, FormRules, receive_form
from service.api.received_files import discard, erased_on_failure
from service.api.request_body import announced_bytes
from service.errors import MediaError, MissingField, StylizationError, TooLarge, UnsupportedMedia
from service.media.file_kind import FileKind, MediaKind, file_kind
from service.schemas.documents import UploadDocument, upload_document
from service.settings import Settings
from service.uploads.budget import Reservation
from service.uploads.repository import Probed, ProbeResult, Upload, UploadField, upload_not_found

router = APIRouter(tags=["uploads"], responses=PROBLEMS)

_FILE: Final = "file"
# by what a file begins as: what it is tried as, in this order
_CANDIDATES: Final[dict[MediaKind, tuple[UploadField, ...]]] = {
    "image": ("image",),
    "sound": ("audio",),
    "video": ("video", "audio"),
    "video or sound": ("video", "audio"),
    "other": (),
}
_ANY: Final[tuple[UploadField, ...]] = ("audio", "image", "video")

UploadId = Annotated[
    str,
    Path(
        description="the id that POST /uploads gave: the SHA-256 of the file",
        max_length=64,
        json_schema_extra={"pattern": "^[0-9a-f]{64}$"},
    ),
]


@dataclass(frozen=True)
class _Received:
    """A file that has arrived, in a folder of its own. path: where it lies."""

    folder: str
    sha256: str
    bytes: int
    name: str
    path: FilePath


@router.post("/uploads", status_code=201, response_model=UploadDocument, **UPLOAD)
async def upload_file(request: Request, context: Using, caller: Admitted) -> Response:
    """Keep an image, audio clip or video, so that jobs can name it by its id instead of sending it again.

    The id is the SHA-256 of the content; the same file again has the same id, and is kept for longer. Whoever knows
    the hash can ask for it (`GET /uploads/ID`) before sending the file.
    """
    folder, rules, sender = uuid.uuid4().hex, _rules(context.settings), name_caller(request, caller)
    announced = announced_bytes(request, rules.max_bytes)
    async with (
        erased_on_failure(context, folder),
        context.upload_budget.open("upload", folder, announced) as reserved,
    ):
        async with context.upload_gate.enter(sender):
            received = await _receive(request, context, folder, rules, reserved)
        upload, is_new = await _keep(context, caller, received, sender)
    if not is_new:
        await discard(context, folder)
    response = _response(request, upload, 201 if is_new else 200)
    response.headers["Location"] = f"{request.scope.get('root_path', '')}/uploads/{upload.sha256}"
    return response


@router.get("/uploads/{upload_id}", response_model=UploadDocument)
async def read_upload(upload_id: UploadId, request: Request, context: Using, caller: Known) -> Response:
    """Tell what is known of an upload, and that it is still there."""
    upload = await context.uploads.find(caller.key_id, check_id(upload_id))
    if upload is None:
        raise upload_not_found(upload_id)
    return _response(request, upload)


@router.delete("/uploads/{upload_id}", status_code=204)
async def delete_upload(upload_id: UploadId, context: Using, caller: Known) -> Response:
    """Erase an upload; jobs that were handed in with it keep their copy."""
    upload = await context.uploads.forget(caller.key_id, check_id(upload_id))
    if upload is None:
        raise upload_not_found(upload_id)
    await run_in_threadpool(context.storage.erase, upload.folder)
    return Response(status_code=204)


def _rules(settings: Settings) -> FormRules:
    return FormRules(
        files={_FILE: FileRule(max(file_sizes(settings).values()), 1)},
        texts=frozenset(),
        max_pause_seconds=settings.max_upload_pause_seconds,
        min_bytes_per_second=settings.min_upload_bytes_per_second,
        wanted=f"a part {_FILE!r}",
    )


async def _receive(
    request: Request, context: Context, folder: str, rules: FormRules, reserved: Reservation
) -> _Received:
    """Store the file of the form, in a folder that is made for it. Raises what `receive_form` does."""
    place = cache(partial(context.storage.begin, folder))
    received = await receive_form(request, place, rules, reserved.cover)
    if not received.files:
        raise MissingField(f"the part {_FILE!r} is missing; send a file with it", field=_FILE)
    (stored,) = received.files
    if stored.bytes == 0:
        raise MediaError("the file is empty (0 bytes); send the file itself", field=_FILE)
    return _Received(folder, stored.sha256, stored.bytes, stored.name, place() / stored.sha256)


async def _keep(context: Context, caller: Caller, received: _Received, sender: str) -> tuple[Upload, bool]:
    """The upload of that content, and whether this is the file that is kept."""
    known = await context.uploads.find(caller.key_id, received.sha256)
    if known is not None:
        if await run_in_threadpool(context.storage.has_input, known.folder, received.sha256):
            kept = await context.uploads.find(caller.key_id, received.sha256, renew=True)
            if kept is not None:
                return kept, False
        else:  # somebody has emptied the storage
            await context.uploads.forget(caller.key_id, received.sha256)
    probed = await _probe(context, received.path, sender)
    for task in context.storage.persist_tasks(received.folder, {received.sha256}):
        await run_in_threadpool(task)
    await run_in_threadpool(context.storage.release_scratch, received.folder)
    upload, _ = await context.uploads.keep(
        caller.key_id, received.sha256, received.folder, received.bytes, received.name, probed
    )
    return upload, upload.folder == received.folder  # a repeated script finds what it has recorded itself


async def _probe(context: Context, path: FilePath, sender: str) -> Probed:
    """What the file can be used as. Raises UnsupportedMedia, MediaError or TooLarge where that is nothing."""
    kind = await run_in_threadpool(file_kind, path)
    probes, found, problems = probes_of(context), dict[str, ProbeResult](), list[StylizationError]()
    for field in _ANY if kind is None else _CANDIDATES[kind.kind]:
        try:
            found[field] = await context.probes.run(sender, partial(probes[field], path))
        except (UnsupportedMedia, MediaError, TooLarge) as problem:
            problems.append(problem)
        if kind is None and found:
            break
    if not found:
        raise _refusal(kind, problems)
    return Probed.model_validate(found)


def _refusal(kind: FileKind | None, problems: list[StylizationError]) -> StylizationError:
    """Why the file can be used as nothing: the problem that tells most of it."""
    if kind is None or not problems:
        what = "of no kind that is known here" if kind is None else f"of the kind {kind.name}"
        return UnsupportedMedia(f"the file is {what}; send an image, an audio clip or a video", field=_FILE)
    telling = next((one for one in problems if not isinstance(one, UnsupportedMedia)), problems[0])
    return type(telling)(telling.detail, field=_FILE)


def _response(request: Request, upload: Upload, status_code: int = 200) -> JSONResponse:
    document = upload_document(upload, request.scope.get("root_path", "")).model_dump(mode="json")
    return JSONResponse(document, status_code=status_code, headers={"Cache-Control": "no-store"})
