"""Receive a multipart form as it arrives: files go to disk and are counted and hashed on the way.

A part that is too large, unknown or one too many is refused at once, before the rest of it has come. A form without
files may be sent in the way of HTML's forms, too (application/x-www-form-urlencoded).
"""

import contextlib
import hashlib
import os
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Final
from urllib.parse import parse_qsl

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request

from service.api.form_parser import FormParser, PartBegin
from service.api.request_body import BodyRules, read_body
from service.errors import InvalidValue, MissingField, TooLarge
from service.jobs.record import StoredInput
from service.schemas.file_name import safe_name

_FLUSH_BYTES: Final = 1024 * 1024
_MAX_TEXT_BYTES: Final = 64 * 1024  # a gain curve of 1,000 points with all the digits that JSON gives a number
_MAX_TEXT_PARTS: Final = 64
_URLENCODED: Final = "application/x-www-form-urlencoded"
_FRAMING_BYTES: Final = 256 * 1024  # boundaries, headers and text of a whole form


@dataclass(frozen=True)
class FileRule:
    """How large a file of this field may be, and how many of them there may be."""

    max_bytes: int
    max_count: int


@dataclass(frozen=True)
class FormRules:
    """What a form may consist of, and how slowly it may come.

    files: by field. texts: names of the other fields. wanted: what it needs.
    """

    files: Mapping[str, FileRule]
    texts: frozenset[str]
    max_pause_seconds: float
    min_bytes_per_second: float
    wanted: str = "image and audio"

    @property
    def max_bytes(self) -> int:
        """Most bytes that a good form can have."""
        return _FRAMING_BYTES + sum(rule.max_bytes * rule.max_count for rule in self.files.values())

    @property
    def pace(self) -> BodyRules:
        """How large the body may be, and how slow."""
        return BodyRules(self.max_bytes, self.max_pause_seconds, self.min_bytes_per_second)


@dataclass(frozen=True)
class ReceivedForm:
    """files: what was stored, in the order of arrival, each under its hash. texts: (field, value) pairs."""

    files: list[StoredInput]
    texts: list[tuple[str, str]]


async def receive_form(
    request: Request, folder: Callable[[], Path], rules: FormRules, cover: Callable[[int], Awaitable[None]]
) -> ReceivedForm:
    """Store the form's files in `folder`, named by their SHA-256, and collect its texts.

    folder: asked for in a thread, when there is something to be written, and more than once.
    cover: told how many bytes have come before they are written; what it raises ends the upload.

    Raises UnsupportedMedia if it is no multipart form, TooLarge, InvalidValue (a field unknown, one too many, or a
    malformed form), MissingField if it is empty, UploadStalled, or Starlette's ClientDisconnect.
    """
    if request.headers.get("Content-Type", "").partition(";")[0].strip().lower() == _URLENCODED:
        return await _receive_urlencoded(request, rules)
    parser = FormParser(request, rules.wanted, rules.max_bytes)
    parts: list[_TextPart | _FilePart] = []
    received = 0
    try:
        async for chunk in read_body(request, rules.pace):
            await cover(received := received + len(chunk))
            for event in parser.feed(chunk):
                if isinstance(event, PartBegin):
                    parts.append(_begin_part(event, parts, folder, rules))
                elif parts:
                    await parts[-1].write(event)
        if not parser.ended:
            if not parts:
                raise _empty(rules)
            raise InvalidValue("the multipart form breaks off before its closing boundary; send all of it")
        texts = [(part.name, part.text()) for part in parts if isinstance(part, _TextPart)]
        files = [part for part in parts if isinstance(part, _FilePart)]
        return ReceivedForm(await run_in_threadpool(lambda: [file.finish() for file in files]), texts)
    finally:
        for part in parts:
            with contextlib.suppress(OSError):
                part.close()


