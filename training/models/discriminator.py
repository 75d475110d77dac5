"""The 70x70 PatchGAN that judges a picture together with a sound."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.config import DiscriminatorConfig


class PatchDiscriminator(nn.Module):
    """[B, 3, H, W] pictures and their sounds -> [B, 1, about H/8, about W/8] scores (Isola et al. 2017).

    "early-fusion": the spectrogram, aligned to the picture, is stacked onto it (the paper).
    "projection": the score gains the inner product of the last features with the projected embedding's direction
    (Miyato and Koyama 2018), which no norm can subtract.
    """

    def __init__(self, config: DiscriminatorConfig, embedding_dim: int) -> None:
        super().__init__()
        width = config.width
        self.early_fusion = config.conditioning == "early-fusion"
        layers: list[nn.Module] = []
        channels = 6 if self.early_fusion else 3
        for number, (outputs, stride) in enumerate(((width, 2), (width * 2, 2), (width * 4, 2), (width * 8, 1))):
            conv = nn.Conv2d(channels, outputs, 4, stride, 1)
            layers.append(conv)
            if not self.early_fusion:  # no norm: it would subtract the colour that tells rain from summer
                nn.init.kaiming_normal_(conv.weight, a=0.2)
            elif number:
                layers.append(nn.InstanceNorm2d(outputs))
            layers.append(nn.LeakyReLU(0.2))
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.score = nn.Conv2d(channels, 1, 4, 1, 1)
        self.projection = None if self.early_fusion else nn.Linear(embedding_dim, channels, bias=False)

    def forward(self, image: Tensor, spectrogram: Tensor | None, direction: Tensor | None) -> Tensor:
        """spectrogram: [B, 3, H, W], for early fusion; direction: [B, E] of length 1, for projection."""
        if self.early_fusion:
            assert spectrogram is not None, "early fusion needs the spectrogram"
            return self.score(self.features(torch.cat([image, spectrogram], dim=1)))
        assert self.projection is not None
        assert direction is not None, "projection needs the embedding"
        features = self.features(image)
        scores = self.score(features)
        agreement = (features * self.projection(direction)[:, :, None, None]).sum(dim=1, keepdim=True)
        agreement = agreement / features.shape[1] ** 0.5
        return scores + agreement[:, :, : scores.shape[2], : scores.shape[3]]
