"""Rewrite EXIF in place for a changed image: upright, of another size, without the old thumbnail or the location.

In place, since maker notes hold offsets of their own that moving would break. What is removed is overwritten by zeros.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

_PREFIX: Final = b"Exif\0\0"
_MAX_ENTRIES: Final = 1000
_TYPE_BYTES: Final = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 1, 7: 1, 8: 2, 9: 4, 10: 8, 11: 4, 12: 8, 13: 4, 16: 8}
_SHORT, _LONG = 3, 4

_ORIENTATION, _EXIF_IFD, _GPS_IFD, _INTEROP_IFD = 0x0112, 0x8769, 0x8825, 0xA005
_COLOR_SPACE, _WIDTH, _HEIGHT = 0xA001, 0xA002, 0xA003
_IMAGE_WIDTH, _IMAGE_LENGTH = 0x0100, 0x0101
_THUMBNAIL_OFFSET, _THUMBNAIL_BYTES = 0x0201, 0x0202
# IPTC, Photoshop's resources, XMP and maker notes, each of which may name the place (Panasonic's notes hold the city)
_MAY_NAME_PLACE: Final = frozenset({0x83BB, 0x8649, 0x02BC, 0x927C})


@dataclass(frozen=True)
class _Entry:
    """at: offset of its 12 bytes. value: offset of its value."""

    at: int
    tag: int
    type: int
    count: int
    value: int

    @property
    def size(self) -> int:
        return _TYPE_BYTES.get(self.type, 1) * self.count


def rewrite_exif(exif: bytes, width: int, height: int, keep_location: bool, is_srgb: bool) -> bytes | None:
    """EXIF (with or without its prefix) of an image that is now width x height and upright, without its prefix.

    is_srgb: whether the pixels were converted to sRGB. None if it is damaged.
    """
    try:
        patch = _Patch(exif.removeprefix(_PREFIX))
        patch.image(width, height, keep_location, is_srgb)
    except (struct.error, IndexError, ValueError):
        return None
    return bytes(patch.data)


class _Patch:
    def __init__(self, tiff: bytes) -> None:
        self.data = bytearray(tiff)
        self._order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4], "")
        if not self._order:
            raise ValueError("no TIFF header")

    def image(self, width: int, height: int, keep_location: bool, is_srgb: bool) -> None:
        """All of it, from the first directory on."""
        first = self._unpack("I", 4)
        removed: frozenset[int] = frozenset() if keep_location else _MAY_NAME_PLACE | {_GPS_IFD}
        sizes = {_IMAGE_WIDTH: width, _IMAGE_LENGTH: height, _WIDTH: width, _HEIGHT: height}
        for entry in self._entries(first):
            if entry.tag == _GPS_IFD and not keep_location:
                self._erase_directory(self._unpack("I", entry.value))
            elif entry.tag == _EXIF_IFD:
                self._details(self._unpack("I", entry.value), sizes, removed, is_srgb)
            elif entry.tag == _ORIENTATION:
                self._set(entry, 1)
            elif entry.tag in sizes:
                self._set(entry, sizes[entry.tag])
        self._remove(first, removed)
        self._drop_thumbnail(first)

    def _details(self, at: int, sizes: dict[int, int], removed: frozenset[int], is_srgb: bool) -> None:
        for entry in self._entries(at):
            if entry.tag in sizes:
                self._set(entry, sizes[entry.tag])
            elif entry.tag == _COLOR_SPACE and is_srgb:
                self._set(entry, 1)
        # the directory of interoperability says again which color space it is
        self._remove(at, removed | (frozenset({_INTEROP_IFD}) if is_srgb else frozenset()))

    def _drop_thumbnail(self, first: int) -> None:
        """It shows the image as it was."""
        end = first + 2 + 12 * self._unpack("H", first)
        if end + 4 > len(self.data):
            return
        second = self._unpack("I", end)
        self.data[end : end + 4] = bytes(4)
        if not second or second + 2 > len(self.data):
            return
        place = {entry.tag: self._number(entry) for entry in self._entries(second)}
        if _THUMBNAIL_OFFSET in place and _THUMBNAIL_BYTES in place:
            self._zero(place[_THUMBNAIL_OFFSET], place[_THUMBNAIL_BYTES])
        self._erase_directory(second)

    def _entries(self, at: int) -> Iterator[_Entry]:
        count = self._unpack("H", at)
        if count > _MAX_ENTRIES:
            raise ValueError("too many entries")
        for place in range(at + 2, at + 2 + 12 * count, 12):
            tag, kind = self._unpack("HH", place)
            number = self._unpack("I", place + 4)
            size = _TYPE_BYTES.get(kind, 1) * number
            yield _Entry(place, tag, kind, number, place + 8 if size <= 4 else self._unpack("I", place + 8))

    def _remove(self, at: int, tags: frozenset[int]) -> None:
        """Erase the values of these entries, and close the gaps."""
        entries = list(self._entries(at))
        kept = [entry for entry in entries if entry.tag not in tags]
        if len(kept) == len(entries):
            return
        for entry in entries:
            if entry.tag in tags:
                self._zero(entry.value, entry.size)
        start, end = at + 2, at + 2 + 12 * len(entries)
        content = b"".join(bytes(self.data[entry.at : entry.at + 12]) for entry in kept)
        following = bytes(self.data[end : end + 4])
        struct.pack_into(f"{self._order}H", self.data, at, len(kept))
        packed = content + following
        self.data[start : end + 4] = packed + bytes(end + 4 - start - len(packed))

    def _erase_directory(self, at: int) -> None:
        entries = list(self._entries(at))
        for entry in entries:
            self._zero(entry.value, entry.size)
        self._zero(at, 2 + 12 * len(entries))

    def _zero(self, start: int, size: int) -> None:
        stop = min(start + size, len(self.data))
        if stop > max(start, 8):
            self.data[start:stop] = bytes(stop - start)

    def _number(self, entry: _Entry) -> int:
        return int(self._unpack("H" if entry.type == _SHORT else "I", entry.value))

    def _set(self, entry: _Entry, number: int) -> None:
        if entry.count == 1 and entry.type in (_SHORT, _LONG):
            kind = "H" if entry.type == _SHORT else "I"
            struct.pack_into(self._order + kind, self.data, entry.value, min(number, 0xFFFF if kind == "H" else number))

    def _unpack(self, kinds: str, at: int) -> Any:
        values = struct.unpack_from(self._order + kinds, self.data, at)
        return values[0] if len(values) == 1 else values
