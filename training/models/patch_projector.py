"""P: the 2-layer MLPs that map sampled patch features to the space where NCE compares them."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class PatchProjector(nn.Module):
    """One MLP a feature map."""

    def __init__(self, channels: Sequence[int], width: int) -> None:
        super().__init__()
        self.mlps = nn.ModuleList(
            nn.Sequential(nn.Linear(c, width), nn.ReLU(), nn.Linear(width, width)) for c in channels
        )

    def forward(self, maps: Sequence[Tensor], places: Sequence[Tensor]) -> list[Tensor]:
        """maps: [B, C, H, W] each; places: [P] indices into H * W each. Returns [B, P, width] each, L2-normalised."""
        projected = []
        for mlp, features, index in zip(self.mlps, maps, places, strict=True):
            # Places before channels would send a channels-last gradient back, which the CPU's instance norm gets wrong
            # for a single image (torch 2.14).
            patches = features.flatten(2)[:, :, index].permute(0, 2, 1)  # [B, P, C]
            projected.append(F.normalize(mlp(patches), dim=-1))
        return projected


def draw_places(maps: Sequence[Tensor], patches: int, generator: torch.Generator) -> list[Tensor]:
    """Random places [P], the same for all images of the batch and for query and key; P <= H * W."""
    places = []
    for features in maps:
        cells = features.shape[2] * features.shape[3]
        places.append(torch.randperm(cells, generator=generator)[:patches].to(features.device))
    return places
