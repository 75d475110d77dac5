"""Encode results as image files: whole, or from strips in little memory."""

import io
from collections.abc import Iterable
from typing import Any, BinaryIO, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.media.icc import srgb_profile
from service.media.image_kind import ImageFormat
from service.media.image_metadata import ImageTags
from service.media.image_reduce import Pixels
from service.media.jpeg_strips import write_jpeg
from service.media.png_strips import write_png
from service.media.png_tags import png_chunks

_NO_TAGS: Final = ImageTags()


def encode_image(
    pixels: Pixels, format: ImageFormat, tags: ImageTags = _NO_TAGS, *, is_lossless: bool = False
) -> bytes:
    """Encode [H, W, 3], or 4 with alpha, of 8 bits, or 16 for PNG; tagged as sRGB unless the tags have a profile.

    png: lossless, compressed fast; jpeg: quality 92, full chroma, flattened onto white; webp: quality 90, or
    is_lossless.
    """
    if format != "png":
        return _encode(Image.fromarray(flattened(pixels) if format == "jpeg" else pixels), format, tags, is_lossless)
    buffer = io.BytesIO()
    write_png(buffer, [pixels], (pixels.shape[1], pixels.shape[0]), png_chunks(tags))
    return buffer.getvalue()


def write_image(
    file: BinaryIO,
    strips: Iterable[Pixels],
    size: tuple[int, int],
    format: ImageFormat,
    tags: ImageTags = _NO_TAGS,
    *,
    is_lossless: bool = False,
) -> None:
    """The same from strips of 8 rows, or a multiple (the last may be less), as `service.media` hands them out.

    size: (width, height).
    """
    if format == "png":
        write_png(file, strips, size, png_chunks(tags))
    elif format == "jpeg":
        encoded = (_encode(Image.fromarray(flattened(strip)), "jpeg", tags) for strip in strips)
        write_jpeg(file, encoded, size)
    else:
        image: Image.Image | None = None
        top = 0
        for strip in strips:
            image = image or Image.new("RGB" if strip.shape[2] == 3 else "RGBA", size)
            image.paste(Image.fromarray(strip), (0, top))
            top += len(strip)
        assert image is not None
        file.write(_encode(image, format, tags, is_lossless))


def flattened(pixels: Pixels) -> NDArray[np.uint8]:
    """[H, W, 3 or 4] of 8 bits -> [H, W, 3], laid onto white."""
    if pixels.shape[2] == 3:
        return pixels  # type: ignore[return-value]
    alpha = pixels[..., 3:].astype(np.uint16)
    mixed = pixels[..., :3] * alpha + 255 * (255 - alpha)
    return ((mixed + 127) // 255).astype(np.uint8)


def _encode(image: Image.Image, format: ImageFormat, tags: ImageTags, is_lossless: bool = False) -> bytes:
    options: dict[str, Any] = {"icc_profile": tags.profile or srgb_profile()}
    if tags.exif:
        options["exif"] = (b"Exif\0\0" if format == "jpeg" else b"") + tags.exif
    if tags.xmp:
        options["xmp"] = tags.xmp
    if format == "jpeg":
        options |= {"quality": 92, "subsampling": 0}
        options |= {"dpi": tuple(round(value) for value in tags.dpi)} if tags.dpi else {}
        options |= {"extra": _photoshop_segment(tags.iptc)} if tags.iptc else {}
    elif is_lossless:
        options |= {"lossless": True, "exact": True, "quality": 20, "method": 1}
    else:
        options |= {"quality": 90, "method": 2}
    buffer = io.BytesIO()
    image.save(buffer, format=format.upper(), **options)
    return buffer.getvalue()


def _photoshop_segment(iptc: bytes) -> bytes:
    """IPTC records as a JPEG keeps them: in a resource of Photoshop's."""
    resource = b"8BIM\x04\x04\0\0" + len(iptc).to_bytes(4, "big") + iptc + bytes(len(iptc) % 2)
    body = b"Photoshop 3.0\0" + resource
    return b"\xff\xed" + (len(body) + 2).to_bytes(2, "big") + body
