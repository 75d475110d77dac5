"""Carry a stylization made at low resolution over to the full picture, keeping the picture's own detail.

With L the small picture, S its stylization and D = S - L, the plain way adds D, enlarged, to the full picture I.
That misses what S did to detail which L is too small to hold: snow evens the ground out, fog flattens everything.
So D is also explained, around each pixel, as a line in brightness (a guided filter, He et al. 2010),
D = a * Y(L) + b, and its slope is applied to the detail as well:

    out = I + up(a) * Y(I) + up(D - a * Y(L))

D = 0 gives I back exactly. Everything at full size is done in strips, so memory hardly grows with the picture.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

FloatArray = NDArray[np.float32]

_LUMA: Final = np.array([0.299, 0.587, 0.114], np.float32)
_RADIUS: Final = 6  # pixels of the small picture
_FLATNESS: Final = 0.02**2  # variance of brightness below which a neighbourhood counts as flat
_STEEPEST: Final = 0.9  # slopes beyond this would invert or double the detail
_STRIP_ROWS: Final = 256


def reduce_picture(pixels: NDArray[np.uint8], longest_side: int) -> NDArray[np.uint8]:
    """[H, W, 3] -> [h, w, 3] with the longer side `longest_side`, its proportions kept."""
    height, width = pixels.shape[:2]
    scale = longest_side / max(height, width)
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(Image.fromarray(pixels).resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0))


def transfer_detail(
    full: NDArray[np.uint8], small: FloatArray, stylized: FloatArray, strength: float
) -> NDArray[np.uint8]:
    """Restyle `full` [H, W, 3] as `small` [h, w, 3] (the same picture, 0..1) became `stylized` [h, w, 3].

    strength: share of the change that is applied, 0..1. Returns [H, W, 3].
    """
    change = (stylized - small) * np.float32(strength)
    luma = small @ _LUMA  # [h, w]
    slope = _slope(luma, change)  # [h, w, 3]
    offset = change - slope * luma[:, :, None]
    result = np.empty_like(full)
    for top, bottom in _strips(full.shape[0]):
        strip = full[top:bottom].astype(np.float32) / 255
        scaled = _enlarge(slope, full.shape[1], full.shape[0], top, bottom)
        scaled *= (strip @ _LUMA)[:, :, None]
        strip += scaled
        strip += _enlarge(offset, full.shape[1], full.shape[0], top, bottom)
        result[top:bottom] = np.rint(np.clip(strip, 0, 1) * 255).astype(np.uint8)
    return result


def _strips(height: int) -> Iterator[tuple[int, int]]:
    for top in range(0, height, _STRIP_ROWS):
        yield top, min(top + _STRIP_ROWS, height)


def _slope(luma: FloatArray, change: FloatArray) -> FloatArray:
    """[h, w] and [h, w, 3] -> [h, w, 3]: how `change` follows brightness around each pixel."""
    mean = _box_mean(luma)
    variance = _box_mean(luma * luma) - mean * mean
    slopes = []
    for channel in range(change.shape[2]):
        one = change[:, :, channel]
        covariance = _box_mean(luma * one) - mean * _box_mean(one)
        slopes.append(_box_mean(np.clip(covariance / (variance + _FLATNESS), -_STEEPEST, _STEEPEST)))
    return np.stack(slopes, axis=-1)


def _box_mean(plane: FloatArray) -> FloatArray:
    """[h, w]: the mean over a square of 2 * _RADIUS + 1 pixels, the border repeated."""
    size = 2 * _RADIUS + 1
    for axis in (0, 1):
        pads = [(0, 0), (0, 0)]
        pads[axis] = (_RADIUS + 1, _RADIUS)
        sums = np.cumsum(np.pad(plane, pads, mode="edge"), axis=axis, dtype=np.float64)
        ahead, behind = np.split(sums, [size], axis=axis)[1], np.take(sums, range(plane.shape[axis]), axis=axis)
        plane = ((ahead - behind) / size).astype(np.float32)
    return plane


def _enlarge(planes: FloatArray, width: int, height: int, top: int, bottom: int) -> FloatArray:
    """Rows top..bottom of [h, w, C] enlarged to [height, width, C]; strips meet without a seam."""
    rows = planes.shape[0] / height
    box = (0.0, top * rows, float(planes.shape[1]), bottom * rows)
    enlarged = [
        Image.fromarray(np.ascontiguousarray(planes[:, :, channel])).resize(
            (width, bottom - top), Image.Resampling.BICUBIC, box=box
        )
        for channel in range(planes.shape[2])
    ]
    return np.stack([np.asarray(plane) for plane in enlarged], axis=-1)
