"""HTTP/1.1 as uvicorn speaks it, with an end to heads and bodies that never arrive."""

import asyncio
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

_MAX_HEAD_BYTES: Final = 64 * 1024
_MAX_FRAMING: Final = 16  # bytes for each of a body in chunks; chunks of one byte have five
_TOO_LARGE: Final = b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"


class BoundedHttpProtocol(HttpToolsProtocol):
    """Closes a connection whose next request's head is not there in time, or is too large.

    The time runs from the connection's or the head's first byte, however often another one comes. The same time is
    given to a body that is still arriving when its answer is complete. The application bounds the bodies that it reads,
    and this what it does not see of them: the heads of chunks, and what may follow the last one (trailers).
    """

    def __init__(self, *arguments: Any, head_seconds: float, **values: Any) -> None:
        super().__init__(*arguments, **values)
        self._head_seconds = head_seconds
        self._deadline: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._body_bytes = self._framing_bytes = 0
        self._in_head = True
        self._in_body = False

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_clock()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_clock()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._in_head:
            if self._deadline is None:
                self._start_clock()
            self._head_bytes += len(data)
        else:
            self._framing_bytes += len(data)
        super().data_received(data)
        if self._is_too_large() and not self.transport.is_closing():
            if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
                self.transport.write(_TOO_LARGE)
            self.transport.close()

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._in_head:  # a trailer is no header: the request is being answered already
            super().on_header(name, value)

    def on_body(self, body: bytes) -> None:
        self._framing_bytes -= len(body)
        self._body_bytes += len(body)
        super().on_body(body)

    def on_headers_complete(self) -> None:
        self._stop_clock()
        self._in_head, self._in_body, self._head_bytes = False, True, 0
        self._body_bytes = self._framing_bytes = 0
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        self._stop_clock()
        self._in_head, self._in_body = True, False
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._in_body and not self.transport.is_closing():
            self._start_clock()

    def _is_too_large(self) -> bool:
        if self._in_head:
            return self._head_bytes > _MAX_HEAD_BYTES
        return self._framing_bytes > _MAX_HEAD_BYTES + _MAX_FRAMING * self._body_bytes

    def _start_clock(self) -> None:
        self._stop_clock()
        self._deadline = self.loop.call_later(self._head_seconds, self._give_up)

    def _stop_clock(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _give_up(self) -> None:
        self._deadline = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._start_clock()  # an earlier request of this connection is being answered
        elif not self.transport.is_closing():
            self.transport.close()
