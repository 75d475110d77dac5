"""Carry a stylization made at low resolution over to the full image, keeping the image's own detail.

With L the small image, S its stylization and D = S - L, the plain way adds D, enlarged, to the full image I.
That misses what S did to detail which L is too small to hold: snow evens the ground out, fog flattens everything.
So D is also explained, around each pixel and for each colour, as a line, D = a * L + b (a guided filter, He et al.
2010), and its slope is applied to the detail as well, as far as the line explains the change:

    out = I + up(a) * I + up(D - a * L)

D = 0 gives I back exactly. Everything at full size is done in strips, so memory hardly grows with the image.
"""

from typing import Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatArray = NDArray[np.float32]

_CELL: Final = 6  # pixels of the small image between two slopes; each looks twice as far around itself
_FLATNESS: Final = (1 / 255) ** 2  # variance below which a neighbourhood is flat: it has no slope
_STEEPEST: Final = 0.9  # slopes beyond this would invert or double the detail
_STRIP_PIXELS: Final = 1 << 20

cv2.setNumThreads(1)  # the graphs have the cores


def reduce_image(pixels: NDArray[np.uint8], longest_side: int) -> NDArray[np.uint8]:
    """[H, W, 3] -> [h, w, 3] with the longer side `longest_side`, its proportions kept."""
    height, width = pixels.shape[:2]
    scale = longest_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def transfer_detail(
    full: NDArray[np.uint8], small: FloatArray, stylized: FloatArray, strength: float
) -> NDArray[np.uint8]:
    """Restyle `full` [H, W, 3] as `small` [h, w, 3] (the same image, 0..1) became `stylized` [h, w, 3].

    strength: share of the change that is applied, 0..1. Returns [H, W, 3].
    """
    small_size, full_size = small.shape[:2], full.shape[:2]
    change = stylized - small
    slope = _slope(small, change) * np.float32(strength)  # [h / 6, w / 6, 3]
    offset = change * np.float32(strength) - _enlarge(slope, small_size, 0, small_size[0]) * small
    offset *= 255
    slope += 1
    result = np.empty_like(full)
    rows = max(1, _STRIP_PIXELS // full_size[1])
    for top in range(0, full_size[0], rows):
        bottom = min(top + rows, full_size[0])
        strip = _enlarge(slope, full_size, top, bottom)
        cv2.multiply(strip, full[top:bottom], dst=strip, dtype=cv2.CV_32F)
        # rounded, and kept within 0..255
        cv2.add(strip, _enlarge(offset, full_size, top, bottom), dst=result[top:bottom], dtype=cv2.CV_8U)
    return result


def _slope(small: FloatArray, change: FloatArray) -> FloatArray:
    """[h, w, 3], both -> [h / 6, w / 6, 3]: how `change` follows the image around each cell, 0 where it does not."""
    mean_small, mean_change = _local_mean(small), _local_mean(change)
    variance = np.maximum(_local_mean(small * small) - mean_small**2, 0) + np.float32(_FLATNESS)
    change_variance = np.maximum(_local_mean(change * change) - mean_change**2, 0) + np.float32(_FLATNESS)
    covariance = _local_mean(small * change) - mean_small * mean_change
    explained = np.minimum(covariance**2 / (variance * change_variance), 1)  # 0: texture of the model's own
    slope: FloatArray = np.clip(explained * covariance / variance, -_STEEPEST, _STEEPEST)
    return slope


def _local_mean(planes: FloatArray) -> FloatArray:
    """[h, w, C] -> [h / 6, w / 6, C]: means over overlapping neighbourhoods, nearer pixels weighing more."""
    height, width = (max(1, round(side / _CELL)) for side in planes.shape[:2])
    resized = [
        Image.fromarray(np.ascontiguousarray(planes[:, :, channel])).resize((width, height), Image.Resampling.BILINEAR)
        for channel in range(planes.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in resized], axis=-1)


def _enlarge(planes: FloatArray, size: tuple[int, int], top: int, bottom: int) -> FloatArray:
    """Rows top..bottom of [h, w, C] enlarged to `size` (height, width) with C planes; strips meet without a seam."""
    if (top, bottom) == (0, size[0]):  # the same sums, eight times as fast
        return np.asarray(cv2.resize(planes, size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    rows, columns = planes.shape[0] / size[0], planes.shape[1] / size[1]
    # from the middle of a pixel of the result to its place between the middles of the small planes' pixels
    place = np.array([[columns, 0, columns / 2 - 0.5], [0, rows, rows * (top + 0.5) - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    enlarged = cv2.warpAffine(planes, place, (size[1], bottom - top), flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(enlarged, np.float32)
