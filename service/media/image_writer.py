"""Encode results as image files."""

import io
from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.media.image import ImageFormat

# One filter and runs alone: half of Pillow's time at its fastest for files of the same size (docs/log.md).
_PNG: Final = (
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_RLE),
    *(cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_PAETH),
)

cv2.setNumThreads(1)  # the graphs have the cores


def encode_image(pixels: NDArray[np.uint8], format: ImageFormat) -> bytes:
    """Encode [H, W, 3] sRGB. png: lossless, compressed fast; jpeg: quality 92, full chroma; webp: quality 90."""
    if format == "png":
        _, encoded = cv2.imencode(".png", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), _PNG)
        return encoded.tobytes()
    image, buffer = Image.fromarray(pixels), io.BytesIO()
    if format == "jpeg":
        image.save(buffer, format="JPEG", quality=92, subsampling=0)
    else:
        image.save(buffer, format="WEBP", quality=90, method=2)
    return buffer.getvalue()
