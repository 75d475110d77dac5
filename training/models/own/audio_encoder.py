"""Our audio encoder: a ResNet18 on the spectrogram, and the gate that writes loudness into the embedding's length."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.models.own.config import OwnAudioConfig
from training.models.resnet import ResNet18
from training.models.spectrogram import Spectrogram

REFERENCE_RMS = 0.1  # -20 dBFS: the level at which the encoder is given every clip
SILENCE_RMS = 1e-5  # -100 dBFS: nothing below is amplified further


def loudness_gate(rms: Tensor, config: OwnAudioConfig) -> Tensor:
    """How strong the effect of a clip of this level is: sigmoid((dBFS - center) / slope), in (0, 1).

    Being linear in decibels in its logit, it never saturates to the same value twice: louder is always more.
    """
    level_dbfs = 20 / math.log(10) * torch.log(rms.clamp(min=SILENCE_RMS))
    return torch.sigmoid((level_dbfs - config.gate_center_dbfs) / config.gate_slope_db)


class AudioEncoder(nn.Module):
    """f(a): waveform [B, N] (full scale = 1) -> embedding [B, E].

    The network is given every clip at one level, so the embedding's *direction* says what sounds; its *length* is the
    loudness gate, so it goes to 0 with silence. Contrastive training alone would normalise the length away, and a
    network left to find loudness by itself tied quiet to a scene.
    """

    def __init__(self, config: OwnAudioConfig) -> None:
        super().__init__()
        self.config = config
        self.spectrogram = Spectrogram(config)
        self.network = ResNet18(config.encoder_width, config.embedding_dim, config.first_padding, config.stage_blocks)
        # Without it all directions share a large common part (cosine 0.77 between scenes), which tells nothing apart.
        self.center = nn.BatchNorm1d(config.embedding_dim, affine=False)

    def direction(self, waveform: Tensor) -> Tensor:
        """[B, N] -> [B, E] of length 1, the same at every level above -100 dBFS."""
        rms = waveform.square().mean(dim=-1, keepdim=True).sqrt()
        leveled = waveform * (REFERENCE_RMS / rms.clamp(min=SILENCE_RMS))
        magnitude = self.spectrogram(leveled)
        return F.normalize(self.center(self.network(torch.log1p(100 * magnitude) / 3 - 1)), dim=-1)

    def forward(self, waveform: Tensor) -> Tensor:
        rms = waveform.square().mean(dim=-1, keepdim=True).sqrt()  # [B, 1]
        return self.direction(waveform) * loudness_gate(rms, self.config)
