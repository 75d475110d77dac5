"""Make the small image that the model sees, from the strips of a large one."""

from collections.abc import Iterable, Iterator
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Pixels = NDArray[np.uint8] | NDArray[np.uint16]

STRIP_PIXELS: Final = 1 << 20
_GAP: Final = 3  # the last step is made from an image of so many times the size


def strip_rows(width: int) -> int:
    """Rows of a strip: a multiple of 8, which is what a JPEG's blocks have."""
    return max(8, STRIP_PIXELS // width // 8 * 8)


def reduced_size(size: tuple[int, int], longest_side: int) -> tuple[int, int]:
    """(width, height) with the longer side `longest_side`, its proportions kept."""
    scale = longest_side / max(size)
    return max(1, round(size[0] * scale)), max(1, round(size[1] * scale))


def reduce_strips(strips: Iterable[Pixels], size: tuple[int, int], longest_side: int) -> NDArray[np.uint8]:
    """Strips [rows, W, C] of an image of that size (width, height) -> [h, w, 3], the longer side `longest_side`."""
    target = reduced_size(size, longest_side)
    factor = max(1, int(min(size[0] / target[0], size[1] / target[1]) / _GAP))
    pieces = [np.asarray(Image.fromarray(piece).reduce(factor)) for piece in _regroup(strips, factor)]
    coarse = Image.fromarray(np.concatenate(pieces))
    box = (0.0, 0.0, size[0] / factor, size[1] / factor)
    return np.asarray(coarse.resize(target, Image.Resampling.LANCZOS, box=box))


def _regroup(strips: Iterable[Pixels], multiple: int) -> Iterator[NDArray[np.uint8]]:
    """Colors of 8 bits, in pieces whose rows are a multiple of `multiple`; only the last may be otherwise."""
    rest: NDArray[np.uint8] | None = None
    for strip in strips:
        colors = _to_8_bits(visible_colors(strip))
        piece = colors if rest is None or not len(rest) else np.concatenate([rest, colors])
        whole = len(piece) // multiple * multiple
        if whole:
            yield np.ascontiguousarray(piece[:whole])
        rest = piece[whole:]
    if rest is not None and len(rest):
        yield np.ascontiguousarray(rest)


def _to_8_bits(colors: Pixels) -> NDArray[np.uint8]:
    if colors.dtype == np.uint8:
        return colors  # type: ignore[return-value]
    return ((colors.astype(np.uint32) * 255 + 32_767) // 65_535).astype(np.uint8)


def visible_colors(pixels: Pixels) -> Pixels:
    """[H, W, 3 or 4] -> [H, W, 3]; where nothing is seen, the mean of what is, and not what hides there."""
    colors = pixels[..., :3]
    if pixels.shape[2] == 3:
        return colors
    shown = pixels[..., 3] > 0
    if shown.all():
        return colors
    fill = colors[shown].mean(axis=0) if shown.any() else np.full(3, np.iinfo(pixels.dtype).max / 2)
    return np.where(shown[..., None], colors, np.rint(fill).astype(colors.dtype))
