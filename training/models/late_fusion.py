"""The late-fusion discriminator of the paper's ablation: picture and sound meet only after each was encoded alone."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.config import DiscriminatorConfig


class LateFusionDiscriminator(nn.Module):
    """[B, 3, H, W] pictures and their spectrograms -> [B, 1, about H/8, about W/8] scores.

    Each has an encoder of its own (the layers of the PatchGAN); the sound's features are pooled, stand beside the
    picture's in every cell, and a two-layer classifier scores the pair.
    """

    def __init__(self, config: DiscriminatorConfig) -> None:
        super().__init__()
        self.image_features = _encoder(3, config.width)
        self.sound_features = _encoder(1, config.width)
        channels = config.width * 8
        # No norm after the sound has joined: it would subtract what is the same in every cell.
        self.classifier = nn.Sequential(
            nn.Conv2d(2 * channels, channels, 1), nn.LeakyReLU(0.2), nn.Conv2d(channels, 1, 4, 1, 1)
        )

    def forward(self, image: Tensor, spectrogram: Tensor | None, direction: Tensor | None) -> Tensor:
        """spectrogram: [B, 3, H, W], three times the same; the embedding's direction is not looked at."""
        assert spectrogram is not None, "late fusion needs the spectrogram"
        seen = self.image_features(image)
        heard = self.sound_features(spectrogram[:, :1]).mean(dim=(2, 3), keepdim=True)
        return self.classifier(torch.cat([seen, heard.expand(-1, -1, *seen.shape[2:])], dim=1))


def _encoder(inputs: int, width: int) -> nn.Sequential:
    """Without norms, as in the PatchGAN with projection: they would subtract a picture's colour, a sound's level."""
    layers: list[nn.Module] = []
    for outputs, stride in ((width, 2), (width * 2, 2), (width * 4, 2), (width * 8, 1)):
        conv = nn.Conv2d(inputs, outputs, 4, stride, 1)
        nn.init.kaiming_normal_(conv.weight, a=0.2)
        layers += [conv, nn.LeakyReLU(0.2)]
        inputs = outputs
    return nn.Sequential(*layers)
