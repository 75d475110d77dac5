"""Decode an image, once, and hand it out upright in strips of RGB or RGBA, with its colors in sRGB.

8 bits a sample: `service.media.image_deep` decodes to 16. The whole image is in memory once, as
it is stored; its turn and its colors are a matter of each strip.
"""

import io
import logging
from collections.abc import Callable, Iterator
from typing import Any, Final, TypeVar

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageCms, TiffImagePlugin

from service.errors import TooLarge
from service.media.image import OpenImage, damaged
from service.media.image_reduce import Pixels, strip_rows
from service.media.jpeg import with_end
from service.media.untaken import refuse_untaken

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_PHOTOMETRIC: Final = 262
_WHITE_IS_ZERO: Final = 0


class Decoded:
    """size: (width, height), upright. channels: 3, or 4 with alpha. bits: of a sample, 8 or 16.

    is_transparent: whether any pixel lets something through.
    """

    def __init__(
        self,
        stored: Image.Image | Pixels,
        orientation: int,
        transform: ImageCms.ImageCmsTransform | None,
        inverted: bool,
    ) -> None:
        """transform: to sRGB, None if none is needed. inverted: 16 bits of grey of which 0 is white."""
        self._stored = stored
        self._orientation = orientation
        self._transform = transform
        self._inverted = inverted
        if isinstance(stored, Image.Image):
            width, height = stored.size
            self.bits = 8
            self.channels = 4 if has_alpha(stored) else 3
            self.is_transparent = self.channels == 4 and _lets_through(stored)
        else:
            height, width = stored.shape[:2]
            self.bits = 16
            self.channels = stored.shape[2]
            self.is_transparent = self.channels == 4 and bool((stored[..., 3] < 65_535).any())
        self.size = (height, width) if orientation > 4 else (width, height)

    def strips(self) -> Iterator[Pixels]:
        """[rows, width, channels], from the top."""
        width, height = self.size
        rows = strip_rows(width)
        for top in range(0, height, rows):
            yield self.strip(top, min(top + rows, height))

    def strip(self, top: int, bottom: int) -> Pixels:
        """Rows top..bottom."""
        width, height = self.size
        if self._orientation in (3, 4, 7, 8):  # upright rows run against the stored ones, or stored columns
            top, bottom = height - bottom, height - top
        piece: Any
        if isinstance(self._stored, Image.Image):
            box = (top, 0, bottom, width) if self._orientation > 4 else (0, top, width, bottom)
            whole = box == (0, 0, *self._stored.size)
            piece = self._to_rgb(self._stored if whole else self._stored.crop(box))
        else:
            piece = self._stored[:, top:bottom] if self._orientation > 4 else self._stored[top:bottom]
        turned: Any = np.ascontiguousarray(_turn(piece, self._orientation))
        upright: Pixels = turned
        return upright

    def _to_rgb(self, image: Image.Image) -> NDArray[np.uint8]:
        image = to_plain(image, self._inverted)
        if self._transform is None:
            return np.asarray(image.convert("RGBA" if has_alpha(image) else "RGB"))
        if not has_alpha(image):
            return np.asarray(_apply(self._transform, image))
        colors = np.asarray(_apply(self._transform, image.convert("L" if image.mode == "LA" else "RGB")))
        return np.dstack([colors, np.asarray(image.getchannel("A"))])


def _apply(transform: ImageCms.ImageCmsTransform, image: Image.Image) -> Image.Image:
    converted: Image.Image | None = transform.apply(image.convert(str(transform.input_mode)))
    assert converted is not None
    return converted


def has_alpha(image: Image.Image) -> bool:
    """Whether a pixel of the image may be transparent."""
    return image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info


def _lets_through(image: Image.Image) -> bool:
    if image.mode in ("RGBA", "LA", "PA"):
        least, _ = image.getchannel("A").getextrema()
        return float(least) < 255  # type: ignore[arg-type]
    return True


