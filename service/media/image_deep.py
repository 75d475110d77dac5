"""Decode images of 16 bits a sample with OpenCV, since Pillow reads them as 8; the API does without it."""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray

from service.errors import UnsupportedMedia
from service.media.image import OpenImage
from service.media.image_decode import Decoded, guarded, is_inverted

_BITS, _PLANAR, _EXTRA_SAMPLES, _SAMPLE_FORMAT = 258, 284, 338, 339
_SEPARATE_PLANES: Final = 2
_UNASSOCIATED_ALPHA: Final = 2

cv2.setNumThreads(1)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)


def can_decode_deep(opened: OpenImage) -> bool:
    """Whether `decode_deep` reads it right: 16 bits of grey or RGB, their planes not apart.

    Raises UnsupportedMedia for a TIFF that neither decoder reads right.
    """
    if opened.bits != 16 or opened.kind not in ("png", "tiff"):
        return False
    if opened.kind == "png":
        return True
    tags = opened.stored.tag_v2  # type: ignore[attr-defined]
    samples = len(tags.get(_BITS, (1,)))
    if samples > 1 and tags.get(_PLANAR) == _SEPARATE_PLANES:
        raise UnsupportedMedia(
            "a TIFF of 16 bits whose colors lie in planes of their own is not taken; save it with its samples "
            "interleaved",
            field="image",
        )
    extra = tags.get(_EXTRA_SAMPLES, ())
    usual = opened.stored.mode in ("RGB", "RGBA", "I;16", "I;16B") and tags.get(_SAMPLE_FORMAT, (1,))[0] == 1
    return bool(usual and (samples in (1, 3) or (samples == 4 and tuple(extra) == (_UNASSOCIATED_ALPHA,))))


def decode_deep(opened: OpenImage, size: tuple[int, int]) -> Decoded:
    """Decode to 16 bits; for those that `can_decode_deep`. Raises MediaError, TooLarge."""
    inverted, orientation = is_inverted(opened.stored), opened.orientation
    content = opened.path.read_bytes() if opened.chunks is None else opened.chunks.pixels

    def read() -> NDArray[np.uint16]:
        found = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_UNCHANGED)
        if found is None or found.dtype != np.uint16:
            raise ValueError("OpenCV does not decode it")
        if found.ndim == 2:
            grey: Any = np.repeat((65_535 - found if inverted else found)[..., None], 3, axis=2)
            hidden = opened.stored.info.get("transparency")  # of a PNG: OpenCV heeds it where there are colors
            if hidden is not None:
                grey = np.dstack([grey, np.where(found == hidden, 0, 65_535).astype(np.uint16)])
            return grey  # type: ignore[no-any-return]
        code = cv2.COLOR_BGR2RGB if found.shape[2] == 3 else cv2.COLOR_BGRA2RGBA
        cv2.cvtColor(found, code, dst=found)
        return found  # type: ignore[return-value]

    pixels = guarded(read, opened)
    target = size[::-1] if orientation > 4 else size
    if (pixels.shape[1], pixels.shape[0]) != target:
        pixels = guarded(lambda: _reduce_deep(pixels, target), opened)
    return Decoded(pixels, orientation, None, inverted=False)


def _reduce_deep(pixels: NDArray[np.uint16], size: tuple[int, int]) -> NDArray[np.uint16]:
    """[H, W, C] -> [h, w, C]; a pixel's color counts as much as it is opaque."""
    if pixels.shape[2] == 3:
        return cv2.resize(pixels, size, interpolation=cv2.INTER_AREA)  # type: ignore[return-value]
    for row in pixels:
        row[:, :3] = (row[:, :3].astype(np.uint32) * row[:, 3:] // 65_535).astype(np.uint16)
    reduced = cv2.resize(pixels, size, interpolation=cv2.INTER_AREA).astype(np.uint32)
    alpha = np.maximum(reduced[..., 3:], 1)
    reduced[..., :3] = np.minimum(reduced[..., :3] * 65_535 // alpha, 65_535)
    return reduced.astype(np.uint16)
