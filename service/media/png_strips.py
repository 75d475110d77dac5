"""Write a PNG from strips, so that no more than a strip of it is in memory."""

import struct
import zlib
from collections.abc import Iterable
from typing import BinaryIO, Final

import numpy as np
from numpy.typing import NDArray

from service.media.image_reduce import Pixels
from service.media.png import SIGNATURE
from service.media.png_tags import png_chunk

_AVERAGE: Final = 3  # the filter
_COLOR_TYPES: Final = {3: 2, 4: 6}


def write_png(file: BinaryIO, strips: Iterable[Pixels], size: tuple[int, int], chunks: bytes) -> None:
    """strips: [rows, W, 3 or 4] of 8 or 16 bits. size: (width, height). chunks: to stand before the pixels."""
    packer = zlib.compressobj(1, zlib.DEFLATED, 15, 9, zlib.Z_RLE)
    above: NDArray[np.uint8] | None = None
    for strip in strips:
        if above is None:
            header = struct.pack(">IIBBBBB", *size, strip.itemsize * 8, _COLOR_TYPES[strip.shape[2]], 0, 0, 0)
            file.write(SIGNATURE + png_chunk(b"IHDR", header) + chunks)
            above = np.zeros(size[0] * strip.shape[2] * strip.itemsize, np.uint8)
        samples = np.ascontiguousarray(strip, dtype=strip.dtype.newbyteorder(">")).view(np.uint8)
        rows = samples.reshape(len(strip), -1)  # [rows, bytes]
        if packed := packer.compress(_filtered(rows, above, strip.shape[2] * strip.itemsize).data):
            file.write(png_chunk(b"IDAT", packed))
        above = rows[-1]
    file.write(png_chunk(b"IDAT", packer.flush()) + png_chunk(b"IEND", b""))


def _filtered(rows: NDArray[np.uint8], above: NDArray[np.uint8], pixel_bytes: int) -> NDArray[np.uint8]:
    """[rows, 1 + bytes]: each byte less the mean of those to its left and above, behind the filter's number."""
    left = np.zeros_like(rows)
    left[:, pixel_bytes:] = rows[:, :-pixel_bytes]
    up = np.concatenate([above[None], rows[:-1]])
    mean = (left & up) + ((left ^ up) >> 1)  # rounded down, within 8 bits
    filtered = np.empty((rows.shape[0], rows.shape[1] + 1), np.uint8)
    filtered[:, 0] = _AVERAGE
    np.subtract(rows, mean, out=filtered[:, 1:])
    return filtered
