"""Send a stored result: whole or a range of it, or only the word that the client's copy is still good."""

import re
from typing import Final

from starlette.concurrency import iterate_in_threadpool, run_in_threadpool
from starlette.requests import Request
from starlette.responses import RedirectResponse, Response, StreamingResponse

from service.api.problems import problem_response
from service.errors import RangeNotSatisfiable, ResultNotFound
from service.jobs.record import JobRecord, StoredResult
from service.schemas.file_name import content_disposition, result_name
from service.storage.folder import Storage

_AT_ONCE_BYTES: Final = 1024 * 1024  # a small result is read in one go; a large one is streamed
_RANGE: Final = re.compile(r"bytes=(\d{0,18})-(\d{0,18})", re.ASCII)  # beyond, int() takes no number of any length


async def send_result(
    request: Request, storage: Storage, record: JobRecord, index: int, redirect: bool = False
) -> Response:
    """The bytes of result `index` with type and tag; a range beyond them is a problem.

    redirect: send the client to the storage for them, if that lends links. Raises ResultNotFound, StorageUnavailable.
    """
    if not 0 <= index < len(record.results):
        raise ResultNotFound(f"job {record.id} is {record.state} and has {len(record.results)} results, from 0")
    stored = record.results[index]
    disposition = content_disposition(result_name(record, index))
    headers = {
        "ETag": f'"{stored.sha256}"',
        "Cache-Control": "private, no-cache",  # a deleted result is not shown from memory
        "Content-Disposition": disposition,
        "Content-Location": f"{request.scope.get('root_path', '')}/jobs/{record.id}/results/{index}",
        "X-Content-Type-Options": "nosniff",
    }
    span = None
    if request.method in ("GET", "HEAD"):
        if _matches(request.headers.get("If-None-Match"), stored.sha256):
            return Response(status_code=304, headers=headers)
        try:
            span = _asked_range(request, stored)
        except RangeNotSatisfiable as error:
            return problem_response(error, {"Content-Range": f"bytes */{stored.bytes}"})
    if redirect and request.method == "GET" and "If-Range" not in request.headers:  # the storage has tags of its own
        link = await run_in_threadpool(storage.result_link, record.id, stored.sha256, stored.media_type, disposition)
        if link is not None:
            return RedirectResponse(link, 307, {"Cache-Control": "no-store", "ETag": headers["ETag"]})
    return await _send(request, storage, record.id, stored, span, headers)


async def _send(
    request: Request,
    storage: Storage,
    job_id: str,
    stored: StoredResult,
    span: tuple[int, int] | None,
    headers: dict[str, str],
) -> Response:
    """span: first byte and number of bytes; None is the whole."""
    first, size = span or (0, stored.bytes)
    status = 200 if span is None else 206
    headers |= {"Accept-Ranges": "bytes", "Content-Length": str(size)}
    if span is not None:
        headers["Content-Range"] = f"bytes {first}-{first + size - 1}/{stored.bytes}"
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers, media_type=stored.media_type)
    try:
        if size <= _AT_ONCE_BYTES:
            content = await run_in_threadpool(lambda: b"".join(storage.read_result(job_id, stored.sha256, first, size)))
            return Response(content, status, headers, stored.media_type)
        pieces = await run_in_threadpool(storage.read_result, job_id, stored.sha256, first, size)
    except FileNotFoundError as exc:
        raise ResultNotFound("the result was deleted") from exc
    return StreamingResponse(iterate_in_threadpool(pieces), status, headers, stored.media_type)


def _matches(if_none_match: str | None, sha256: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return f'"{sha256}"' in tags or "*" in tags


def _asked_range(request: Request, stored: StoredResult) -> tuple[int, int] | None:
    """First byte and number of bytes; None for the whole, as HTTP allows for ranges that are malformed or several.

    Raises RangeNotSatisfiable for one beyond the end.
    """
    match = _RANGE.fullmatch(request.headers.get("Range", "").strip())
    first, last = (match[1], match[2]) if match else ("", "")
    if first == last == "" or (first and last and int(first) > int(last)):
        return None
    if request.headers.get("If-Range", f'"{stored.sha256}"') != f'"{stored.sha256}"':
        return None
    if (first and int(first) >= stored.bytes) or (not first and int(last) == 0):
        raise RangeNotSatisfiable(f"the result has {stored.bytes} bytes; ask for a range within them", field="Range")
    if not first:
        size = min(int(last), stored.bytes)
        return stored.bytes - size, size
    stop = min(int(last) + 1, stored.bytes) if last else stored.bytes
    return int(first), stop - int(first)
