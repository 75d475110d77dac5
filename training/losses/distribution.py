"""Losses between distributions: a batch of stylized images against photographs of the scene.

Between single pairs the best answer is the mild median of all photographs. Pooled over a batch, the outputs as a whole
must have the features and colors that the photographs as a whole have where these show the same kind of thing.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from training.losses.correspondence import cell_samples, corresponding_cells

PROJECTIONS = 64
SAMPLES = 2_500  # of a map, about
CHROMA_WEIGHT = 2.0  # of red against green and blue against yellow beside lightness
DESCRIPTOR_SHARE = 0.5  # of the descriptors' variance beside that of what is compared


@dataclass(frozen=True)
class Correspondence:
    """descriptors of the images [M, K, h, w] and the photographs [N, K, h, w]. cells: [M h w] indices of the latter."""

    image: Tensor
    photographs: Tensor
    cells: Tensor

    @classmethod
    def of(cls, image: Tensor, photographs: Tensor, rng: torch.Generator) -> Correspondence:
        return cls(image, photographs, corresponding_cells(image, photographs, rng))


def sliced_wasserstein(
    stylized: Tensor, real: Tensor, correspondence: Correspondence, rng: torch.Generator, normalize: bool = True
) -> Tensor:
    """Sliced Wasserstein distance of pooled features (Rabin et al. 2011; as a texture loss Heitz et al. 2021).

    stylized: [M, C, H, W]; real: [N, C, H, W]; positions are drawn from the images' cells and from the corresponding
    ones of the photographs, whose statistics normalize the channels. The descriptors of the cells are further channels,
    so that the joint distribution of what is there and how it looks is compared. Returns a scalar.
    """
    rows, columns = correspondence.image.shape[2:]
    count = len(correspondence.cells)
    inside = (stylized.shape[2] // rows) * (stylized.shape[3] // columns)
    each = max(1, min(inside, round(SAMPLES / count)))
    own = torch.arange(count, device=stylized.device)
    ours = cell_samples(stylized, own, rows, columns, each, rng)
    theirs = cell_samples(real, correspondence.cells, rows, columns, each, rng)
    if normalize:
        mean, spread = theirs.mean(dim=0), theirs.std(dim=0) + 1e-3
        ours, theirs = (ours - mean) / spread, (theirs - mean) / spread

    def described(values: Tensor, descriptors: Tensor, cells: Tensor) -> Tensor:
        flat = descriptors.permute(0, 2, 3, 1).flatten(0, 2)[cells].repeat_interleave(each, dim=0)
        weight = (DESCRIPTOR_SHARE * values.shape[1] / flat.shape[1]) ** 0.5
        return torch.cat([values, weight * flat], dim=1)

    ours, theirs = (
        described(ours, correspondence.image, own),
        described(theirs, correspondence.photographs, correspondence.cells),
    )
    directions = F.normalize(torch.randn(PROJECTIONS, ours.shape[1], generator=rng), dim=1).to(ours.device)
    return ((directions @ ours.T).sort(dim=1).values - (directions @ theirs.T).sort(dim=1).values).abs().mean()


def opponent_colors(images: Tensor) -> Tensor:
    """[B, 3, H, W] in [-1, 1] -> lightness, red against green, blue against yellow, at half the size."""
    red, green, blue = F.avg_pool2d(images, 2).unbind(dim=1)
    lightness, chroma = (red + green + blue) / 3, (red - green, blue - (red + green) / 2)
    return 2 * torch.stack([lightness, *(CHROMA_WEIGHT * each for each in chroma)], dim=1)
