"""What the boxes of HEIC and AVIF say that their decoders do not tell: colors as code points, bits of a sample."""

from collections.abc import Iterator
from pathlib import Path
from typing import Final

_HEAD_BYTES: Final = 1024 * 1024  # what describes an image stands at the beginning
_CONTAINERS: Final = {b"meta": 4, b"iprp": 0, b"ipco": 0}  # and the bytes before their own boxes
_MOST_BOXES: Final = 2000


def stated_colors(path: Path) -> tuple[int, int] | None:
    """Color primaries and transfer characteristics (ITU-T H.273) of the first image that states them."""
    for kind, body in _properties(path):
        if kind == b"colr" and body[:4] == b"nclx" and len(body) >= 8:
            return int.from_bytes(body[4:6], "big"), int.from_bytes(body[6:8], "big")
    return None


def avif_bits(path: Path) -> int:
    """Bits of a sample of the first AV1 image; 8 if none is found."""
    for kind, body in _properties(path):
        if kind == b"av1C" and len(body) >= 4:
            high, twelve = body[2] & 0x40, body[2] & 0x20
            return 12 if high and twelve else 10 if high else 8
    return 8


def _properties(path: Path) -> Iterator[tuple[bytes, bytes]]:
    with path.open("rb") as file:
        content = file.read(_HEAD_BYTES)
    left = [(0, len(content))]
    for _ in range(_MOST_BOXES):
        if not left:
            return
        at, end = left.pop()
        if at + 8 > end:
            continue
        size, kind = int.from_bytes(content[at : at + 4], "big"), content[at + 4 : at + 8]
        stop = min(at + size, end) if size >= 8 else end
        left.append((stop, end))
        if kind in _CONTAINERS:
            left.append((at + 8 + _CONTAINERS[kind], stop))
        else:
            yield kind, content[at + 8 : min(stop, at + 8 + 64)]
