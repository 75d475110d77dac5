"""The generator in its two halves: y = Gdec(concat(Genc(x), f(a))) (Eq. 1), pictures in [-1, 1]."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import GeneratorConfig
from training.models.own.appearance import CHANGE_CHANNELS, GradeHead, draw_look, streak_strength, with_streaks
from training.models.own.guided_filter import guided_filter
from training.models.own.running_norm import RunningNorm
from training.models.own.streaks import FIELD_SIZE, streak_field

FIELD_CELLS = FIELD_SIZE // 4  # the field of streaks repeats every 64 content cells
SOURCE_CHANNELS = 4 * 4 * 3  # the source's pixels, 4 x 4 of them folded into each content cell
SPIKE = 4.0  # standard deviations
THRESHOLD = 1.5  # how far a pixel may lie from the others in the logit of its mask: 9 dB of the driving sound
EXTRA_CHANNELS = SOURCE_CHANNELS + 4 * 4  # and the field of streaks


PaddingMode = Literal["reflect", "zeros"]
Norm = Literal["instance", "running"]


class Blur(nn.Module):
    """Binomial low-pass [1, 2, 1] before sub-sampling by 2 (Zhang 2019), reflection at the edges."""

    kernel: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        taps = torch.tensor([1.0, 2.0, 1.0])
        kernel = torch.outer(taps, taps) / 16
        self.register_buffer("kernel", kernel.expand(channels, 1, 3, 3).clone(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, (1, 1, 1, 1), mode="reflect")
        return F.conv2d(x, self.kernel.to(x.dtype), stride=2, groups=x.shape[1])


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
    """Convolution (padded by reflection), a norm without affine, and (if a sound is given) its modulation."""

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int,
        stride: int = 1,
        embedding_dim: int = 0,
        padding: PaddingMode = "reflect",
        norm: Norm = "instance",
    ) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, padding_mode=padding)
        self.norm: nn.Module = RunningNorm(outputs) if norm == "running" else nn.InstanceNorm2d(outputs)
        self.modulation = Modulation(embedding_dim, outputs) if embedding_dim else None

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        x = self.norm(self.conv(x))
        if self.modulation is not None:
            assert style is not None, "a conditioned layer needs a style"
            # A spike raises a map's spread and so dims all the rest: left free, networks draw blots by it.
            x = self.modulation(x.clamp(-SPIKE, SPIKE), style)
        return x


class ResidualBlock(nn.Module):
    def __init__(self, channels: int, embedding_dim: int = 0, norm: Norm = "instance") -> None:
        super().__init__()
        self.first = ConvNorm(channels, channels, 3, embedding_dim=embedding_dim, norm=norm)
        self.second = ConvNorm(channels, channels, 3, embedding_dim=embedding_dim, norm=norm)

    def forward(self, x: Tensor, style: Tensor | None = None) -> Tensor:
        return x + self.second(F.relu(self.first(x, style)), style)


class ContentEncoder(nn.Module):
    """Genc: picture [B, 3, H, W] in [-1, 1] -> content [B, C, H/4, W/4]; H and W multiples of 4.

    For a masked output the content carries the source's own pixels and a field of streaks, folded 4 x 4 into channels:
    what the sound leaves alone then stays exactly as it was, and rain has something to fall where the picture is
    plain. `features` keeps what patch NCE compares: the pixels, both down-samplings, the first and the last block.
    """

    streaks: Tensor

    def __init__(self, config: GeneratorConfig) -> None:
        super().__init__()
        width = config.width
        stride = 1 if config.antialias else 2
        self.masked = config.output == "masked"
        self.stem = ConvNorm(3, width, 7, norm=config.norm)
        padding: PaddingMode = "zeros" if config.zero_padded_sampling else "reflect"
        self.down1 = ConvNorm(width, width * 2, 3, stride, padding=padding, norm=config.norm)
        self.down2 = ConvNorm(width * 2, width * 4, 3, stride, padding=padding, norm=config.norm)
        self.blur1: nn.Module = Blur(width * 2) if config.antialias else nn.Identity()
        self.blur2: nn.Module = Blur(width * 4) if config.antialias else nn.Identity()
        self.blocks = nn.ModuleList(ResidualBlock(width * 4, norm=config.norm) for _ in range(config.encoder_blocks))
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
        down2 = self.down2(self.blur1(F.relu(down1)))
        x = self.blur2(F.relu(down2))
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
        """Join the last block's output with the source's pixels and the streaks (masked output only)."""
        if not self.masked:
            return features
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
    """Twice the size, bilinear (what CUT's blurred up-sampling computes), then a 3x3 convolution with norm.

    Nearest neighbours left a grid of 4 pixels in plain skies.
    """

    def __init__(self, inputs: int, outputs: int, embedding_dim: int, padding: PaddingMode, norm: Norm) -> None:
        super().__init__()
        self.layer = ConvNorm(inputs, outputs, 3, embedding_dim=embedding_dim, padding=padding, norm=norm)

    def forward(self, x: Tensor, style: Tensor | None) -> Tensor:
        x = F.interpolate(x, scale_factor=2.0, mode="bilinear", align_corners=False)
        return F.relu(self.layer(x, style))


class JoinedConvolution(nn.Conv2d):
    """One convolution over several maps side by side: [B, C1, H, W], [B, C2, H, W] -> [B, outputs, H, W]."""

    def forward(self, *maps: Tensor) -> Tensor:
        return super().forward(torch.cat(maps, dim=1) if len(maps) > 1 else maps[0])


class Decoder(nn.Module):
    """Gdec: content and embedding [B, E] -> picture [B, 3, H, W] in [-1, 1].

    "concat" is the authors' form: the tiled embedding is concatenated after all blocks and the next instance norm
    subtracts most of it. "modulated" fuses by a 1x1 convolution without a norm and repeats the sound after every norm.

    A "masked" output changes the source by y = x + m (c - x): c is the appearance of the sound (appearance.py),
    and m = sigmoid(a + logit(length of the embedding)) lets each pixel have its own loudness from which on it takes
    that look. m rises with loudness everywhere and vanishes with silence.
    """

    def __init__(self, config: GeneratorConfig, embedding_dim: int) -> None:
        super().__init__()
        width, self.masked = config.width, config.output == "masked"
        self.modulated = config.conditioning == "modulated"
        style_dim = embedding_dim if self.modulated else 0
        channels = width * 4
        if self.modulated:
            self.fusion: nn.Module = nn.Conv2d(channels + embedding_dim, channels, 1)
        else:
            self.fusion = nn.Identity()
            channels = channels + embedding_dim
        blocks = config.blocks - config.encoder_blocks
        self.blocks = nn.ModuleList(ResidualBlock(width * 4, style_dim, config.norm) for _ in range(blocks))
        up1, up2 = (width * 4, width * 2) if config.wide_up_path else (width * 2, width)
        padding: PaddingMode = "zeros" if config.zero_padded_sampling else "reflect"
        self.up1 = UpSampling(channels, up1, style_dim, padding, config.norm)
        self.up2 = UpSampling(up1, up2, style_dim, padding, config.norm)
        inputs, outputs = (up2 + 3, CHANGE_CHANNELS) if self.masked else (up2, 3)
        self.grade = GradeHead(channels, embedding_dim) if self.masked else None
        self.guided = config.guided
        self.head = JoinedConvolution(inputs, outputs, 7, padding=3, padding_mode="reflect")
        if self.masked:
            nn.init.zeros_(self.head.bias)  # type: ignore[arg-type]
            nn.init.normal_(self.head.weight, std=0.01)

    def forward(self, content: Tensor, embedding: Tensor) -> Tensor:
        return self.outputs(content, embedding)[0]

    def outputs(self, content: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor | None]:
        """The picture, and the mask [B, 1, H, W] where there is one."""
        change, grade, length = self._change(content, embedding)
        if grade is None:
            return torch.tanh(change), None
        source, streaks = self._beneath(content)
        mask = self._mask(change, length)
        look = with_streaks(draw_look(change, grade, source), streak_strength(change, grade) * streaks)
        return source + mask * (look - source), mask

    def with_reach(self, content: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor]:
        """The picture (masked output only), and how much brighter a full streak would make it: [B, 3, H, W] both."""
        change, grade, length = self._change(content, embedding)
        assert grade is not None, "only a masked output has streaks"
        source, streaks = self._beneath(content)
        mask = self._mask(change, length)
        dry, strength = draw_look(change, grade, source), streak_strength(change, grade)
        picture = source + mask * (with_streaks(dry, strength * streaks) - source)
        return picture, mask * (with_streaks(dry, strength) - dry)

    def _change(self, content: Tensor, embedding: Tensor) -> tuple[Tensor, Tensor | None, Tensor]:
        """What the head draws [B, outputs, H, W], the grade [B, GRADE_VALUES] and the embedding's length [B, 1]."""
        length = embedding.norm(dim=-1, keepdim=True)
        style = embedding
        if self.masked:  # sqrt(E) times the unit vector has entries around 1, like the normed features that it steers
            style = embedding / length.clamp(min=1e-6) * embedding.shape[1] ** 0.5
        tiled = style[:, :, None, None].expand(-1, -1, *content.shape[2:])
        # Not the pixels folded into it: at a quarter of their size they alias, and edges grow waves.
        seen = content[:, :-EXTRA_CHANNELS] if self.masked else content
        x = self.fusion(torch.cat([seen, tiled.to(content.dtype)], dim=1))
        for block in self.blocks:
            x = block(x, style)
        drawn = self.up2(self.up1(x, style), style)
        if self.grade is None:
            return self.head(drawn), None, length
        source = self._unfolded(content)[:, :3]
        change = self.head(drawn, source).float()
        if self.guided:  # else plain dark places grow wool and weave that the discriminators take for snow and leaves
            change = guided_filter(change, source.float().mean(dim=1, keepdim=True))
        return change, self.grade(x, style, source.float()), length

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

    def __init__(self, config: GeneratorConfig, embedding_dim: int) -> None:
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
