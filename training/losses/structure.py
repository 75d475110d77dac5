"""Losses that keep the structure of the source while its colors and textures change."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

POSITIONS = 64  # each compared with all others


def self_similarity_loss(stylized: Tensor, source: Tensor, rng: torch.Generator) -> Tensor:
    """L1 distance of the maps of cosine similarity between positions (Kolkin et al. 2019; Zheng et al. 2021).

    stylized, source: features [B, C, H, W] of the two images. Returns a scalar.
    """
    positions = torch.randperm(stylized.shape[2] * stylized.shape[3], generator=rng)[:POSITIONS].to(stylized.device)

    def similarities(features: Tensor) -> Tensor:
        x = F.normalize(features - features.mean(dim=(2, 3), keepdim=True), dim=1).flatten(2)
        return torch.einsum("bcl,bck->blk", x[:, :, positions], x)

    return F.l1_loss(similarities(stylized), similarities(source))


def gradient_loss(stylized: Tensor, source: Tensor) -> Tensor:
    """1 - cosine of the two images' gradient magnitudes at half size; images [B, 3, H, W]. Returns a scalar."""

    def gradients(image: Tensor) -> Tensor:
        gray = F.avg_pool2d(image.mean(dim=1, keepdim=True), 2)
        across = (gray[..., :, 1:] - gray[..., :, :-1]).abs()[..., :-1, :]
        down = (gray[..., 1:, :] - gray[..., :-1, :]).abs()[..., :, :-1]
        return torch.cat([across, down], dim=1).flatten(1)

    return 1 - F.cosine_similarity(gradients(stylized), gradients(source)).mean()
