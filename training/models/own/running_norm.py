"""A norm by the statistics of many pictures instead of this one's."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

MOMENTUM = 0.03  # of the newest step in the running statistics
EPSILON = 1e-5


class RunningNorm(nn.Module):
    """[B, C, H, W] -> each channel less its running mean, over its running spread; the same in training and afterwards.

    An instance norm divides a map by its own spread: a network that draws one spike somewhere dims all the rest of the
    map by it, and learns to, which shows as blots ("droplets" in Karras et al. 2020, StyleGAN2). No place of a picture
    moves this norm's statistics, so a spike gains nothing, and a part of a picture is treated as it would be in the
    whole. Once trained it is a constant scale and shift.

    What passes while gradients are recorded is accumulated; `take_statistics`, at the end of a step, makes it count.
    Within a step the statistics stand still, so that slices of a batch give what the batch gives.
    """

    mean: Tensor
    variance: Tensor
    steps: Tensor
    accumulated: Tensor
    passes: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.register_buffer("mean", torch.zeros(channels))
        self.register_buffer("variance", torch.ones(channels))
        self.register_buffer("steps", torch.zeros(()))
        self.register_buffer("accumulated", torch.zeros(2, channels), persistent=False)  # means, mean squares
        self.register_buffer("passes", torch.zeros(()), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and torch.is_grad_enabled():
            self._accumulate(x)
        scale = (self.variance + EPSILON).rsqrt()
        shift = -self.mean * scale
        return x * scale.to(x.dtype)[:, None, None] + shift.to(x.dtype)[:, None, None]

    @torch.no_grad()
    def _accumulate(self, x: Tensor) -> None:
        variance, mean = torch.var_mean(x.float(), dim=(0, 2, 3), correction=0)
        self.accumulated.add_(torch.stack([mean, variance + mean.square()]))
        self.passes.add_(1)

    @torch.no_grad()
    def _take(self) -> None:
        """A plain average over the first steps, then one that forgets."""
        mean, square = self.accumulated / self.passes.clamp(min=1)
        self.steps.add_(1)
        share = (1 / self.steps).clamp(min=MOMENTUM) * (self.passes > 0)
        self.mean.lerp_(mean, share)
        self.variance.lerp_((square - mean.square()).clamp(min=0), share)
        self.accumulated.zero_()
        self.passes.zero_()


def running_norms(module: nn.Module) -> list[RunningNorm]:
    """All of them within a network."""
    return [part for part in module.modules() if isinstance(part, RunningNorm)]


@torch.no_grad()
def calibrate(norms: list[RunningNorm], passing: Callable[[], object]) -> None:
    """Begin with the statistics of what `passing` lets through, each norm with those of maps already normed before it.

    Norms that all began with the same step would next meet maps that the ones before them had just learned to scale up,
    and so on: the variance grows from layer to layer, to 1e23 in `demo`, of which 1e17 are left after 400 steps.
    """

    def begin(norm: RunningNorm, inputs: tuple[Tensor]) -> None:
        norm._accumulate(inputs[0])
        norm._take()

    hooks = [norm.register_forward_pre_hook(begin) for norm in norms]
    try:
        passing()
    finally:
        for hook in hooks:
            hook.remove()


def take_statistics(norms: list[RunningNorm]) -> None:
    """Let the norms know what passed in this step."""
    for norm in norms:
        norm._take()
