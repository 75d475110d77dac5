"""State the lengths that a program which wrote a sound into a pipe could not go back to fill in.

libav knows such WAV, AU, CAF and others; Wave64, RF64 and AIFF it refuses, or takes them for empty.
"""

from typing import BinaryIO, Final

_MOST_CHUNKS: Final = 1000
_UNKNOWN: Final = 1 << 60
_W64_RIFF: Final = b"riff\x2e\x91\xcf\x11"
_W64_HEAD: Final = 24  # of a chunk: its GUID and its length, which counts them
_W64_FIRST_CHUNK: Final = 40
_UNFILLED: Final = (0, 0xFFFF_FFFF)

Patches = dict[int, bytes]  # what is read instead, by its place


class Patched:
    """A file that reads otherwise at some places."""

    def __init__(self, file: BinaryIO, patches: Patches) -> None:
        self._file, self._patches = file, patches
        self.seek, self.tell = file.seek, file.tell

    def read(self, size: int) -> bytes:
        """Up to `size` bytes."""
        start = self._file.tell()
        content = self._file.read(size)
        if not any(
            start < place + len(patch) and place < start + len(content) for place, patch in self._patches.items()
        ):
            return content
        changed = bytearray(content)
        for place, patch in self._patches.items():
            for number, byte in enumerate(patch):
                if 0 <= place + number - start < len(changed):
                    changed[place + number - start] = byte
        return bytes(changed)


def missing_lengths(file: BinaryIO) -> Patches:
    """The lengths that the header lacks, and should have; leaves the file at its beginning."""
    size = file.seek(0, 2)
    file.seek(0)
    head = file.read(16)
    try:
        if head.startswith(_W64_RIFF):
            return _wave64(file, size)
        if head.startswith(b"RF64"):
            return _rf64(file, size)
        if head.startswith(b"FORM") and head[8:12] in (b"AIFF", b"AIFC"):
            return _aiff(file, size)
    finally:
        file.seek(0)
    return {}


def _wave64(file: BinaryIO, size: int) -> Patches:
    at, found = _W64_FIRST_CHUNK, Patches()
    for _ in range(_MOST_CHUNKS):
        head = _read_at(file, at, _W64_HEAD)
        length = int.from_bytes(head[16:], "little")
        if head.startswith(b"data") and (length <= _W64_HEAD or length > _UNKNOWN):
            found = {16: size.to_bytes(8, "little"), at + 16: (size - at).to_bytes(8, "little")}
        if len(head) < _W64_HEAD or length <= _W64_HEAD or head.startswith(b"data"):
            break
        at += length + -length % 8
    return found


def _rf64(file: BinaryIO, size: int) -> Patches:
    """The lengths stand in the chunk `ds64`, which comes first."""
    head = _read_at(file, 12, 24)
    length = int.from_bytes(head[16:24], "little")
    if not head.startswith(b"ds64") or 0 < length < _UNKNOWN:
        return {}
    at = 12
    for _ in range(_MOST_CHUNKS):
        chunk = _read_at(file, at, 8)
        if len(chunk) < 8:
            break
        if chunk.startswith(b"data"):
            return {20: (size - 8).to_bytes(8, "little"), 28: (size - at - 8).to_bytes(8, "little")}
        length = int.from_bytes(chunk[4:], "little")
        at += 8 + length + length % 2
    return {}


def _aiff(file: BinaryIO, size: int) -> Patches:
    found, at = Patches(), 12
    if int.from_bytes(_read_at(file, 4, 4), "big") in _UNFILLED:
        found[4] = (size - 8).to_bytes(4, "big")
    for _ in range(_MOST_CHUNKS):
        chunk = _read_at(file, at, 8)
        length = int.from_bytes(chunk[4:], "big")
        if chunk.startswith(b"SSND") and length in _UNFILLED:
            found[at + 4] = (size - at - 8).to_bytes(4, "big")
        if len(chunk) < 8 or chunk.startswith(b"SSND"):
            break
        at += 8 + length + length % 2
    return found


def _read_at(file: BinaryIO, place: int, count: int) -> bytes:
    if place > _UNKNOWN:  # by a length that lies; further than a file can be long
        return b""
    file.seek(place)
    return file.read(count)
