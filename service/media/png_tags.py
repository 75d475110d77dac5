"""The chunks of a PNG that say what goes with its pixels."""

import struct
import zlib
from typing import Final

from service.media.image_metadata import ImageTags

_PERCEPTUAL: Final = b"\0"
_INCHES_PER_METRE: Final = 1 / 0.0254


def png_chunk(kind: bytes, data: bytes) -> bytes:
    """One chunk with its length and checksum."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_chunks(tags: ImageTags) -> bytes:
    """All of them, to stand between IHDR and the pixels."""
    if tags.profile is None:
        parts = [png_chunk(b"sRGB", _PERCEPTUAL)]
    else:
        parts = [png_chunk(b"iCCP", b"ICC profile\0\0" + zlib.compress(tags.profile))]
    if tags.dpi:
        per_metre = (round(value * _INCHES_PER_METRE) for value in tags.dpi)
        parts.append(png_chunk(b"pHYs", struct.pack(">IIB", *per_metre, 1)))
    if tags.exif:
        parts.append(png_chunk(b"eXIf", tags.exif))
    if tags.xmp:
        parts.append(_text("XML:com.adobe.xmp", tags.xmp.decode("utf-8", "replace")))
    if tags.iptc:
        parts.append(png_chunk(b"zTXt", b"Raw profile type iptc\0\0" + zlib.compress(_raw_profile("iptc", tags.iptc))))
    parts += [_text(keyword, text) for keyword, text in tags.texts]
    return b"".join(parts)


def _text(keyword: str, text: str) -> bytes:
    return png_chunk(b"iTXt", keyword.encode("latin-1", "replace")[:79] + b"\0\0\0\0\0" + text.encode())


def _raw_profile(name: str, content: bytes) -> bytes:
    """As ImageMagick and ExifTool keep what PNG has no chunk for."""
    digits = content.hex()
    lines = "\n".join(digits[at : at + 72] for at in range(0, len(digits), 72))
    return f"\n{name}\n{len(content):8d}\n{lines}\n".encode()
