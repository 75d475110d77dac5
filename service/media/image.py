"""The only door for foreign images: look at the header, and decode to plain RGB.

What a client sends is a path under our own name and never trusted: three formats, one frame, bounded pixels.
Metadata (EXIF, XMP, ICC) ends here: the orientation is applied, colours are converted to sRGB, the rest is dropped.
"""

import io
import logging
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, UnidentifiedImageError

from service.errors import MediaError, TooLarge, UnsupportedMedia
from service.media.limits import MediaLimits

logger = logging.getLogger(__name__)

ImageFormat = Literal["png", "jpeg", "webp"]
MEDIA_TYPES: Final[dict[ImageFormat, str]] = {"png": "image/png", "jpeg": "image/jpeg", "webp": "image/webp"}

# Our own cap is checked on every header before a pixel is decoded; Pillow's would warn at another figure.
Image.MAX_IMAGE_PIXELS = None

_FORMATS: Final[dict[str, ImageFormat]] = {"PNG": "png", "JPEG": "jpeg", "WEBP": "webp", "MPO": "jpeg"}
_MAX_ICC_BYTES: Final = 4 * 1024 * 1024
_EXIF_ORIENTATION: Final = 0x0112
_TURNS: Final = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_SIDEWAYS: Final = {5, 6, 7, 8}
_SIGNATURES: Final = (
    (b"\x89PNG", "PNG"),
    (b"\xff\xd8\xff", "JPEG"),
    (b"GIF8", "GIF"),
    (b"BM", "BMP"),
    (b"II*\0", "TIFF"),
    (b"MM\0*", "TIFF"),
    (b"%PDF", "PDF"),
    (b"<svg", "SVG"),
    (b"<?xml", "XML"),
)


@dataclass(frozen=True)
class ImageInfo:
    """What a header says. width, height: pixels as a viewer shows them, after the EXIF orientation."""

    width: int
    height: int
    format: ImageFormat


def probe_image(path: Path, limits: MediaLimits) -> ImageInfo:
    """Read the header alone (no pixel is decoded).

    Raises UnsupportedMedia for another format or several frames, TooLarge above the limits, MediaError if damaged.
    """
    with _open(path, limits) as image:
        width, height = image.size
        if _orientation(image) in _SIDEWAYS:
            width, height = height, width
        return ImageInfo(width=width, height=height, format=_FORMATS[image.format or ""])


def decode_image(path: Path, limits: MediaLimits, max_side: int | None = None) -> NDArray[np.uint8]:
    """Decode to [H, W, 3] sRGB, upright; transparency is laid onto white.

    max_side: an image whose longer side exceeds it is reduced to it, its proportions kept.
    Raises what `probe_image` raises, and MediaError if the pixels are damaged or incomplete.
    """
    with _open(path, limits) as image:
        orientation = _orientation(image)
        size = _fit(image.size, max_side)
        try:
            if size != image.size and _FORMATS[image.format or ""] == "jpeg":
                image.draft(None, size)  # JPEG decodes at 1/2, 1/4 or 1/8 for a fraction of the price
            image.load()
            upright = _to_rgb(image)
        except MemoryError as exc:
            raise TooLarge("the image does not fit in memory; send a smaller one", field="image") from exc
        except Exception as exc:  # a decoder fed with hostile bytes may raise anything
            raise MediaError("the image is damaged or incomplete; send it again", field="image") from exc
    if size != upright.size:
        upright = upright.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)
    if orientation in _TURNS:
        upright = upright.transpose(_TURNS[orientation])
    return np.array(upright, dtype=np.uint8)


def _open(path: Path, limits: MediaLimits) -> Image.Image:
    """Open lazily under every check that the header allows."""
    size = path.stat().st_size
    if size == 0:
        raise MediaError("the image is empty (0 bytes); send the file itself", field="image")
    if size > limits.max_image_bytes:
        raise TooLarge(f"the image has {size} bytes; at most {limits.max_image_bytes} are taken", field="image")
    try:
        image = Image.open(path, formats=("JPEG", "PNG", "WEBP"))
    except UnidentifiedImageError as exc:
        raise _unidentified(path) from exc
    except Exception as exc:  # a decoder fed with hostile bytes may raise anything
        raise MediaError("the image is damaged or incomplete; send it again", field="image") from exc
    try:
        _check(image, limits)
    except BaseException:
        image.close()
        raise
    return image


