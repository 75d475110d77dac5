"""The update at the end of a pass: gradients checked, clipped, applied."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from training.config import TrainingConfig


def total_of(losses: Mapping[str, Tensor], slices: int) -> Tensor:
    """What one of so many slices of a batch is differentiated by: the mean over slices is the batch's loss."""
    return torch.stack([loss.float() for loss in losses.values()]).sum() / slices


def update(optimizer: torch.optim.Optimizer, scaler: torch.amp.GradScaler, config: TrainingConfig) -> Tensor:
    """Clip and apply. Returns the gradient's norm before, on its device: nothing waits for it here."""
    scaler.unscale_(optimizer)
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    norm = torch.nn.utils.get_total_norm([p.grad for p in parameters if p.grad is not None])
    torch.nn.utils.clip_grads_with_norm_(parameters, config.clip_gradient_norm, norm)
    scaler.step(optimizer)
    return norm
