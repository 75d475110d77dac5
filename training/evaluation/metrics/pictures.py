"""Distances between pictures [B, 3, H, W] in [-1, 1]."""

from __future__ import annotations

import torch
from torch import Tensor


def distance_255(first: Tensor, second: Tensor) -> Tensor:
    """Mean absolute difference in units of 1/255, one a picture: [B]."""
    return (first - second).abs().flatten(1).mean(dim=1) * 127.5


def gradient_correlation(first: Tensor, second: Tensor) -> Tensor:
    """Pearson correlation of the luminance gradients (both directions together), one a picture: [B] in [-1, 1].

    1 where all edges are kept, whatever the colours; 0 for unrelated pictures.
    """
    a, b = _gradients(first), _gradients(second)
    a, b = a - a.mean(dim=1, keepdim=True), b - b.mean(dim=1, keepdim=True)
    return (a * b).sum(dim=1) / (a.norm(dim=1) * b.norm(dim=1)).clamp(min=1e-8)


def _gradients(image: Tensor) -> Tensor:
    weights = torch.tensor([0.299, 0.587, 0.114], device=image.device)[:, None, None]
    luminance = (image * weights).sum(dim=1)
    across = luminance[:, :, 1:] - luminance[:, :, :-1]
    down = luminance[:, 1:] - luminance[:, :-1]
    return torch.cat([across.flatten(1), down.flatten(1)], dim=1)


def tint_255(image: Tensor, source: Tensor) -> Tensor:
    """How far the mean colour moved off the grey axis, in units of 1/255, one a picture: [B].

    The mean change of each channel less the mean over channels: brightness may change freely.
    """
    change = (image - source).flatten(2).mean(dim=2)
    return (change - change.mean(dim=1, keepdim=True)).abs().mean(dim=1) * 127.5