def to_plain(image: Image.Image, inverted: bool = False) -> Image.Image:
    """Any mode that is taken -> L, LA, RGB, RGBA, CMYK or LAB of 8 bits."""
    if image.mode.startswith("I;16"):  # Pillow would clip at 255 instead of scaling
        deep = np.asarray(image).astype(np.uint32)
        if "transparency" in image.info:
            alpha = np.where(deep == image.info["transparency"], 0, 255).astype(np.uint8)
            return Image.merge("LA", [Image.fromarray(_to_8_bits(deep)), Image.fromarray(alpha)])
        return Image.fromarray(_to_8_bits(65_535 - deep if inverted else deep))
    if "transparency" in image.info or image.mode in ("PA", "RGBa"):
        return image.convert("RGBA")
    if image.mode == "La":
        return image.convert("LA")
    if image.mode == "1":
        return image.convert("L")
    return image if image.mode in ("L", "LA", "RGB", "RGBA", "CMYK", "LAB") else image.convert("RGB")


def _to_8_bits(deep: NDArray[np.uint32]) -> NDArray[np.uint8]:
    return ((deep * 255 + 32_767) // 65_535).astype(np.uint8)


def _turn(pixels: Pixels, orientation: int) -> Pixels:
    """[H, W, C] as stored -> upright."""
    match orientation:
        case 2:
            return pixels[:, ::-1]
        case 3:
            return pixels[::-1, ::-1]
        case 4:
            return pixels[::-1]
        case 5:
            return pixels.swapaxes(0, 1)
        case 6:
            return np.rot90(pixels, -1)
        case 7:
            return pixels[::-1, ::-1].swapaxes(0, 1)
        case 8:
            return np.rot90(pixels)
    return pixels


def decode(
    opened: OpenImage, size: tuple[int, int], transform: ImageCms.ImageCmsTransform | None, is_draft: bool = False
) -> Decoded:
    """Decode to 8 bits. size: (width, height), upright, as it is stored or smaller.

    is_draft: it may be a little larger than `size`, if that is cheaper. Raises MediaError, TooLarge.
    """
    stored, orientation = opened.stored, opened.orientation
    target = size[::-1] if orientation > 4 else size
    is_smaller = target != stored.size
    inverted = is_inverted(stored)

    def load(image: Image.Image) -> Image.Image:
        if is_smaller and opened.kind == "jpeg":
            image.draft(None, target)  # JPEG decodes at 1/2, 1/4 or 1/8 for a fraction of the price
        image.load()
        return image

    loaded = guarded(lambda: _load(opened, load), opened)
    if is_smaller and not is_draft and loaded.size != target:
        plain = to_plain(loaded, inverted)
        loaded = guarded(lambda: plain.resize(target, Image.Resampling.LANCZOS, reducing_gap=3.0), opened)
    return Decoded(loaded, orientation, transform, inverted)


def _load(opened: OpenImage, load: Callable[[Image.Image], Image.Image]) -> Image.Image:
    try:
        return load(opened.stored)
    except OSError:
        if opened.kind != "jpeg":
            raise

        def again(content: io.BytesIO) -> Image.Image:
            return load(Image.open(content, formats=("JPEG",)))

        ended = with_end(opened.path.read_bytes(), again)
        if ended is None:
            raise
        return again(ended)


def guarded(call: Callable[[], Result], opened: OpenImage) -> Result:
    """What `call` returns; raises TooLarge for want of memory, and MediaError for everything else."""
    try:
        return call()
    except MemoryError as exc:
        raise TooLarge("the image does not fit in memory; send a smaller one", field="image") from exc
    except Exception as exc:  # a decoder fed with hostile bytes may raise anything
        if opened.kind == "jpeg":
            refuse_untaken(opened.path, opened.kind)
        raise damaged(opened.kind.upper()) from exc


def is_inverted(stored: Image.Image) -> bool:
    """Whether its 16 bits of grey have 0 for white, which no decoder heeds."""
    if not isinstance(stored, TiffImagePlugin.TiffImageFile) or not stored.mode.startswith("I;16"):
        return False
    return bool(stored.tag_v2.get(_PHOTOMETRIC) == _WHITE_IS_ZERO)