async def _receive_urlencoded(request: Request, rules: FormRules) -> ReceivedForm:
    body = bytearray()
    async for chunk in read_body(request, replace(rules, files={}).pace):
        body += chunk
    try:
        texts = parse_qsl(body.decode(), keep_blank_values=True, errors="strict", max_num_fields=_MAX_TEXT_PARTS)
    except ValueError as exc:  # UnicodeDecodeError is one
        raise InvalidValue(f"the form is malformed, or has more than {_MAX_TEXT_PARTS} values: {exc}") from exc
    if not texts:
        raise _empty(rules)
    for name, _ in texts:
        if name in rules.files:
            raise InvalidValue(f"{name} is a file; send a form of the type multipart/form-data with it", field=name)
        if name not in rules.texts:
            raise _unknown(name, rules)
    return ReceivedForm([], texts)


def _empty(rules: FormRules) -> MissingField:
    return MissingField(f"the form is empty; send at least {rules.wanted}", field=next(iter(rules.files), None))


def _unknown(name: str, rules: FormRules) -> InvalidValue:
    known = ", ".join([*rules.files, *sorted(rules.texts)])
    return InvalidValue(f"there is no field {name[:64]!r}; there are {known}", field=name[:64])


def _begin_part(
    begin: PartBegin, before: Sequence["_TextPart | _FilePart"], folder: Callable[[], Path], rules: FormRules
) -> "_TextPart | _FilePart":
    name = begin.name
    if rule := rules.files.get(name):
        if sum(part.name == name for part in before) >= rule.max_count:
            raise InvalidValue(f"at most {rule.max_count} part(s) {name!r} are taken", field=name)
        return _FilePart(name, begin.file_name or "", folder, rule.max_bytes)
    if name not in rules.texts:
        raise _unknown(name, rules)
    if begin.file_name is not None:
        raise InvalidValue(f"{name} is a value, not a file", field=name)
    if sum(isinstance(part, _TextPart) for part in before) >= _MAX_TEXT_PARTS:
        raise InvalidValue(f"the form has more than {_MAX_TEXT_PARTS} values", field=name)
    return _TextPart(name)


class _TextPart:
    """A value, kept in memory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._content = bytearray()

    async def write(self, data: bytes) -> None:
        self._content += data
        if len(self._content) > _MAX_TEXT_BYTES:
            raise InvalidValue(f"{self.name} is longer than {_MAX_TEXT_BYTES} bytes", field=self.name)

    def text(self) -> str:
        """The value, which has come in whole."""
        try:
            return self._content.decode()
        except UnicodeDecodeError as exc:
            raise InvalidValue(f"{self.name} is not UTF-8 text", field=self.name) from exc

    def close(self) -> None:
        """Nothing is open."""


class _FilePart:
    """A file on its way to disk; hashed and written in threads, so that the event loop never waits for the disk.

    What is small is kept until the form has ended: then one thread writes all of it.
    """

    def __init__(self, name: str, file_name: str, folder: Callable[[], Path], max_bytes: int) -> None:
        self.name = name
        self._file_name = safe_name(file_name)
        self._folder = folder
        self._max_bytes = max_bytes
        self._bytes = 0
        self._pending = bytearray()
        self._hash = hashlib.sha256()
        self._partial = f".{os.urandom(8).hex()}"
        self._file: BinaryIO | None = None

    async def write(self, data: bytes) -> None:
        self._bytes += len(data)
        if self._bytes > self._max_bytes:
            raise TooLarge(f"{self.name} has more than {self._max_bytes} bytes, which is the limit", field=self.name)
        self._pending += data
        if len(self._pending) >= _FLUSH_BYTES:
            await run_in_threadpool(self._flush)

    def finish(self) -> StoredInput:
        """Write the rest, and give the file its name."""
        self._flush()
        self.close()
        sha256 = self._hash.hexdigest()
        folder = self._folder()
        (folder / self._partial).replace(folder / sha256)
        return StoredInput(field=self.name, sha256=sha256, bytes=self._bytes, name=self._file_name)

    def close(self) -> None:
        if self._file is not None:
            self._file.close()  # unbuffered: nothing is left to be written

    def _flush(self) -> None:
        if self._file is None:
            self._file = (self._folder() / self._partial).open("xb", buffering=0)
        self._hash.update(self._pending)
        view = memoryview(self._pending)
        while view.nbytes:
            view = view[self._file.write(view) :]
        view.release()
        self._pending = bytearray()
