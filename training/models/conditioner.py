"""What gives the generator its embedding: the driving audio, or a word or an image in its place (the baselines)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from training.config import ConditionConfig


class AudioConditioner(nn.Module):
    """The audio itself: f(a)."""

    uses_audio = True

    def forward(
        self, audio_encoder: nn.Module, encoder: nn.Module, waveform: Tensor, condition: Tensor | None
    ) -> Tensor:
        """waveform: [B, N]. Returns the embedding [B, E]."""
        embedding: Tensor = audio_encoder(waveform)
        return embedding


class WordConditioner(nn.Module):
    """A word's frozen vector, mapped linearly (Table 1, Class Pred. and Keyword)."""

    uses_audio = False

    def __init__(self, word_dim: int, embedding_dim: int) -> None:
        super().__init__()
        self.map = nn.Linear(word_dim, embedding_dim)

    def forward(
        self, audio_encoder: nn.Module, encoder: nn.Module, waveform: Tensor, condition: Tensor | None
    ) -> Tensor:
        """condition: [B, word_dim]."""
        assert condition is not None, "a word is needed"
        embedding: Tensor = self.map(condition)
        return embedding


class StyleImageConditioner(nn.Module):
    """Mean and deviation of each channel of a style image's content (Table 1, AdaIN).

    AdaIN's encoder is fixed; here it is Genc, into which no gradient flows by the style image.
    """

    uses_audio = False

    def forward(
        self, audio_encoder: nn.Module, encoder: nn.Module, waveform: Tensor, condition: Tensor | None
    ) -> Tensor:
        """condition: [B, 3, H, W] in [-1, 1]. Returns [B, 2C]."""
        assert condition is not None, "an image is needed"
        with torch.no_grad():
            deviation, mean = torch.std_mean(encoder(condition).float(), dim=(2, 3))
        return torch.cat([mean, deviation], dim=1)


Conditioner = AudioConditioner | WordConditioner | StyleImageConditioner


def make_conditioner(config: ConditionConfig, embedding_dim: int) -> Conditioner:
    if config.kind == "audio":
        return AudioConditioner()
    if config.kind == "image":
        return StyleImageConditioner()
    return WordConditioner(config.word_dim, embedding_dim)
