"""The only door for foreign images: look at the header, and open under every check that the header allows.

What a client sends is a path under our own name and never trusted: known kinds, one frame, bounded pixels.
"""

import io
import logging
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pillow_heif
from PIL import AvifImagePlugin, Image, TiffImagePlugin, UnidentifiedImageError

from service.errors import MediaError, TooLarge, UnsupportedMedia
from service.media.image_kind import TAKEN, ImageKind, kind_of
from service.media.image_metadata import raw_profile
from service.media.isobmff import avif_bits
from service.media.limits import MediaLimits
from service.media.png import PngChunks, read_chunks
from service.media.untaken import refuse_untaken, untaken_tiff

logger = logging.getLogger(__name__)

# Our own cap is checked on every header before a pixel is decoded; Pillow's would warn at another figure.
Image.MAX_IMAGE_PIXELS = None
AvifImagePlugin.DEFAULT_MAX_THREADS = 2
pillow_heif.options.THUMBNAILS = pillow_heif.options.DEPTH_IMAGES = pillow_heif.options.AUX_IMAGES = False
pillow_heif.options.DECODE_THREADS = 2
pillow_heif.register_heif_opener()

_PLUGINS: Final[dict[ImageKind, str]] = {
    "png": "PNG", "jpeg": "JPEG", "webp": "WEBP", "heic": "HEIF", "avif": "AVIF", "tiff": "TIFF", "bmp": "BMP",
    "gif": "GIF",
}  # fmt: skip
# Their decoders hold several copies of the image at a time, so they are allowed a share of the pixels.
_MANY_COPIES: Final = frozenset({"webp", "heic", "avif", "gif"})
_MODES: Final = frozenset(
    {"1", "L", "LA", "La", "P", "PA", "RGB", "RGBA", "RGBX", "RGBa", "CMYK", "YCbCr", "LAB", "I;16", "I;16B", "I;16L"}
)
_EXIF_ORIENTATION: Final = 0x0112
_SIDEWAYS: Final = frozenset({5, 6, 7, 8})
_NEW_SUBFILE_TYPE, _SUB_IFDS, _DNG_VERSION, _SAMPLE_FORMAT, _BITS = 254, 330, 50706, 339, 258
_MOST_PAGES: Final = 16


@dataclass(frozen=True)
class ImageInfo:
    """What a header says. width, height: pixels as a viewer shows them, after the orientation."""

    width: int
    height: int
    format: ImageKind


