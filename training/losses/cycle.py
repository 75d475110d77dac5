"""Forward cycle consistency (Zhu et al. 2017) in the place of patch NCE: the paper's CycleGAN ablation."""

from __future__ import annotations

import torch.nn.functional as F
from torch import Tensor


def cycle_losses(
    cycle: float, identity: float, source: Tensor, restored: Tensor, target: Tensor, same: Tensor
) -> dict[str, Tensor]:
    """A second generator, given the source's own audio, must find the source again in the stylized image.

    cycle, identity: the weights. All images [B, 3, H, W] in [-1, 1]; restored: what it finds; same: the target under
    its own audio, which should leave it as it is. Returns the weighted losses by name.
    """
    losses = {"cycle": cycle * F.l1_loss(restored.float(), source)}
    if identity:
        losses["identity_l1"] = identity * F.l1_loss(same.float(), target)
    return losses
