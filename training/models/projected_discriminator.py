"""A discriminator on frozen features (Sauer et al. 2021), told the audio by a projection (Miyato and Koyama 2018).

One that already sees materials learns from a few hundred photographs what snow or rain looks like. It is told what kind
of thing is there as well (`training.models.cell_descriptor`): a leaf's texture is no proof of summer in a sky.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.cell_descriptor import at_size


class ProjectedDiscriminator(nn.Module):
    """Feature maps, fine to coarse, a direction [B, E], descriptors [B, K, h, w] -> scores [B, positions] of each map.

    The maps pass a frozen random mixing over channels and from coarse to fine, without which a discriminator looks at
    few of the features only. The finest map has one convolution less: there it would cost more than the generator.
    """

    scale: Tensor

    def __init__(self, channels: Sequence[int], embedding_dim: int, descriptor_dim: int, width: int = 64) -> None:
        super().__init__()
        self.enter = nn.ModuleList(nn.Conv2d(c, width, 1) for c in channels)
        self.down = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in channels)
        for layer in (*self.enter, *self.down):
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight)
            layer.requires_grad_(False)
        self.heads = nn.ModuleList(_head(width, 1 if level == 0 else 2) for level in range(len(channels)))
        self.score = nn.ModuleList(nn.Conv2d(width, 1, 1) for _ in channels)
        self.project = nn.ModuleList(nn.Linear(embedding_dim, width, bias=False) for _ in channels)
        self.describe = nn.ModuleList(nn.Conv2d(descriptor_dim, width, 1, bias=False) for _ in channels)
        for layer in self.describe:
            assert isinstance(layer, nn.Conv2d)
            nn.init.zeros_(layer.weight)
        self.register_buffer("scale", torch.ones(len(channels)))

    def calibrate(self, maps: Sequence[Tensor]) -> None:
        """Bring each map to unit spread, measured on these."""
        self.scale.copy_(torch.stack([1 / features.std() for features in maps]))

    def learning(self) -> list[nn.Parameter]:
        """The parameters that are not frozen."""
        return [p for part in (self.heads, self.score, self.project, self.describe) for p in part.parameters()]

    def forward(self, maps: Sequence[Tensor], direction: Tensor, descriptors: Tensor) -> list[Tensor]:
        scores: list[Tensor] = []
        coarser: Tensor | None = None
        for level in reversed(range(len(maps))):
            x = self.enter[level](maps[level] * self.scale[level])
            if coarser is not None:
                x = (x + F.interpolate(coarser, size=x.shape[2:], mode="bilinear", align_corners=False)) / 2**0.5
            coarser = self.down[level](x)
            features = self.heads[level](x)
            condition = self.project[level](direction)[:, :, None, None] + self.describe[level](at_size(descriptors, x))
            agreement = (features * condition).sum(dim=1, keepdim=True)
            scores.append((self.score[level](features) + agreement / features.shape[1] ** 0.5).float().flatten(1))
        return scores


def _head(width: int, convolutions: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(convolutions):
        layers += [nn.Conv2d(width, width, 3, padding=1), nn.LeakyReLU(0.2)]
    return nn.Sequential(*layers)
