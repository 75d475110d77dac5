"""Losses of tones and colors of our own model."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def band_tones(image: Tensor, bands: int = 4, shares: int = 8) -> Tensor:
    """The tones that horizontal bands consist of, from the least to the most: [B, 3, H, W] -> [B, 3, bands, shares].

    Of lightness, of red against green and of blue against yellow, each by itself: the mean of each eighth of the band's
    pixels in their order. Mean and spread alone cannot tell white ground and dark trees from grey all over.
    """
    red, green, blue = image.float().unbind(dim=1)
    opponents = torch.stack([(red + green + blue) / 3, red - green, blue - (red + green) / 2], dim=1)
    parts = [band.flatten(2).sort(dim=2).values for band in opponents.tensor_split(bands, dim=2)]  # [B, 3, pixels] each
    return torch.stack([F.adaptive_avg_pool1d(part, shares) for part in parts], dim=2)


def tone_loss(output: Tensor, target: Tensor) -> Tensor:
    """Pull the bands' tones towards those of a photograph that occurs with the sound (Wasserstein-1, tone by tone).

    The photograph is another at every step, so what is learned is the median of what occurs with such a sound: white
    ground, grey sky. It cannot be satisfied by a pattern that a network sees and a person does not.
    """
    return F.l1_loss(band_tones(output), band_tones(target))


def excess_saturation(output: Tensor, source: Tensor, allowed: float = 0.15) -> Tensor:
    """Mean square of what each pixel's colour gains in distance from grey beyond `allowed` (pixels in [-1, 1]).

    Vivid blots are few pixels that gain much; a greener meadow is many that gain little.
    """

    def saturation(image: Tensor) -> Tensor:
        return (image - image.mean(dim=1, keepdim=True)).square().sum(dim=1).add(1e-6).sqrt()

    return F.relu(saturation(output.float()) - saturation(source.float()) - allowed).square().mean()
