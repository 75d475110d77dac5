"""The PatchGAN of our own model, which judges an image together with an embedding's direction."""

from __future__ import annotations

from torch import Tensor, nn


class PatchDiscriminator(nn.Module):
    """[B, 3, H, W] images and directions [B, E] -> [B, 1, about H/8, about W/8] scores (Isola et al. 2017).

    The score gains the inner product of the last features with the projected direction (Miyato and Koyama 2018).
    """

    def __init__(self, width: int, embedding_dim: int) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = 3
        for outputs, stride in ((width, 2), (width * 2, 2), (width * 4, 2), (width * 8, 1)):
            conv = nn.Conv2d(channels, outputs, 4, stride, 1)
            nn.init.kaiming_normal_(conv.weight, a=0.2)
            layers += [conv, nn.LeakyReLU(0.2)]  # no norm: it would subtract the color that tells rain from summer
            channels = outputs
        self.features = nn.Sequential(*layers)
        self.score = nn.Conv2d(channels, 1, 4, 1, 1)
        self.projection = nn.Linear(embedding_dim, channels, bias=False)

    def forward(self, image: Tensor, direction: Tensor) -> Tensor:
        features = self.features(image)
        scores = self.score(features)
        agreement = (features * self.projection(direction)[:, :, None, None]).sum(dim=1, keepdim=True)
        agreement = agreement / features.shape[1] ** 0.5
        return scores + agreement[:, :, : scores.shape[2], : scores.shape[3]]
