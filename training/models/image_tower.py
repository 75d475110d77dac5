"""The image tower of audio-visual pre-training; the audio encoder is its other tower."""

from __future__ import annotations

from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from training.models.backbone import FEATURE_CHANNELS, pooled


class ImageTower(nn.Module):
    """Pooled backbone features -> a direction [B, E] in the audio encoder's space."""

    def __init__(self, hidden: int, embedding_dim: int) -> None:
        super().__init__()
        self.mlp = nn.Sequential(
            nn.Linear(2 * sum(FEATURE_CHANNELS), hidden), nn.ReLU(), nn.Dropout(0.2), nn.Linear(hidden, embedding_dim)
        )

    def forward(self, maps: Sequence[Tensor]) -> Tensor:
        return self.from_pooled(pooled(maps))

    def from_pooled(self, features: Tensor) -> Tensor:
        return F.normalize(self.mlp(features), dim=-1)
