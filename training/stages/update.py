"""The update at the end of a step: gradients collected, averaged over the processes, checked, applied."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from training.config import TrainingConfig


class DivergedError(RuntimeError):
    """A loss or a gradient went out of bounds; the message names it and the step."""


def collect_gradients(losses: Mapping[str, Tensor], slices: int, step: int) -> None:
    """Add to the gradients those of one slice's losses, of which the step takes the mean. Raises DivergedError."""
    total = torch.stack([loss.float() for loss in losses.values()]).sum()
    if not torch.isfinite(total):
        raise DivergedError(
            f"step {step}: the loss is {total.item()}; lower the learning rate or resume from an earlier checkpoint"
        )
    (total / slices).backward()


def update(optimizer: torch.optim.Optimizer, config: TrainingConfig, step: int) -> float:
    """Average over the processes, check, clip, update. Returns the gradient's norm. Raises DivergedError."""
    parameters = [p for group in optimizer.param_groups for p in group["params"] if p.grad is not None]
    gradients = [p.grad for p in parameters if p.grad is not None]
    average_over_processes(gradients)
    norm = torch.nn.utils.get_total_norm(gradients).item()
    if not norm < config.max_gradient_norm:
        raise DivergedError(
            f"step {step}: the gradient's norm is {norm:.3g}, above {config.max_gradient_norm:.3g}: the run diverged"
        )
    torch.nn.utils.clip_grads_with_norm_(parameters, config.clip_gradient_norm, torch.tensor(norm))
    optimizer.step()
    return norm


def average_over_processes(tensors: list[Tensor]) -> None:
    """Each becomes its mean over all processes of a distributed run; nothing to do in a single one."""
    if not torch.distributed.is_initialized() or not tensors:
        return
    flat = torch.cat([tensor.flatten() for tensor in tensors])
    torch.distributed.all_reduce(flat)
    flat /= torch.distributed.get_world_size()
    offset = 0
    for tensor in tensors:
        tensor.copy_(flat[offset : offset + tensor.numel()].view_as(tensor))
        offset += tensor.numel()
