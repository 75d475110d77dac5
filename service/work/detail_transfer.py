"""Carry a stylization made at low resolution over to the full image, keeping the image's own detail.

With L the small image, S its stylization and D = S - L, the plain way adds D, enlarged, to the full image I.
That misses what S did to detail which L is too small to hold: snow evens the ground out, fog flattens everything.
So D is also explained, around each pixel and for each color, as a line, D = a * L + b (a guided filter, He et al.
2010), and its slope is applied to the detail as well, as far as the line explains the change:

    out = I + up(a) * I + up(D - a * L)

D = 0 gives I back exactly. Everything at full size is done in strips, so memory hardly grows with the image.
"""

from typing import Any, Final

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from service.media.image_reduce import Pixels

FloatArray = NDArray[np.float32]

_CELL: Final = 6  # pixels of the small image between two slopes; each looks twice as far around itself
_FLATNESS: Final = (1 / 255) ** 2  # variance below which a neighbourhood is flat: it has no slope
_STEEPEST: Final = 0.9  # slopes beyond this would invert or double the detail
_STRIP_PIXELS: Final = 1 << 20
_TILE_COLUMNS: Final = 16_384  # OpenCV warps no more than 32,767 columns

cv2.setNumThreads(1)  # the graphs have the cores


class DetailTransfer:
    """How a small image was changed, ready to be applied to strips of the full one."""

    def __init__(self, small: FloatArray, stylized: FloatArray, strength: float, full_scale: int = 255) -> None:
        """small, stylized: [h, w, 3] in 0..1, before and after. strength: share of the change that is applied, 0..1.

        full_scale: the largest value of the full image, 255 or 65535.
        """
        change = stylized - small
        height, width = small.shape[:2]
        slope = _slope(small, change) * np.float32(strength)  # [h / 6, w / 6, 3]
        self._offset = change * np.float32(strength) - _enlarge(slope, (height, width), (0, height), (0, width)) * small
        self._offset *= full_scale
        self._slope = slope + 1
        self._depth = cv2.CV_8U if full_scale == 255 else cv2.CV_16U

    def apply(self, strip: Pixels, top: int, full_size: tuple[int, int]) -> Pixels:
        """Restyle rows top.. of an image of `full_size` (height, width): [rows, W, 3] -> [rows, W, 3].

        Values are rounded, and kept within their range.
        """
        rows, width = strip.shape[:2]
        tiles: list[Any] = []
        for left in range(0, width, _TILE_COLUMNS):
            right = min(left + _TILE_COLUMNS, width)
            tile = _enlarge(self._slope, full_size, (top, top + rows), (left, right))
            cv2.multiply(tile, np.ascontiguousarray(strip[:, left:right]), dst=tile, dtype=cv2.CV_32F)
            offset = _enlarge(self._offset, full_size, (top, top + rows), (left, right))
            tiles.append(cv2.add(tile, offset, dtype=self._depth))
        joined: Pixels = tiles[0] if len(tiles) == 1 else np.concatenate(tiles, axis=1)
        return joined


def transfer_detail(
    full: NDArray[np.uint8], small: FloatArray, stylized: FloatArray, strength: float
) -> NDArray[np.uint8]:
    """Restyle `full` [H, W, 3] as `small` [h, w, 3] (the same image, 0..1) became `stylized` [h, w, 3].

    strength: share of the change that is applied, 0..1. Returns [H, W, 3].
    """
    transfer, size = DetailTransfer(small, stylized, strength), full.shape[:2]
    result = np.empty_like(full)
    rows = max(1, _STRIP_PIXELS // size[1])
    for top in range(0, size[0], rows):
        result[top : top + rows] = transfer.apply(full[top : top + rows], top, size)
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


def _enlarge(planes: FloatArray, size: tuple[int, int], rows: tuple[int, int], columns: tuple[int, int]) -> FloatArray:
    """Rows and columns of [h, w, C] enlarged to `size` (height, width), with C planes; tiles meet without a seam."""
    (top, bottom), (left, right) = rows, columns
    if (bottom - top, right - left) == size:  # the same sums, eight times as fast
        return np.asarray(cv2.resize(planes, size[::-1], interpolation=cv2.INTER_LINEAR), np.float32)
    down, across = planes.shape[0] / size[0], planes.shape[1] / size[1]
    # from the middle of a pixel of the result to its place between the middles of the small planes' pixels
    place = np.array([[across, 0, across * (left + 0.5) - 0.5], [0, down, down * (top + 0.5) - 0.5]])
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    tile = (right - left, bottom - top)
    enlarged = cv2.warpAffine(planes, place, tile, flags=flags, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(enlarged, np.float32)
