"""The body of a request as it arrives: counted, and given up when it is too large or too slow."""

import asyncio
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Final

from starlette.requests import Request

from service.errors import TooLarge, UploadStalled

_MAX_LENGTH_DIGITS: Final = 18


@dataclass(frozen=True)
class BodyRules:
    """max_pause_seconds: between two pieces. min_bytes_per_second: on average, once it could have paused as long."""

    max_bytes: int
    max_pause_seconds: float
    min_bytes_per_second: float


def announced_bytes(request: Request, max_bytes: int) -> int:
    """The body's length as its sender announces it, or 0; raises TooLarge."""
    announced = request.headers.get("Content-Length", "0")
    if not announced.isdecimal():
        return 0
    if len(announced) > _MAX_LENGTH_DIGITS or int(announced) > max_bytes:
        raise _too_large(max_bytes)
    return int(announced)


async def read_body(request: Request, rules: BodyRules) -> AsyncIterator[bytes]:
    """The body, piece by piece; raises TooLarge and UploadStalled.

    Time counts while it is waited for: whoever sends faster than the disk takes it does not stall.
    """
    announced_bytes(request, rules.max_bytes)
    received, waited, stream = 0, 0.0, request.stream()
    while True:
        patience = rules.max_pause_seconds + received / rules.min_bytes_per_second - waited
        began = time.monotonic()
        try:
            async with asyncio.timeout(min(rules.max_pause_seconds, patience)):
                chunk = await anext(stream, None)
        except TimeoutError as exc:
            raise UploadStalled(
                f"the upload pauses for {rules.max_pause_seconds:g} s, or brings less than "
                f"{rules.min_bytes_per_second:g} bytes a second; send it again"
            ) from exc
        waited += time.monotonic() - began
        if chunk is None:
            return
        received += len(chunk)
        if received > rules.max_bytes:
            raise _too_large(rules.max_bytes)
        if chunk:
            yield chunk


def _too_large(max_bytes: int) -> TooLarge:
    return TooLarge(f"the request is larger than {max_bytes} bytes, which is all that its parts may have")
