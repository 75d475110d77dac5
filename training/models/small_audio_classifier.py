"""A small classifier of sounds that learns from nothing: a residual network on log-mel powers."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_SILENCE_POWER = 1e-10  # -100 dBFS: nothing below is amplified further


def log_mel(mel_power: Tensor) -> Tensor:
    """[B, M, T] powers of any level -> [B, 2, M, T] about in [-1.5, 1.5], the same at every level above -100 dBFS.

    The second channel is the first without each band's mean over time: what an equaliser or a microphone colours is
    gone, what moves is left.

    A floor 50 dB below the clip's mean power per band lies under everything: what is fainter than that (a recording's
    own hiss, digital silence between two steps) tells of the equipment and not of the place.
    """
    mean = mel_power.mean(dim=(1, 2), keepdim=True).clamp(min=_SILENCE_POWER / mel_power.shape[1])
    decibels = torch.log(mel_power / mean + 1e-5) / 4 + 1
    return torch.stack([decibels, decibels - decibels.mean(dim=2, keepdim=True)], dim=1)


class _Stage(nn.Module):
    """Halve both axes, then a residual block: [B, inputs, F, T] -> [B, outputs, F / 2, T / 2]."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.down = nn.Conv2d(inputs, outputs, 3, 2, 1, bias=False)
        self.down_norm = nn.BatchNorm2d(outputs)
        self.first = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.first_norm = nn.BatchNorm2d(outputs)
        self.second = nn.Conv2d(outputs, outputs, (1, 3), 1, (0, 1), bias=False)
        self.second_norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.down_norm(self.down(x)))
        y = F.relu(self.first_norm(self.first(x)))
        return F.relu(x + self.second_norm(self.second(y)))


class SmallAudioClassifier(nn.Module):
    """Log-mel [B, 2, M, T] -> logits [B, kinds]: a small residual network; mean, spread and peak over time."""

    def __init__(self, kinds: int, dropout: float, widths: Sequence[int]) -> None:
        super().__init__()
        stem, *rest = widths
        self.stem = nn.Conv2d(2, stem, 5, 2, 2, bias=False)
        self.stem_norm = nn.BatchNorm2d(stem)
        channels = [stem, *rest]
        self.stages = nn.Sequential(*(_Stage(a, b) for a, b in zip(channels, rest, strict=False)))
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(3 * channels[-1], kinds)

    def spectrogram(self, mel_power: Tensor) -> Tensor:
        """[B, M, T] -> [B, 2, M, T], the same at every level."""
        return log_mel(mel_power)

    def features(self, spectrogram: Tensor) -> Tensor:
        x = F.relu(self.stem_norm(self.stem(spectrogram)))
        x = self.stages(x).mean(dim=2)  # [B, C, T / 16]
        mean = x.mean(dim=2)
        spread = ((x - mean[:, :, None]).square().mean(dim=2) + 1e-6).sqrt()
        return torch.cat([mean, spread, x.amax(dim=2)], dim=1)

    def forward(self, spectrogram: Tensor) -> Tensor:
        logits: Tensor = self.head(self.dropout(self.features(spectrogram)))
        return logits
