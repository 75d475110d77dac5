"""The losses of Eqs. 1 to 4, as functions of tensors."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor


def lsgan(scores: Tensor | Sequence[Tensor], real: bool, weight: Tensor | None = None) -> Tensor:
    """Least-squares GAN loss against 1 (real) or 0, averaged over maps (Mao et al. 2017).

    weight: [B], a picture's share (0 leaves it out); the mean is over the pictures that count.
    """
    maps = [scores] if isinstance(scores, Tensor) else list(scores)
    total = maps[0].new_zeros(())
    for scored in maps:
        per_image = (scored.float() - float(real)).square().flatten(1).mean(dim=1)
        if weight is None:
            total = total + per_image.mean()
        else:
            total = total + (per_image * weight).sum() / weight.sum().clamp(min=1.0)
    return total / len(maps)


def patch_nce(query: Tensor, key: Tensor, temperature: float) -> Tensor:
    """Contrast each patch with the others of its image (Eq. 2).

    query, key: [B, P, C], L2-normalised; no gradient flows into `key`.
    Returns a scalar. Raises ValueError if the shapes differ.
    """
    if query.shape != key.shape:
        raise ValueError(f"query {tuple(query.shape)} and key {tuple(key.shape)} differ")
    logits = torch.bmm(query.float(), key.detach().float().transpose(1, 2)) / temperature  # [B, P, P]
    target = torch.arange(query.shape[1], device=query.device).expand(query.shape[0], -1)
    return F.cross_entropy(logits.flatten(0, 1), target.flatten())


def multiscale_patch_nce(queries: Sequence[Tensor], keys: Sequence[Tensor], temperature: float) -> Tensor:
    """The mean over the feature maps (Eq. 3; the authors' code averages where the paper sums)."""
    losses = [patch_nce(q, k, temperature) for q, k in zip(queries, keys, strict=True)]
    return torch.stack(losses).mean()


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
