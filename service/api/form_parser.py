"""A multipart form in chunks: what happens in each of them, by python-multipart."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header
from starlette.requests import Request

from service.errors import InvalidValue, UnsupportedMedia

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

_ESCAPES: Final = {"%22": '"', "%0D": "", "%0A": ""}  # what browsers write in place of characters of a file's name


@dataclass(frozen=True)
class PartBegin:
    """A part begins. file_name: what its sender calls it; None if it is no file."""

    name: str
    file_name: str | None


FormEvent = PartBegin | bytes


class FormParser:
    """python-multipart's callbacks, turned into a list of events for each chunk."""

    def __init__(self, request: Request, wanted: str, max_bytes: int) -> None:
        content_type, options = parse_options_header(request.headers.get("Content-Type", ""))
        if content_type != b"multipart/form-data" or not options.get(b"boundary"):
            raise UnsupportedMedia(f"send a form of the type multipart/form-data, with {wanted}")
        self.ended = False
        self._events: list[FormEvent] = []
        self._header_name, self._header_value = bytearray(), bytearray()
        self._disposition = b""
        callbacks: MultipartCallbacks = {
            "on_part_begin": self._on_part_begin,
            "on_part_data": lambda data, start, end: self._events.append(data[start:end]),
            "on_header_field": lambda data, start, end: self._header_name.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._header_value.extend(data[start:end]),
            "on_header_end": self._on_header_end,
            "on_headers_finished": self._on_headers_finished,
            "on_end": self._on_end,
        }
        try:
            self._parser = MultipartParser(options[b"boundary"], callbacks, max_size=max_bytes)
        except FormParserError as exc:
            raise _malformed(exc) from exc

    def feed(self, chunk: bytes) -> list[FormEvent]:
        """What happens in `chunk`; raises InvalidValue if the form is malformed."""
        self._events.clear()
        try:
            self._parser.write(chunk)
        except FormParserError as exc:
            raise _malformed(exc) from exc
        return list(self._events)

    def _on_part_begin(self) -> None:
        self._disposition = b""

    def _on_header_end(self) -> None:
        if self._header_name.lower() == b"content-disposition":
            self._disposition = bytes(self._header_value)
        self._header_name.clear()
        self._header_value.clear()

    def _on_headers_finished(self) -> None:
        _, options = parse_options_header(self._disposition)
        if b"name" not in options:
            raise InvalidValue("a part of the form has no name")
        name = options[b"name"].decode("utf-8", errors="replace")
        file_name = options.get(b"filename")
        self._events.append(PartBegin(name, None if file_name is None else _unescaped(file_name)))

    def _on_end(self) -> None:
        self.ended = True


def _malformed(reason: Exception) -> InvalidValue:
    return InvalidValue(f"the multipart form is malformed: {reason}")


def _unescaped(file_name: bytes) -> str:
    name = file_name.decode("utf-8", errors="replace")
    for escape, character in _ESCAPES.items():
        name = name.replace(escape, character)
    return name
