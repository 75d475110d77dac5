"""Layers that several generators share."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BlurDownsample(nn.Module):
    """Binomial low-pass [1, 2, 1], then every second pixel (Zhang 2019); reflection at the edges."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0])
        kernel = torch.outer(taps, taps) / 16
        self.register_buffer("kernel", kernel.expand(channels, 1, 3, 3).clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(x, self.kernel.to(x.dtype), stride=2, groups=x.shape[1])


def upsampled(x: Tensor) -> Tensor:
    """[B, C, H, W] -> [B, C, 2H, 2W], bilinear: what CUT's up-sampling with the low-pass [1, 3, 3, 1] computes."""
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)


def conv_of_concat(conv: nn.Conv2d, x: Tensor, vector: Tensor) -> Tensor:
    """conv(concat(x, the vector at every place)) for a zero-padded 3x3 convolution, without convolving constants.

    x: [B, C, H, W], vector: [B, E]. A constant map's convolution is constant but for the edges, so a map of 3 x 3
    places holds every value that it takes: this saves half of the layer's operations where E is C.
    """
    channels = x.shape[1]
    height, width = x.shape[2:]
    of_x = F.conv2d(x, conv.weight[:, :channels], conv.bias, padding=1)
    constant = F.conv2d(vector[:, :, None, None].expand(-1, -1, 3, 3), conv.weight[:, channels:], padding=1)
    first, inner, last = constant.split(1, dim=3)
    rows = torch.cat([first, inner.expand(-1, -1, -1, width - 2), last], dim=3)  # [B, outputs, 3, W]
    first, inner, last = rows.split(1, dim=2)
    return of_x + torch.cat([first, inner.expand(-1, -1, height - 2, -1), last], dim=2)
