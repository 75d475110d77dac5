"""Forward cycle consistency (Zhu et al. 2017) in the place of patch NCE: the paper's CycleGAN ablation."""

from __future__ import annotations

from collections.abc import Callable

import torch.nn.functional as F
from torch import Tensor

from training.config import LossConfig


def cycle_losses(
    back: Callable[[Tensor, Tensor], Tensor],
    weights: LossConfig,
    source: Tensor,
    stylized: Tensor,
    source_embedding: Tensor,
    target: Tensor,
    same: Tensor | None,
) -> dict[str, Tensor]:
    """A second generator, given the source's own sound, must find the source again in the stylized picture.

    source, stylized, target: [B, 3, H, W] in [-1, 1]; source_embedding: [B, E], of the sound that occurs with the
    source; same: the target under its own sound, which should leave it as it is. Returns the weighted losses by name.
    """
    restored = back(stylized.to(source.dtype), source_embedding)
    losses = {"cycle": weights.cycle * F.l1_loss(restored.float(), source)}
    if same is not None:
        losses["identity_l1"] = weights.identity_l1 * F.l1_loss(same.float(), target)
    return losses
