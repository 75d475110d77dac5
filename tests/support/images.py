"""Images of every kind that people have, and their decoding as a job does it."""

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from service.media.icc import profile_of_code_points
from service.media.image_reader import ImageHeader, ReadPlan, read_image
from service.media.image_reduce import Pixels
from service.media.limits import MediaLimits
from tests.support.hostile import png_chunk
from tests.support.media import make_photo

LIMITS = MediaLimits()
PHOTO = make_photo(48, 32)
_MADE = profile_of_code_points(12, 13)
assert _MADE is not None
P3: bytes = _MADE
# Display P3 to sRGB, by the matrices of the two standards
IN_P3, IN_SRGB = (200, 100, 50), (215, 93, 31)


def write_bytes(path: Path, content: bytes) -> Path:
    path.write_bytes(content)
    return path


def codes(path: Path, **plan: Any) -> list[str]:
    return [warning.code for warning in read(path, **plan)[0].warnings]


def mean_difference(one: NDArray[Any], other: NDArray[Any]) -> float:
    return float(np.abs(one.astype(int) - other.astype(int)).mean())


def read(path: Path, limits: MediaLimits = LIMITS, **plan: Any) -> tuple[ImageHeader, Pixels]:
    """The header and all pixels of a small image."""
    header, pixels = read_image(path, limits, ReadPlan(**plan))
    assert isinstance(header, ImageHeader)
    assert isinstance(pixels, np.ndarray)
    return header, pixels


def decode_image(path: Path, limits: MediaLimits = LIMITS, max_side: int | None = None) -> Pixels:
    """The pixels alone."""
    return read(path, limits, max_side=max_side)[1]


def png_of(pixels: NDArray[Any], *before: bytes, behind: Sequence[bytes] = ()) -> bytes:
    """[H, W, 1..4] of 8 or 16 bits as PNG. before, behind: whole chunks that stand around the pixels."""
    height, width, channels = pixels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[channels]
    big = pixels.astype(pixels.dtype.newbyteorder(">"))
    rows = b"".join(b"\0" + row.tobytes() for row in big)
    header = struct.pack(">IIBBBBB", width, height, pixels.itemsize * 8, kind, 0, 0, 0)
    chunks = [png_chunk(b"IHDR", header), *before, png_chunk(b"IDAT", zlib.compress(rows)), *behind]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks) + png_chunk(b"IEND", b"")


def tiff_of(
    pixels: NDArray[Any],
    photometric: int,
    *,
    order: str = "<",
    tile: int = 0,
    deflate: bool = False,
    planar: int = 1,
    sample_format: int = 1,
    compression: int = 1,
    tags: Sequence[tuple[int, int, Sequence[int]]] = (),
) -> bytes:
    """[H, W, C] as TIFF. tile: its side, 0 for strips. compression: what is stated.

    tags: (tag, type 3 or 4, values) beside the usual ones.
    """
    height, width, channels = pixels.shape
    blocks: list[bytes] = []
    planes = [pixels] if planar == 1 else [pixels[..., one : one + 1] for one in range(channels)]
    for plane in planes:
        for top in range(0, height, tile or 8):
            for left in range(0, width, tile or width):
                part = plane[top : top + (tile or 8), left : left + (tile or width)]
                if tile:
                    missing = (0, tile - part.shape[0]), (0, tile - part.shape[1]), (0, 0)
                    part = np.pad(part, missing)
                packed = part.astype(part.dtype.newbyteorder(order)).tobytes()  # type: ignore[arg-type]
                blocks.append(zlib.compress(packed) if deflate else packed)
    lengths = [len(block) for block in blocks]
    entries: list[tuple[int, int, Sequence[int] | None]] = [
        (256, 4, [width]), (257, 4, [height]), (258, 3, [pixels.itemsize * 8] * channels),
        (259, 3, [8 if deflate else compression]), (262, 3, [photometric]), (277, 3, [channels]), (284, 3, [planar]),
        (339, 3, [sample_format] * channels), *tags,
    ]  # fmt: skip
    if tile:
        entries += [(322, 4, [tile]), (323, 4, [tile]), (324, 4, None), (325, 4, lengths)]
    else:
        entries += [(273, 4, None), (278, 4, [8]), (279, 4, lengths)]
    entries.sort(key=lambda entry: entry[0])
    size = {3: 2, 4: 4}
    counts = [(len(blocks) if values is None else len(values)) * size[kind] for _, kind, values in entries]
    start = 8 + 2 + 12 * len(entries) + 4
    offset, offsets = start + sum(count for count in counts if count > 4), []
    for block in blocks:
        offsets.append(offset)
        offset += len(block)
    table, data = io.BytesIO(), io.BytesIO()
    for tag, kind, values in entries:
        given = offsets if values is None else values
        packed = struct.pack(f"{order}{len(given)}{'H' if kind == 3 else 'I'}", *given)
        table.write(struct.pack(f"{order}HHI", tag, kind, len(given)))
        if len(packed) > 4:
            table.write(struct.pack(f"{order}I", start + data.tell()))
            data.write(packed)
        else:
            table.write(packed.ljust(4, b"\0"))
    head = (b"II*\0" if order == "<" else b"MM\0*") + struct.pack(f"{order}IH", 8, len(entries))
    return head + table.getvalue() + bytes(4) + data.getvalue() + b"".join(blocks)
