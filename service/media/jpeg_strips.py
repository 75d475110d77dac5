"""Join JPEGs of the strips of an image to one, so that no more than a strip of it is in memory.

The strips share their tables, and each begins anew as it would behind a restart mark: so with marks between them, and
the number of blocks between marks and the height of the whole in the header, they are one image.
"""

import struct
from collections.abc import Iterable
from typing import BinaryIO, Final

_BLOCK: Final = 8  # pixels of a side, without chroma subsampling
_MOST_BLOCKS: Final = 65_535  # between two marks
_START_OF_FRAME, _START_OF_SCAN, _RESTART_INTERVAL, _END = b"\xff\xc0", b"\xff\xda", b"\xff\xdd", b"\xff\xd9"


def write_jpeg(file: BinaryIO, strips: Iterable[bytes], size: tuple[int, int]) -> None:
    """strips: baseline JPEGs of equal tables and rows, a multiple of 8 (the last may have less). size: of the whole.

    Raises ValueError if they cannot be joined.
    """
    interval = 0
    tables = b""
    for number, strip in enumerate(strips):
        head, rows = _head(strip)
        if number == 0:
            interval = -(-size[0] // _BLOCK) * -(-rows // _BLOCK)
            if interval > _MOST_BLOCKS or (rows % _BLOCK and rows != size[1]):
                raise ValueError("a strip has too many blocks or broken rows")
            tables = _tables(strip[:head])
            file.write(_for_all(strip[:head], size[1], interval))
        else:
            if _tables(strip[:head]) != tables:
                raise ValueError("the strips differ in their tables")
            file.write(bytes((0xFF, 0xD0 + (number - 1) % 8)))
        file.write(memoryview(strip)[head:-2])
    file.write(_END)


def _segments(head: bytes) -> list[tuple[int, int]]:
    """(start, end) of each up to the scan."""
    found, at = [], 2
    while True:
        end = at + 2 + int.from_bytes(head[at + 2 : at + 4], "big")
        found.append((at, end))
        if head[at : at + 2] == _START_OF_SCAN or end >= len(head):
            return found
        at = end


def _head(strip: bytes) -> tuple[int, int]:
    """Bytes up to the entropy-coded ones, and the rows that it states."""
    segments = _segments(strip)
    frame = next((start for start, _ in segments if strip[start : start + 2] == _START_OF_FRAME), None)
    if frame is None or strip[-2:] != _END:
        raise ValueError("a strip is no baseline JPEG")
    return segments[-1][1], int.from_bytes(strip[frame + 5 : frame + 7], "big")


def _tables(head: bytes) -> bytes:
    """Of quantization and Huffman codes."""
    return b"".join(head[start:end] for start, end in _segments(head) if head[start + 1] in (0xDB, 0xC4))


def _for_all(head: bytes, height: int, interval: int) -> bytes:
    """The head of the first strip, made that of the whole."""
    parts = [head[:2]]
    for start, end in _segments(head):
        segment = head[start:end]
        if segment[:2] == _START_OF_FRAME:
            segment = segment[:5] + struct.pack(">H", height) + segment[7:]
        elif segment[:2] == _START_OF_SCAN:
            parts.append(_RESTART_INTERVAL + struct.pack(">HH", 4, interval))
        parts.append(segment)
    return b"".join(parts)
