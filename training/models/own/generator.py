"""The generator in its two halves: y = Gdec(concat(Genc(x), f(a))) (Eq. 1), pictures in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.blocks import upsampled
from training.models.own.appearance import CHANGE_CHANNELS, GradeHead, draw_look, streak_strength, with_streaks
from training.models.own.config import OwnGeneratorConfig
from training.models.own.guided_filter import guided_filter
from training.models.own.running_norm import RunningNorm
from training.models.own.streaks import FIELD_SIZE, streak_field

FIELD_CELLS = FIELD_SIZE // 4  # the field of streaks repeats every 64 content cells
SOURCE_CHANNELS = 4 * 4 * 3  # the source's pixels, 4 x 4 of them folded into each content cell
SPIKE = 4.0  # standard deviations
THRESHOLD = 1.5  # how far a pixel may lie from the others in the logit of its mask: 9 dB of the driving sound
EXTRA_CHANNELS = SOURCE_CHANNELS + 4 * 4  # and the field of streaks


class Modulation(nn.Module):
    """The sound after a norm: a scale and a shift per channel, linear in the embedding's direction."""

    def __init__(self, embedding_dim: int, channels: int) -> None:
        super().__init__()
        self.affine = nn.Linear(embedding_dim, 2 * channels)
        nn.init.normal_(self.affine.weight, std=0.5 / embedding_dim**0.5)
        nn.init.zeros_(self.affine.bias)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        scale, shift = self.affine(style)[:, :, None, None].chunk(2, dim=1)
        return x * (1 + scale) + shift


