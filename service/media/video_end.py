"""Tell whether a video file was cut short, by the lengths that its boxes, elements or chunks state of themselves.

A stated duration is not asked: headers are wrong about it, and edit lists hide frames that are there.
"""

import struct
from pathlib import Path
from typing import BinaryIO, Final

_MOST_BOXES: Final = 100_000
_MP4_BOXES: Final = (b"mdat", b"moov", b"moof")  # what stands behind the others' ends may be anything
_EBML_HEADER: Final = b"\x1a\x45\xdf\xa3"
_EBML_SEGMENT: Final = b"\x18\x53\x80\x67"


def is_cut_short(path: Path) -> bool:
    """Whether the file ends before its outermost parts do; False for formats that do not say (MPEG, FLV)."""
    size = path.stat().st_size
    with path.open("rb") as file:
        start = file.read(12)
        file.seek(0)
        if start.startswith(_EBML_HEADER):
            return _matroska_end(file) > size
        if start.startswith(b"RIFF"):
            return riff_end(file, size) > size
        if start[4:8] in (b"ftyp", b"moov", b"mdat", b"wide", b"free", b"skip", b"pnot"):
            return _mp4_end(file, size) > size
    return False


def _mp4_end(file: BinaryIO, size: int) -> int:
    """Where the last box of media or index ends; one of length 0 reaches to the end, whatever that is."""
    position = end = 0
    for _ in range(_MOST_BOXES):
        if position + 8 > size:
            break
        file.seek(position)
        head = file.read(16)
        length = int.from_bytes(head[:4])
        if length == 1 and len(head) == 16:
            length = int.from_bytes(head[8:])
        if length < 8:
            break
        position += length
        if head[4:8] in _MP4_BOXES:
            end = position
    return end


def riff_end(file: BinaryIO, size: int) -> int:
    """Where the last RIFF chunk ends; large AVI files have several. A length of 0 was never filled in."""
    position = 0
    for _ in range(_MOST_BOXES):
        if position + 8 > size:
            break
        file.seek(position)
        name, length = struct.unpack("<4sI", file.read(8))
        if name != b"RIFF" or length in (0, 0xFFFFFFFF):
            break
        position += 8 + length + length % 2
    # the last chunk of an odd length may lack its padding
    return position - 1


def _matroska_end(file: BinaryIO) -> int:
    """Where the segment ends, 0 if its length was never filled in (a live recording)."""
    file.seek(4)
    header = _variable_length(file)
    if header is None:
        return 0
    file.seek(header, 1)
    if file.read(4) != _EBML_SEGMENT:
        return 0
    length = _variable_length(file)
    return 0 if length is None else file.tell() + length


def _variable_length(file: BinaryIO) -> int | None:
    """EBML's integer of 1 to 8 bytes; None if all its bits are set (unknown) or it is none."""
    first = file.read(1)
    if not first or first[0] == 0:
        return None
    count = 9 - first[0].bit_length()
    content = bytes([first[0] & ((1 << (8 - count)) - 1)]) + file.read(count - 1)
    value = int.from_bytes(content)
    return None if value == (1 << 7 * count) - 1 else value
