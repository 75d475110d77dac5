"""Contrast of images and audio that occur together, and directions between two others."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def contrast(images: Tensor, sounds: Tensor, targets: Tensor, temperature: float) -> Tensor:
    """Symmetric InfoNCE with soft targets.

    images, sounds: [B, E] directions; targets: [B, B], rows sum to 1: how much of picture j belongs to sound i.
    Returns a scalar.
    """
    logits = sounds @ images.T / temperature
    by_sound = -(targets * F.log_softmax(logits, dim=1)).sum(dim=1).mean()
    columns = targets / targets.sum(dim=0, keepdim=True).clamp(min=1e-6)
    by_image = -(columns * F.log_softmax(logits, dim=0)).sum(dim=0).mean()
    return (by_sound + by_image) / 2


def mixed_targets(weight: Tensor, partner: Tensor) -> Tensor:
    """Targets [B, B] of sounds mixed as weight * own + (1 - weight) * partner's."""
    eye = torch.eye(len(weight), device=weight.device)
    return weight[:, None] * eye + (1 - weight)[:, None] * eye[partner]


def between(first: Tensor, second: Tensor, weight: Tensor) -> Tensor:
    """The direction at `weight` [B, 1] of the way from `second` to `first` ([B, E], length 1), by its angle (slerp).

    The sum of the two, normalised, would turn fastest in the middle: a quarter of rain would be no rain at all.
    """
    angle = torch.acos((first * second).sum(dim=1, keepdim=True).clamp(-0.999, 0.999))
    return F.normalize(torch.sin(weight * angle) * first + torch.sin((1 - weight) * angle) * second, dim=-1)
