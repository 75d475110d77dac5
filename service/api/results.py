"""Send a stored result: whole or a range of it, or only the word that the client's copy is still good."""

import re
from typing import Final

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from service.api.problems import problem_response
from service.errors import RangeNotSatisfiable, ResultNotFound
from service.jobs.record import JobRecord
from service.jobs.storage import Storage

_AT_ONCE_BYTES: Final = 1024 * 1024  # a small result is read in one go; a large one is streamed
_RANGE: Final = re.compile(r"bytes=(\d*)-(\d*)")


async def send_result(request: Request, storage: Storage, record: JobRecord, index: int) -> Response:
    """The bytes of result `index` with type and tag; a range beyond them is a problem. Raises ResultNotFound."""
    if not 0 <= index < len(record.results):
        raise ResultNotFound(f"job {record.id} is {record.state} and has {len(record.results)} results, from 0")
    stored = record.results[index]
    path = storage.result_path(record.id, stored.sha256)
    try:
        stat = path.stat()
    except FileNotFoundError as exc:
        raise ResultNotFound("the result was deleted") from exc
    suffix = stored.media_type.partition("/")[2].replace("jpeg", "jpg")
    headers = {
        "ETag": f'"{stored.sha256}"',
        "Cache-Control": "private, no-cache",  # a deleted result is not shown from memory
        "Content-Disposition": f'inline; filename="stylized-{index}.{suffix}"',
        "Content-Location": f"{request.scope.get('root_path', '')}/jobs/{record.id}/results/{index}",
        "X-Content-Type-Options": "nosniff",
    }
    if request.method in ("GET", "HEAD"):
        if _matches(request.headers.get("If-None-Match"), stored.sha256):
            return Response(status_code=304, headers=headers)
        try:
            _check_range(request, stored.bytes)
        except RangeNotSatisfiable as error:
            return problem_response(error, {"Content-Range": f"bytes */{stored.bytes}"})
    if stored.bytes <= _AT_ONCE_BYTES and "Range" not in request.headers:
        content = await run_in_threadpool(path.read_bytes)
        return Response(content, headers=headers | {"Accept-Ranges": "bytes"}, media_type=stored.media_type)
    return FileResponse(path, headers=headers, media_type=stored.media_type, stat_result=stat)


def _matches(if_none_match: str | None, sha256: str) -> bool:
    tags = [tag.strip().removeprefix("W/") for tag in (if_none_match or "").split(",")]
    return f'"{sha256}"' in tags or "*" in tags


def _check_range(request: Request, size: int) -> None:
    """Refuse a range beyond the end; forget one that is malformed or of several parts, as HTTP allows."""
    header = request.headers.get("Range")
    if header is None:
        return
    match = _RANGE.fullmatch(header.strip())
    first, last = (match[1], match[2]) if match else ("", "")
    if not match or first == last == "" or (first and last and int(first) > int(last)):
        request.scope["headers"] = [pair for pair in request.scope["headers"] if pair[0] != b"range"]
    elif (first and int(first) >= size) or (not first and int(last) == 0):
        raise RangeNotSatisfiable(f"the result has {size} bytes; ask for a range within them", field="Range")
