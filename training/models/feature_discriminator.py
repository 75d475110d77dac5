"""A discriminator on frozen features (Sauer et al. 2021, "Projected GANs Converge Faster"), told the sound.

A discriminator that already sees materials learns from a few hundred pictures what rain or snow look like; one from
scratch has to learn to see first.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.backbone import FEATURE_CHANNELS


class FeatureHead(nn.Module):
    """Scores for every cell of one feature map, with a projection of the sound."""

    def __init__(self, inputs: int, width: int, embedding_dim: int) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(inputs, width, 3, padding=1),
            nn.LeakyReLU(0.2),
            nn.Conv2d(width, width, 3, padding=1),
            nn.LeakyReLU(0.2),
        )
        self.score = nn.Conv2d(width, 1, 1)
        self.projection = nn.Linear(embedding_dim, width, bias=False)

    def forward(self, x: Tensor, direction: Tensor) -> Tensor:
        features = self.features(x)
        agreement = (features * self.projection(direction)[:, :, None, None]).sum(dim=1, keepdim=True)
        agreement = agreement / features.shape[1] ** 0.5
        return self.score(features) + agreement


class FeatureDiscriminator(nn.Module):
    """Four feature maps and a direction [B, E] -> four score maps.

    The maps pass a frozen random mixing over channels and from coarse to fine, without which a discriminator looks
    at few of the features only.
    """

    def __init__(self, width: int, embedding_dim: int) -> None:
        super().__init__()
        self.mix_channels = nn.ModuleList(nn.Conv2d(c, width, 1) for c in FEATURE_CHANNELS)
        self.mix_scales = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in FEATURE_CHANNELS)
        for layer in (*self.mix_channels, *self.mix_scales):
            assert isinstance(layer, nn.Conv2d)
            nn.init.kaiming_normal_(layer.weight)
        self.heads = nn.ModuleList(FeatureHead(width, width, embedding_dim) for _ in FEATURE_CHANNELS)
        self.freeze_mixing()

    def freeze_mixing(self) -> None:
        """The mixing stays random."""
        self.mix_channels.requires_grad_(False)
        self.mix_scales.requires_grad_(False)

    def forward(self, maps: Sequence[Tensor], direction: Tensor) -> list[Tensor]:
        scores: list[Tensor] = []
        coarser: Tensor | None = None
        for level in reversed(range(len(maps))):
            x = self.mix_channels[level](maps[level])
            if coarser is not None:
                x = (x + F.interpolate(coarser, size=x.shape[2:], mode="bilinear", align_corners=False)) / 2**0.5
            coarser = self.mix_scales[level](x)
            scores.append(self.heads[level](x, direction))
        return scores


def shifted(image: Tensor, offsets: Tensor) -> Tensor:
    """Move each picture by its offset [B, 2] in pixels, zeros coming in: augments what a discriminator sees.

    Colour is left alone: brightness and saturation are what tells rain from summer.
    """
    batch, _, height, width = image.shape
    scale = torch.tensor([2.0 / width, 2.0 / height], device=image.device)
    theta = torch.eye(2, 3, device=image.device).repeat(batch, 1, 1)
    theta[:, :, 2] = offsets * scale
    with torch.autocast(image.device.type, enabled=False):  # a bf16 grid is 0.3 pixels off at 256 px
        grid = F.affine_grid(theta, list(image.shape), align_corners=False)
        return F.grid_sample(image, grid, mode="nearest", padding_mode="zeros", align_corners=False)
