"""What the cells of an image show: sky, leaves, ground.

Told from frozen features of the luminance alone, at even contrast, so that a scene's colors, its darkness and its haze
do not count. Without it a loss of distributions has to make green clouds where a batch of skies is to look like summer.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from torch import Tensor

DESCRIPTOR_DIM = 12
HEIGHT_WEIGHT = 1.0  # of a cell's vertical position beside components of unit variance
CONTRAST = 0.5
FITTED_CELLS = 8_000

Features = Callable[[Tensor], Sequence[Tensor]]


class CellDescriptor:
    """Images [B, 3, H, W] -> descriptors [B, DESCRIPTOR_DIM + 1, H/16, W/16].

    Principal components of the two deepest of `features`, at strides 16 and 32 (16 alone takes clouds for leaves), and
    last the vertical position, in the photograph that they were cut from.
    """

    @torch.no_grad()
    def __init__(self, features: Features, examples: Sequence[Tensor], generator: torch.Generator) -> None:
        """examples: batches of images whose features say what the components are."""
        self.features = features
        cells = torch.cat([self._cells(images).flatten(0, 2) for images in examples])
        self.mean, self.spread = cells.mean(dim=0), cells.std(dim=0) + 1e-3
        some = cells[torch.randperm(len(cells), generator=generator)[:FITTED_CELLS].to(cells.device)]
        normed = (some - self.mean) / self.spread
        self.basis = torch.linalg.svd(normed, full_matrices=False).Vh[:DESCRIPTOR_DIM].T
        self.basis = self.basis / (normed @ self.basis).square().mean().sqrt()

    @torch.no_grad()
    def __call__(self, images: Tensor, heights: Tensor) -> Tensor:
        """heights: [B, 2], where they begin and end in the photographs, of whose height in 0..1."""
        components = ((self._cells(images) - self.mean) / self.spread) @ self.basis
        count = components.shape[1]
        within = (torch.arange(count, device=images.device) + 0.5) / count
        first, last = heights.to(within).unbind(dim=1)
        rows = torch.lerp(first[:, None], last[:, None], within)  # [B, rows]
        rows = HEIGHT_WEIGHT * 12**0.5 * (rows - 0.5)  # of unit variance in a whole photograph
        rows = rows[:, :, None, None].expand(*components.shape[:3], 1)
        return torch.cat([components, rows], dim=3).permute(0, 3, 1, 2)

    def _cells(self, images: Tensor) -> Tensor:
        """[B, H/16, W/16, C]."""
        gray = images.mean(dim=1, keepdim=True)
        gray = gray - gray.mean(dim=(2, 3), keepdim=True)
        gray = CONTRAST * gray / (gray.std(dim=(2, 3), keepdim=True) + 0.1)
        fine, coarse = self.features(gray.clamp(-1.5, 1.5).expand(-1, 3, -1, -1))[-2:]
        return torch.cat([fine, at_size(coarse, fine)], dim=1).float().permute(0, 2, 3, 1)


def at_size(descriptors: Tensor, maps: Tensor) -> Tensor:
    """Descriptors [B, K, h, w] at the size of `maps`."""
    return F.interpolate(descriptors, size=maps.shape[2:], mode="bilinear", align_corners=False)
