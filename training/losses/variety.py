"""How many colors like things have within an image: waves that are half green are more varied than any sea."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

BANDWIDTH = 0.6  # of the distance of two cells of one kind; that of any two is 2
LEAST_LIGHTNESS = 0.2  # of [0, 1], by which opponent colors are divided at least: dark noise is no color


def color_variety(images: Tensor, descriptors: Tensor) -> Tensor:
    """Spread of chromaticity around every cell, over all cells of the image that show the same kind of thing.

    images: [B, 3, H, W] in [-1, 1]; descriptors: [B, K, h, w]. Chromaticity is opponent colors over lightness, so that
    light and shade on one thing are one color. Returns standard deviations [B, h, w].
    """
    rows, columns = descriptors.shape[2:]
    red, green, blue = (F.avg_pool2d(images.float(), 2) / 2 + 0.5).unbind(dim=1)
    lightness = ((red + green + blue) / 3).clamp(min=LEAST_LIGHTNESS)
    chromaticity = torch.stack([red - green, blue - (red + green) / 2], dim=1) / lightness[:, None]
    mean = F.adaptive_avg_pool2d(chromaticity, (rows, columns)).flatten(2)  # [B, 2, cells]
    square = F.adaptive_avg_pool2d(chromaticity.square(), (rows, columns)).flatten(2)
    flat = descriptors.flatten(2).transpose(1, 2)
    alike = torch.softmax(-torch.cdist(flat, flat).square() / (2 * BANDWIDTH**2), dim=2)  # [B, cells, cells]
    variance = square @ alike.transpose(1, 2) - (mean @ alike.transpose(1, 2)).square()
    return variance.sum(dim=1).clamp(min=0).add(1e-4).sqrt().unflatten(1, (rows, columns))


def excess_variety(made: Tensor, source: Tensor, photographs: Tensor) -> Tensor:
    """By how much the results' cells [n] are more varied than the source's and the corresponding photographs', mean."""
    return F.relu(made - torch.maximum(source, photographs)).mean()