def _check(image: Image.Image, limits: MediaLimits) -> None:
    width, height = image.size
    if width * height > limits.max_image_pixels:
        raise TooLarge(
            f"the image has {width} x {height} pixels; at most {limits.max_image_pixels} are taken, in all",
            field="image",
        )
    # MPO is how phones store a JPEG with an auxiliary second image: the first one is the photograph.
    if image.format != "MPO" and getattr(image, "n_frames", 1) > 1:
        raise UnsupportedMedia("animated images are not taken; send one frame of it", field="image")


def _unidentified(path: Path) -> UnsupportedMedia | MediaError:
    with path.open("rb") as file:
        start = file.read(64)
    kind = next((name for signature, name in _SIGNATURES if start.startswith(signature)), None)
    if start[:4] == b"RIFF" and start[8:12] == b"WEBP":
        kind = "WEBP"
    elif start[4:12] in (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypmsf1"):
        kind = "HEIC"
    elif start[4:12] in (b"ftypavif", b"ftypavis"):
        kind = "AVIF"
    if kind in _FORMATS:
        return MediaError(f"the {kind} image is damaged or incomplete; send it again", field="image")
    known = f"the file is {kind}" if kind else "the file is no image that is known here"
    return UnsupportedMedia(f"{known}; send a JPEG, PNG or WebP image", field="image")


def _orientation(image: Image.Image) -> int:
    """The EXIF orientation, 1..8; 1 (upright) where there is none or it is malformed."""
    if image.format == "PNG" and "exif" not in image.info:
        return 1  # asking Pillow would decode the whole image to look behind it
    try:
        value = image.getexif().get(_EXIF_ORIENTATION, 1)
    except Exception as exc:  # EXIF is foreign bytes too, and the image is whole without it
        logger.debug("EXIF is ignored: %s", exc)
        return 1
    return value if value in _TURNS else 1


def _fit(size: tuple[int, int], max_side: int | None) -> tuple[int, int]:
    longest = max(size)
    if max_side is None or longest <= max_side:
        return size
    width, height = (max(1, round(side * max_side / longest)) for side in size)
    return width, height


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any mode that the three formats can hold -> RGB, in sRGB and without transparency."""
    if image.mode.startswith("I"):  # 16-bit grey: Pillow would clip at 255 instead of scaling
        grey = np.asarray(image).astype(np.uint32)
        return Image.fromarray(((grey * 255 + 32_767) // 65_535).astype(np.uint8)).convert("RGB")
    transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
    profile = image.info.get("icc_profile")
    if transparent:
        image = image.convert("RGBA")
    elif image.mode not in ("RGB", "CMYK", "L"):
        image = image.convert("RGB")
    if profile:
        image = _to_srgb(image, profile)
    if image.mode == "RGBA":
        paper = Image.new("RGB", image.size, (255, 255, 255))
        paper.paste(image, mask=image.getchannel("A"))
        return paper
    return image.convert("RGB")


def _to_srgb(image: Image.Image, profile: bytes) -> Image.Image:
    """Apply the colour profile, so that a wide-gamut photograph keeps its colours; a bad profile is ignored."""
    if len(profile) > _MAX_ICC_BYTES:
        return image
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        if "sRGB" in ImageCms.getProfileDescription(source):
            return image
        mode = "RGBA" if image.mode == "RGBA" else "RGB"
        converted = ImageCms.profileToProfile(image, source, ImageCms.createProfile("sRGB"), outputMode=mode)
    except (ImageCms.PyCMSError, OSError, ValueError, TypeError) as exc:
        logger.debug("the colour profile is ignored: %s", exc)
        return image
    return converted if converted is not None else image
