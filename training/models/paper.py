"""The paper's networks: generator, audio encoder and discriminator (Li et al., ECCV 2022, Secs. 3 and 4.1).

Where the paper is silent the authors' released code, a fork of CUT (Park et al. 2020), decides; its weights import into
these classes (training/imports/avstyle.py). Two of its faults belong to the method as published and are kept: the
instance norm after the fusion subtracts most of what the audio adds, and the waveform's peak is divided out.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import AudioConfig, PaperDiscriminatorConfig, PaperGeneratorConfig
from training.models.blocks import BlurDownsample, conv_of_concat, upsampled
from training.models.resnet import ResNet18
from training.models.spectrogram import Spectrogram, peak_normalized

NCE_BLOCKS = (0, 4)  # the residual blocks whose outputs NCE compares: the first and the fifth


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with instance norm around a shortcut (Sec. 4.1: "ResNet-based CNN bottlenecks")."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")
        self.conv2 = nn.Conv2d(channels, channels, 3, padding=1, padding_mode="reflect")

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(F.instance_norm(self.conv1(x)))
        return x + F.instance_norm(self.conv2(y))


class ContentEncoder(nn.Module):
    """Genc: image [B, 3, H, W] in [-1, 1] -> content [B, 4 width, H/4, W/4]; H and W multiples of 4.

    The paper has the nine bottlenecks "in between" Genc and Gdec; in its code the audio joins after all of them, so
    they are here.
    """

    def __init__(self, config: PaperGeneratorConfig) -> None:
        super().__init__()
        width = config.width
        self.stem = nn.Conv2d(3, width, 7, padding=3, padding_mode="reflect")  # Sec. 4.1: the first layer is 7x7
        self.down1 = nn.Conv2d(width, 2 * width, 3, padding=1)
        self.blur1 = BlurDownsample(2 * width)
        self.down2 = nn.Conv2d(2 * width, 4 * width, 3, padding=1)
        self.blur2 = BlurDownsample(4 * width)
        self.blocks = nn.ModuleList(ResidualBlock(4 * width) for _ in range(config.blocks))
        self.nce_channels: Sequence[int] = (3, 2 * width, 4 * width, 4 * width, 4 * width)
        self.last_nce_block = min(NCE_BLOCKS[1], config.blocks - 1)

    def features(self, image: Tensor, for_nce_alone: bool = False) -> tuple[Tensor, list[Tensor]]:
        """The content, and Genc^l(x) of Eq. 3 for the five layers l that NCE compares.

        They are the pixels, the outputs of both down-sampling convolutions, and of the first and fifth block.
        `for_nce_alone` stops at the last of them.
        """
        x = F.relu(F.instance_norm(self.stem(image)))  # [B, width, H, W]
        down1 = self.down1(x)
        x = self.blur1(F.relu(F.instance_norm(down1)))  # [B, 2 width, H/2, W/2]
        down2 = self.down2(x)
        x = self.blur2(F.relu(F.instance_norm(down2)))  # [B, 4 width, H/4, W/4]
        maps = [image, down1, down2]
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in (NCE_BLOCKS[0], self.last_nce_block):
                maps.append(x)
            if for_nce_alone and number == self.last_nce_block:
                break
        return x, maps

    def forward(self, image: Tensor) -> Tensor:
        return self.features(image)[0]


class Decoder(nn.Module):
    """Gdec: content and embedding [B, E] -> image [B, 3, H, W] in [-1, 1].

    The first up-sampling keeps the concatenated width, as in the authors' code.
    """

    def __init__(self, config: PaperGeneratorConfig, embedding_dim: int) -> None:
        super().__init__()
        width = config.width
        self.up1 = nn.Conv2d(4 * width + embedding_dim, 4 * width, 3, padding=1)
        self.up2 = nn.Conv2d(4 * width, 2 * width, 3, padding=1)
        self.head_inputs = (2 * width,)  # what the export needs to know of the last layer
        self.head = nn.Conv2d(2 * width, 3, 7, padding=3, padding_mode="reflect")

    def forward(self, content: Tensor, embedding: Tensor) -> Tensor:
        # concat(Genc(x), f(a)) of Sec. 3, up-sampled: the embedding is the same everywhere
        x = conv_of_concat(self.up1, upsampled(content), embedding.to(content.dtype))
        x = F.relu(F.instance_norm(x))  # [B, 4 width, H/2, W/2]; the norm subtracts what the embedding added, but for
        x = upsampled(x)  # the ring of zeros around it
        x = F.relu(F.instance_norm(self.up2(x)))  # [B, 2 width, H, W]
        return torch.tanh(self.head(x))


class Generator(nn.Module):
    """G: y = Gdec(concat(Genc(x), f(a))) (Sec. 3)."""

    def __init__(self, config: PaperGeneratorConfig, embedding_dim: int) -> None:
        super().__init__()
        self.encoder = ContentEncoder(config)
        self.decoder = Decoder(config, embedding_dim)
        init_weights(self)

    def forward(self, image: Tensor, embedding: Tensor) -> tuple[Tensor, list[Tensor]]:
        """The stylized image, and the source's feature maps for NCE."""
        content, maps = self.encoder.features(image)
        return self.decoder(content, embedding), maps


class AudioEncoder(nn.Module):
    """f(a): waveform [B, N] -> embedding [B, E], by a ResNet18 on the spectrogram (Sec. 4.1)."""

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.spectrogram = Spectrogram(config)
        self.network = ResNet18(config.encoder_width, config.embedding_dim, config.first_padding, config.stage_blocks)

    def direction(self, waveform: Tensor) -> Tensor:
        """[B, N] -> [B, E] of length 1, for contrast with images."""
        return F.normalize(self(waveform).float(), dim=-1)

    def forward(self, waveform: Tensor) -> Tensor:
        embedding: Tensor = self.network(self.spectrogram(peak_normalized(waveform)))
        return embedding


class Discriminator(nn.Module):
    """D(y, a) of Eq. 1: a 70x70 PatchGAN on the image with the spectrogram stacked onto it ("early fusion", Sec. 3)."""

    def __init__(self, config: PaperDiscriminatorConfig) -> None:
        super().__init__()
        width = config.width
        layers: list[nn.Module] = [nn.Conv2d(3 + 3, width, 4, 2, 1), nn.LeakyReLU(0.2)]
        for inputs, outputs, stride in ((1, 2, 2), (2, 4, 2), (4, 8, 1)):
            layers += [nn.Conv2d(inputs * width, outputs * width, 4, stride, 1), nn.InstanceNorm2d(outputs * width)]
            layers += [nn.LeakyReLU(0.2)]
        self.layers = nn.Sequential(*layers, nn.Conv2d(8 * width, 1, 4, 1, 1))
        init_weights(self)

    def forward(self, image: Tensor, spectrogram: Tensor) -> Tensor:
        """image, spectrogram: [B, 3, H, W]. Returns scores [B, 1, about H/8, about W/8]."""
        scores: Tensor = self.layers(torch.cat([image, spectrogram.to(image.dtype)], dim=1))
        return scores


def init_weights(network: nn.Module) -> None:
    """As CUT begins: weights by Xavier's normal distribution with gain 0.02, biases at zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.xavier_normal_(module.weight, gain=0.02)
            if module.bias is not None:
                nn.init.zeros_(module.bias)
