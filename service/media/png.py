"""Read a PNG's chunks, so that only those which hold pixels reach the decoder, and the others are read with care.

Pillow refuses a file for a text or a profile of more than 1 MB, and for a wrong checksum in a chunk that no pixel
depends on; and it finds EXIF behind the pixels only by decoding them first.
"""

import zlib
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import BinaryIO, Final

SIGNATURE: Final = b"\x89PNG\r\n\x1a\n"
MAX_PROFILE_BYTES: Final = 16 * 1024 * 1024
MAX_TEXT_BYTES: Final = 1024 * 1024  # XMP with an embedded thumbnail may be that large

_PIXELS: Final = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT"})
_READ: Final = frozenset(
    {b"iCCP", b"eXIf", b"tEXt", b"zTXt", b"iTXt", b"sRGB", b"gAMA", b"cHRM", b"cICP", b"pHYs", b"acTL"}
)
_MOST_CHUNKS: Final = 100_000
_MOST_TEXTS: Final = 256
_MAX_CHUNK_BYTES: Final = 32 * 1024 * 1024


@dataclass
class PngChunks:
    """pixels: a PNG of the same pixels, without any other chunk. others: (kind, data) of the chunks that are read."""

    pixels: bytes
    others: list[tuple[bytes, bytes]] = field(default_factory=list)

    @property
    def bit_depth(self) -> int:
        """Bits of a sample."""
        return self.pixels[24]

    def first(self, kind: bytes) -> bytes | None:
        """The data of the first chunk of that kind."""
        return next((data for other, data in self.others if other == kind), None)

    def profile(self) -> bytes | None:
        """The ICC profile; None if there is none, or it is damaged or larger than MAX_PROFILE_BYTES."""
        packed = self.first(b"iCCP")
        if packed is None:
            return None
        _, _, rest = packed.partition(b"\0")
        return inflate(rest[1:], MAX_PROFILE_BYTES)

    def texts(self) -> Iterator[tuple[str, str]]:
        """Keyword and text of every text chunk that is sound and not too large."""
        chunks = [(kind, data) for kind, data in self.others if kind in (b"tEXt", b"zTXt", b"iTXt")]
        for kind, data in chunks[:_MOST_TEXTS]:
            keyword, _, rest = data.partition(b"\0")
            if (text := _text(kind, rest)) is not None and 0 < len(keyword) < 80:
                yield keyword.decode("latin-1"), text


def read_chunks(file: BinaryIO) -> PngChunks:
    """Walk all chunks; one that is cut off ends the walk. Raises ValueError if it is no PNG."""
    if file.read(8) != SIGNATURE:
        raise ValueError("no PNG signature")
    parts: list[bytes] = [SIGNATURE]
    others: list[tuple[bytes, bytes]] = []
    for _ in range(_MOST_CHUNKS):
        head = file.read(8)
        if len(head) < 8 or head[4:] == b"IEND":
            break
        kind, length = head[4:], int.from_bytes(head[:4], "big")
        if kind in _PIXELS:
            data = file.read(length)
            if kind == b"tRNS" and file.read(4) != zlib.crc32(kind + data).to_bytes(4, "big"):
                continue
            file.seek(-4 if kind == b"tRNS" else 0, 1)
            # of a chunk that is cut off, what is there: the decoder finds out whether pixels are missing
            parts += (len(data).to_bytes(4, "big"), kind, data, _checksum(file, kind, data, length))
        elif kind in _READ and length <= _MAX_CHUNK_BYTES:
            data = file.read(length)
            if file.read(4) == zlib.crc32(kind + data).to_bytes(4, "big"):
                others.append((kind, data))
        elif not kind[0] & 0x20:
            raise ValueError(f"the critical chunk {kind!r} is unknown")
        else:
            file.seek(length + 4, 1)
    parts.append(b"\0\0\0\0IEND\xaeB`\x82")
    pixels = b"".join(parts)
    if pixels[12:16] != b"IHDR" or len(pixels) < 33:
        raise ValueError("no PNG header")
    return PngChunks(pixels, others)


def _checksum(file: BinaryIO, kind: bytes, data: bytes, length: int) -> bytes:
    """The chunk's own, which the decoder checks; that of a chunk which is cut off is made up."""
    own = file.read(4) if len(data) == length else b""
    return own if len(own) == 4 else zlib.crc32(kind + data).to_bytes(4, "big")


def inflate(packed: bytes, limit: int) -> bytes | None:
    """Decompressed, or None if that is damaged, cut off or longer than `limit` bytes."""
    inflater = zlib.decompressobj()
    with suppress(zlib.error):
        data = inflater.decompress(packed, limit)
        return data if inflater.eof else None
    return None


def _text(kind: bytes, rest: bytes) -> str | None:
    if kind == b"tEXt":
        return rest[:MAX_TEXT_BYTES].decode("latin-1") if len(rest) <= MAX_TEXT_BYTES else None
    if kind == b"zTXt":
        unpacked = inflate(rest[1:], MAX_TEXT_BYTES)
        return None if unpacked is None else unpacked.decode("latin-1")
    packed, rest = rest[:1] == b"\1", rest[2:]
    _, _, rest = rest.partition(b"\0")  # the language
    _, _, rest = rest.partition(b"\0")  # the keyword in that language
    unpacked = inflate(rest, MAX_TEXT_BYTES) if packed else rest
    return None if unpacked is None or len(unpacked) > MAX_TEXT_BYTES else unpacked.decode("utf-8", "replace")