@dataclass
class OpenImage:
    """An image whose pixels are not decoded yet. size: (width, height) as a viewer shows it.

    stored: what Pillow opened, as it is stored. orientation: EXIF's, 1..8, that makes it upright. bits: of a sample.
    chunks: of a PNG. texts: of a PNG, by their keywords.
    """

    path: Path
    kind: ImageKind
    stored: Image.Image
    orientation: int
    bits: int
    chunks: PngChunks | None = None
    texts: dict[str, str] = field(default_factory=dict)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) as a viewer shows it."""
        width, height = self.stored.size
        return (height, width) if self.orientation in _SIDEWAYS else (width, height)


def probe_image(path: Path, limits: MediaLimits) -> ImageInfo:
    """Read the header alone (no pixel is decoded).

    Raises UnsupportedMedia for another format or several frames, TooLarge above the limits, MediaError if damaged.
    """
    opened = open_image(path, limits)
    with opened.stored:
        width, height = opened.size
        return ImageInfo(width=width, height=height, format=opened.kind)


def open_image(path: Path, limits: MediaLimits) -> OpenImage:
    """Open lazily under every check that the header allows; the caller closes `stored`. Raises as `probe_image`."""
    size = path.stat().st_size
    if size == 0:
        raise MediaError("the image is empty (0 bytes); send the file itself", field="image")
    if size > limits.max_image_bytes:
        raise TooLarge(f"the image has {size} bytes; at most {limits.max_image_bytes} are taken", field="image")
    kind, name = kind_of(path)
    if kind is None:
        raise _unsupported(name)
    chunks: PngChunks | None = None
    source: Any = path
    try:
        if kind == "png":
            with path.open("rb") as file:
                chunks = read_chunks(file)
            source = io.BytesIO(chunks.pixels)
        stored = Image.open(source, formats=(_PLUGINS[kind],))
    except MemoryError:
        raise
    except Exception as exc:  # a decoder fed with hostile bytes may raise anything
        if not isinstance(exc, UnidentifiedImageError):
            logger.debug("%s is not opened: %r", name, exc)
        refuse_untaken(path, kind)
        raise damaged(name) from exc
    try:
        texts: dict[str, str] = {}
        if chunks is not None:
            texts = dict(chunks.texts())
            _tell_of_chunks(stored, chunks)
        _check(stored, kind, name, chunks, limits)
        return OpenImage(
            path, kind, stored, _orientation(stored, texts), _bits(path, stored, kind, chunks), chunks, texts
        )
    except BaseException:
        stored.close()
        raise


def damaged(name: str) -> MediaError:
    """The file is of that kind, but cannot be decoded."""
    return MediaError(f"the {name} image is damaged or incomplete; send it again", field="image")


def _unsupported(name: str) -> UnsupportedMedia:
    if name.endswith("audio"):
        return UnsupportedMedia(
            f"the file sent as image is {name}: were image and audio swapped? Send a {TAKEN} image", field="image"
        )
    said = f"the file is {name}" if name else "the file is no image that is known here"
    return UnsupportedMedia(f"{said}; send a {TAKEN} image", field="image")


def _tell_of_chunks(stored: Image.Image, chunks: PngChunks) -> None:
    """What Pillow would have found among the chunks that it was not shown."""
    if exif := chunks.first(b"eXIf"):
        stored.info["exif"] = exif
    if (density := chunks.first(b"pHYs")) and len(density) == 9 and density[8] == 1:
        stored.info["dpi"] = tuple(int.from_bytes(density[at : at + 4], "big") * 0.0254 for at in (0, 4))


def _check(image: Image.Image, kind: ImageKind, name: str, chunks: PngChunks | None, limits: MediaLimits) -> None:
    width, height = image.size
    most = limits.max_image_pixels // (2 if kind in _MANY_COPIES else 1)
    if width * height > most:
        raise TooLarge(
            f"the image has {width} x {height} pixels; of {name}, at most {most} are taken, in all", field="image"
        )
    if width < 1 or height < 1:
        raise damaged(name)
    if kind == "tiff":
        _check_tiff(image)
    elif _is_animated(image, kind, chunks):
        raise UnsupportedMedia(
            f"the {name} file is animated, and animated images are not taken; send one frame of it", field="image"
        )
    if image.mode not in _MODES:
        raise UnsupportedMedia(
            f"the {name} image has samples of the kind {image.mode}, which is not taken; send 8 or 16 bits a sample",
            field="image",
        )


def _is_animated(image: Image.Image, kind: ImageKind, chunks: PngChunks | None) -> bool:
    if chunks is not None:
        frames = chunks.first(b"acTL")
        return frames is not None and int.from_bytes(frames[:4], "big") > 1
    # MPO is how phones store a JPEG with an auxiliary second image, and HEIC holds several: the first is the photograph
    if kind in ("jpeg", "heic"):
        return False
    try:
        return bool(getattr(image, "is_animated", False))
    except Exception as exc:  # counting a GIF's frames reads the whole file
        raise damaged(kind.upper()) from exc


def _check_tiff(image: Image.Image) -> None:
    """One page of pixels: smaller copies of it may follow, other pages may not, and raw sensor data is none."""
    assert isinstance(image, TiffImagePlugin.TiffImageFile)
    tags: Any = image.tag_v2
    if _DNG_VERSION in tags or (tags.get(_NEW_SUBFILE_TYPE, 0) & 1 and _SUB_IFDS in tags):
        raise UnsupportedMedia(
            "the file is a camera's raw data, which has no colors of its own; develop it and send the image",
            field="image",
        )
    if reason := untaken_tiff(tags):
        raise UnsupportedMedia(f"the TIFF image {reason}", field="image")
    try:
        for page in range(1, _MOST_PAGES):
            image.seek(page)
            if not image.tag_v2.get(_NEW_SUBFILE_TYPE, 0) & 1:
                raise UnsupportedMedia("the TIFF file has several pages; send one of them", field="image")
    except EOFError:
        pass
    except UnsupportedMedia:
        raise
    except Exception as exc:  # foreign bytes again
        logger.debug("the pages behind the first are ignored: %r", exc)
    try:
        image.seek(0)
    except Exception as exc:
        raise damaged("TIFF") from exc


def _bits(path: Path, image: Image.Image, kind: ImageKind, chunks: PngChunks | None) -> int:
    """Bits of a sample, as they are stored: 8 for fewer."""
    if chunks is not None:
        return max(8, chunks.bit_depth)
    if isinstance(image, TiffImagePlugin.TiffImageFile):
        with suppress(Exception):  # a tag may hold anything
            return int(max(8, *image.tag_v2.get(_BITS, (8,))))
        return 8
    if kind == "heic":
        return int(image.info.get("bit_depth", 8))
    return avif_bits(path) if kind == "avif" else 8


def _orientation(image: Image.Image, texts: dict[str, str]) -> int:
    """The EXIF orientation, 1..8; 1 (upright) where there is none or it is malformed.

    The turns that an AVIF states itself are in what Pillow gives as its EXIF, those of a HEIC are done by its decoder,
    and those of a TIFF by Pillow.
    """
    if image.format == "TIFF":
        return 1
    try:
        exif = Image.Exif()
        exif.load(image.info.get("exif") or raw_profile(texts, "exif") or b"")
        value = exif.get(_EXIF_ORIENTATION, 1)
    except Exception as exc:  # EXIF is foreign bytes too, and the image is whole without it
        logger.debug("EXIF is ignored: %s", exc)
        return 1
    return int(value) if isinstance(value, int) and 1 <= value <= 8 else 1
