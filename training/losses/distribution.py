"""Losses between distributions: a batch of stylized images against a batch of photographs of the scene.

Between single pairs the best answer is the mild median of all photographs. Pooled over a batch, the outputs as a whole
must have the features and tones that the photographs as a whole have.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

PROJECTIONS = 64
POSITIONS = 320  # sampled in each map
HEIGHT_WEIGHT = 1.5  # of the vertical position beside channels of unit variance
TONE_BANDS, TONE_LEVELS = 4, 32


def sliced_wasserstein(stylized: Tensor, real: Tensor, rng: torch.Generator) -> Tensor:
    """Sliced Wasserstein distance of pooled features (Rabin et al. 2011; as a texture loss Heitz et al. 2021).

    stylized: [M, C, H, W]; real: [N, C, H, W], N >= M; each channel is normalized by the real features' statistics. The
    vertical position is one more channel, so that skies are compared with skies. Returns a scalar.
    """
    mean = real.mean(dim=(0, 2, 3), keepdim=True)
    spread = real.std(dim=(0, 2, 3), keepdim=True) + 1e-3

    def sample(maps: Tensor, positions: int) -> Tensor:
        batch, _, height, width = maps.shape
        rows = torch.linspace(-HEIGHT_WEIGHT, HEIGHT_WEIGHT, height, device=maps.device)
        rows = rows[None, None, :, None].expand(batch, 1, height, width)
        flat = torch.cat([(maps - mean) / spread, rows], dim=1).flatten(2)  # [B, C + 1, H W]
        chosen = torch.randint(height * width, (positions,), generator=rng).to(maps.device)
        return flat[:, :, chosen].transpose(0, 1).flatten(1)  # [C + 1, B * positions]

    positions = min(POSITIONS, stylized.shape[2] * stylized.shape[3])
    ours, theirs = sample(stylized, positions), sample(real, -(-positions * stylized.shape[0] // real.shape[0]))
    shuffled = torch.randperm(theirs.shape[1], generator=rng)[: ours.shape[1]].to(theirs.device)
    theirs = theirs[:, shuffled]
    directions = F.normalize(torch.randn(PROJECTIONS, ours.shape[0], generator=rng), dim=1).to(ours.device)
    return ((directions @ ours).sort(dim=1).values - (directions @ theirs).sort(dim=1).values).abs().mean()


def tone_quantiles(images: Tensor) -> Tensor:
    """Quantiles of lightness, red against green and blue against yellow in horizontal bands, pooled over the batch.

    images: [B, 3, H, W]. Returns [3, TONE_BANDS * TONE_LEVELS].
    """
    red, green, blue = images.unbind(dim=1)
    opponents = torch.stack([(red + green + blue) / 3, red - green, blue - (red + green) / 2], dim=1)
    ordered = [band.transpose(0, 1).flatten(1).sort(dim=1).values for band in opponents.tensor_split(TONE_BANDS, dim=2)]
    return torch.cat([F.adaptive_avg_pool1d(values[None], TONE_LEVELS)[0] for values in ordered], dim=1)


def tone_loss(stylized: Tensor, real: Tensor) -> Tensor:
    """Wasserstein-1 distance of the two batches' tones, band by band."""
    return F.l1_loss(tone_quantiles(stylized), tone_quantiles(real))
