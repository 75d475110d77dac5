"""The guided filter: what is drawn follows a picture's edges, and brings no texture of its own.

He, Sun and Tang 2010; in cells rather than at every pixel, as in He and Sun 2015, which costs a tenth.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

CELL = 4  # pixels
REACH = 1  # cells to each side: a window has 12 x 12 pixels
PLAIN_VARIANCE = (
    0.01  # of the guide in [-1, 1]: a window with less of it counts as plain, and the map is levelled there
)


def guided_filter(maps: Tensor, guide: Tensor) -> Tensor:
    """[B, C, H, W] and [B, 1, H, W], H and W multiples of 4 -> [B, C, H, W]: in each window nearly linear in the guide.

    Where the guide is plain a map becomes its own mean, and across an edge of the guide it may change at once.
    """
    channels = maps.shape[1]
    both = torch.cat([guide, guide * guide, maps, maps * guide], dim=1)
    mean = _over_windows(F.avg_pool2d(both, CELL))
    mean_guide, mean_square, mean_maps, mean_product = mean.split((1, 1, channels, channels), dim=1)
    variance = (mean_square - mean_guide * mean_guide).clamp(min=0)
    slope = (mean_product - mean_maps * mean_guide) / (variance + PLAIN_VARIANCE)
    line = _over_windows(torch.cat([slope, mean_maps - slope * mean_guide], dim=1))
    slope, level = F.interpolate(line, scale_factor=float(CELL), mode="bilinear", align_corners=False).chunk(2, dim=1)
    return slope * guide + level


def _over_windows(cells: Tensor) -> Tensor:
    """The mean of each cell and its neighbours; edges are repeated."""
    return F.avg_pool2d(F.pad(cells, (REACH,) * 4, mode="replicate"), 2 * REACH + 1, 1)
