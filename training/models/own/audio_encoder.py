"""The audio encoder f: a ResNet18 on the spectrogram, and the gate that writes loudness into the embedding's length."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import AudioConfig
from training.models.spectrogram import Spectrogram, peak_normalized

REFERENCE_RMS = 0.1  # -20 dBFS: the level at which the encoder hears every clip
SILENCE_RMS = 1e-5  # -100 dBFS: nothing below is amplified further


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (He et al. 2016)."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), nn.BatchNorm2d(outputs))

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.bn1(self.conv1(x)))
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x))


class ResNet18(nn.Module):
    """ResNet18 for one input channel: [B, 1, F, T] -> [B, outputs]. One block a stage instead of two is a ResNet9."""

    def __init__(self, width: int, outputs: int, first_padding: int, stage_blocks: int = 2) -> None:
        super().__init__()
        self.stage_blocks = stage_blocks
        widths = [width, width * 2, width * 4, width * 8]
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, 7, 2, first_padding, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
            nn.MaxPool2d(3, 2, 1),
        )
        blocks: list[nn.Module] = []
        channels = width
        for stage, stage_width in enumerate(widths):
            blocks.append(BasicBlock(channels, stage_width, 1 if stage == 0 else 2))
            blocks.extend(BasicBlock(stage_width, stage_width, 1) for _ in range(stage_blocks - 1))
            channels = stage_width
        self.blocks = nn.Sequential(*blocks)
        self.head = nn.Linear(channels, outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.head(self.blocks(self.stem(x)).mean(dim=(2, 3)))


def loudness_gate(rms: Tensor, config: AudioConfig) -> Tensor:
    """How strong the effect of a sound of this level is: sigmoid((dBFS - center) / slope), in (0, 1).

    Being linear in decibels in its logit, it never saturates to the same value twice: louder is always more.
    """
    level_dbfs = 20 / math.log(10) * torch.log(rms.clamp(min=SILENCE_RMS))
    return torch.sigmoid((level_dbfs - config.gate_center_dbfs) / config.gate_slope_db)


class AudioEncoder(nn.Module):
    """f(a): waveform [B, N] (full scale = 1) -> embedding [B, E].

    Level-preserving: the network hears every clip at one level, so the embedding's *direction* says what sounds; its
    *length* is the loudness gate, so it goes to 0 with silence. Contrastive training alone would normalise the length
    away, and a network left to find loudness by itself tied quiet to a scene. Without `level_preserving` (the
    `paper` preset) the peak is divided out and the embedding is the network's own, as in the authors' code.
    """

    def __init__(self, config: AudioConfig) -> None:
        super().__init__()
        self.config = config
        self.spectrogram = Spectrogram(config)
        self.network = ResNet18(config.encoder_width, config.embedding_dim, config.first_padding, config.stage_blocks)
        # Without it all directions share a large common part (cosine 0.77 between scenes), which tells nothing apart.
        self.center: nn.Module = (
            nn.BatchNorm1d(config.embedding_dim, affine=False) if config.level_preserving else nn.Identity()
        )

    def direction(self, waveform: Tensor) -> Tensor:
        """[B, N] -> [B, E] of length 1, the same at every level above -100 dBFS."""
        rms = waveform.square().mean(dim=-1, keepdim=True).sqrt()
        leveled = waveform * (REFERENCE_RMS / rms.clamp(min=SILENCE_RMS))
        magnitude = self.spectrogram(leveled)
        return F.normalize(self.center(self.network(torch.log1p(100 * magnitude) / 3 - 1)), dim=-1)

    def forward(self, waveform: Tensor) -> Tensor:
        if not self.config.level_preserving:
            return self.network(self.spectrogram(peak_normalized(waveform)))
        rms = waveform.square().mean(dim=-1, keepdim=True).sqrt()  # [B, 1]
        return self.direction(waveform) * loudness_gate(rms, self.config)