class ConvNorm(nn.Module):
    """Convolution (padded by reflection), a norm, and (if an embedding is given) its modulation."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, embedding_dim: int = 0) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode="reflect")
        self.norm = RunningNorm(outputs)
        self.modulation = Modulation(embedding_dim, outputs) if embedding_dim else None

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        x = self.norm(self.conv(x))
        if self.modulation is not None:
            assert style is not None, "a conditioned layer needs a style"
            # A spike raises a map's spread and so dims all the rest: left free, networks draw blots by it.
            x = self.modulation(x.clamp(-SPIKE, SPIKE), style)
        return x


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, embedding_dim: int = 0) -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3, embedding_dim=embedding_dim)
        self.second = ConvNorm(channels, channels, 3, embedding_dim=embedding_dim)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        return x + self.second(F.relu(self.first(x, style)), style)


class ContentEncoder(nn.Module):
    """Genc: picture [B, 3, H, W] in [-1, 1] -> content [B, C, H/4, W/4]; H and W multiples of 4.

    The content carries the source's own pixels and a field of streaks, folded 4 x 4 into channels:
    what the sound leaves alone then stays exactly as it was, and rain has something to fall where the picture is
    plain. `features` keeps what patch NCE compares: the pixels, both down-samplings, the first and the last block.
    """

    streaks: Tensor

    def __init__(self, config: OwnGeneratorConfig) -> None:
        super().__init__()
        width = config.width
        self.stem = ConvNorm(3, width, 7)
        self.down1 = ConvNorm(width, width * 2, 3, 2)
        self.down2 = ConvNorm(width * 2, width * 4, 3, 2)
        self.blocks = nn.ModuleList(ResidualBlock(width * 4) for _ in range(config.encoder_blocks))
        self.register_buffer("streaks", F.pixel_unshuffle(streak_field()[None, None], 4)[0], persistent=False)

    @property
    def nce_block(self) -> int:
        """The fifth residual block (the last, where there are fewer) gives the last features of patch NCE."""
        return min(5, len(self.blocks)) - 1

    def features(self, image: Tensor, nce_only: bool = False) -> tuple[Tensor, list[Tensor]]:
        """The last block's output [B, 4 width, H/4, W/4] and the five feature maps of patch NCE.

        `nce_only` stops at the last map that NCE needs.
        """
        down1 = self.down1(F.relu(self.stem(image)))  # NCE compares normed features, before the ReLU
        down2 = self.down2(F.relu(down1))
        x = F.relu(down2)
        maps = [image, down1, down2]
        for number, block in enumerate(self.blocks):
            x = block(x)
            if number in (0, self.nce_block):
                maps.append(x)
            if nce_only and number == self.nce_block:
                break
        if self.nce_block == 0:
            maps.append(x)
        return x, maps

    def content(self, features: Tensor, image: Tensor, roll: int = 0) -> Tensor:
        """Join the last block's output with the source's pixels and the streaks."""
        rows = (torch.arange(features.shape[2], device=image.device) + roll) % FIELD_CELLS
        columns = (torch.arange(features.shape[3], device=image.device) + roll // FIELD_CELLS) % FIELD_CELLS
        streaks = (
            self.streaks.index_select(1, rows).index_select(2, columns).unsqueeze(0).expand(image.shape[0], -1, -1, -1)
        )
        return torch.cat([features, F.pixel_unshuffle(image, 4).to(features.dtype), streaks.to(features.dtype)], dim=1)

    def forward(self, image: Tensor, roll: int = 0) -> Tensor:
        """`roll` shifts the streaks (training draws it, so that no place learns one pattern)."""
        return self.content(self.features(image)[0], image, roll)


class UpSampling(nn.Module):
    """Twice the size, then a 3x3 convolution with norm. Nearest neighbours left a grid of 4 pixels in plain skies."""

    def __init__(self, inputs: int, outputs: int, embedding_dim: int) -> None:
        super().__init__()
        self.layer = ConvNorm(inputs, outputs, 3, embedding_dim=embedding_dim)

    def forward(self, x: Tensor, style: Tensor) -> Tensor:
        return F.relu(self.layer(upsampled(x), style))


class JoinedConvolution(nn.Conv2d):
    """One convolution over several maps side by side: [B, C1, H, W], [B, C2, H, W] -> [B, outputs, H, W]."""

    def forward(self, *maps: Tensor) -> Tensor:
        return super().forward(torch.cat(maps, dim=1) if len(maps) > 1 else maps[0])


class Decoder(nn.Module):
    """Gdec: content and embedding [B, E] -> image [B, 3, H, W] in [-1, 1].

    The audio is fused by a 1x1 convolution without a norm and modulates after every norm. The output changes the source
    by y = x + m (c - x): c is the appearance of the audio (appearance.py), and m = sigmoid(a + logit(length of the
    embedding)) lets each pixel have its own loudness from which on it takes that appearance. m rises with loudness
    everywhere and vanishes with silence.
    """

    def __init__(self, config: OwnGeneratorConfig, embedding_dim: int) -> None:
        super().__init__()
        width = config.width
        channels = width * 4
        self.fusion = nn.Conv2d(channels + embedding_dim, channels, 1)
        blocks = config.blocks - config.encoder_blocks
        self.blocks = nn.ModuleList(ResidualBlock(channels, embedding_dim) for _ in range(blocks))
        self.up1 = UpSampling(channels, width * 2, embedding_dim)
        self.up2 = UpSampling(width * 2, width, embedding_dim)
        self.head_inputs = (width, 3)  # channels of the maps that the head joins
        self.head = JoinedConvolution(width + 3, CHANGE_CHANNELS, 7, padding=3, padding_mode="reflect")
        self.grade = GradeHead(channels, embedding_dim)
        nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
        nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, content: Tensor, embedding: Tensor) -> Tensor:
        return self.outputs(content, embedding)[0]

    def outputs(self, content: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """The image, and the mask [B, 1, H, W]."""
        length = embedding.norm(dim=-1, keepdim=True)
        # sqrt(E) times the unit vector has entries around 1, like the normed features that it steers
        style = embedding / length.clamp(min=1e-6) * embedding.shape[1] ** 0.5
        tiled = style[:, :, None, None].expand(-1, -1, *content.shape[2:])
        # Not the pixels folded into it: at a quarter of their size they alias, and edges grow waves.
        x = self.fusion(torch.cat([content[:, :-EXTRA_CHANNELS], tiled.to(content.dtype)], dim=1))
        for block in self.blocks:
            x = block(x, style)
        drawn = self.up2(self.up1(x, style), style)
        source = self._unfolded(content)[:, :3]
        # guided: else plain dark places grow texture that the discriminators take for snow and leaves
        change = guided_filter(self.head(drawn, source).float(), source.float().mean(dim=1, keepdim=True))
        grade = self.grade(x, style, source.float())
        source, streaks = self._beneath(content)
        mask = self._mask(change, length)
        look = with_streaks(draw_look(change, grade, source), streak_strength(change, grade) * streaks)
        return source + mask * (look - source), mask

    def _unfolded(self, content: Tensor) -> Tensor:
        """The source's pixels and the streaks that the content carries: [B, 4, H, W]."""
        return F.pixel_shuffle(content[:, -EXTRA_CHANNELS:], 4)

    def _beneath(self, content: Tensor) -> tuple[Tensor, Tensor]:
        source, streaks = self._unfolded(content).float().split((3, 1), dim=1)
        return source, streaks

    def _mask(self, change: Tensor, length: Tensor) -> Tensor:
        strength = length.clamp(1e-6, 0.9995)[:, :, None, None]
        threshold = THRESHOLD * torch.tanh(change[:, 1:2])  # bounded: a mask that can close stops learning
        return torch.sigmoid(threshold + torch.log(strength / (1 - strength)))


class Generator(nn.Module):
    """Genc and Gdec together."""

    def __init__(self, config: OwnGeneratorConfig, embedding_dim: int) -> None:
        super().__init__()
        self.config = config
        self.encoder = ContentEncoder(config)
        self.decoder = Decoder(config, embedding_dim)

    def forward(self, image: Tensor, embedding: Tensor) -> Tensor:
        """image: [B, 3, H, W] in [-1, 1]; embedding: [B, E]. Returns [B, 3, H, W] in [-1, 1]."""
        return self.decoder(self.encoder(image), embedding)

    def nce_channels(self) -> Sequence[int]:
        """Channels of the five feature maps: 3, 128, 256, 256, 256 at width 64."""
        width = self.config.width
        return (3, width * 2, width * 4, width * 4, width * 4)
