"""What the generator is told of a driving sound: its own embedding, or that of a word or a picture in its place."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from training.config import ConditionConfig
from training.models.backbone import FEATURE_CHANNELS, Backbone, pooled


class SoundConditioner(nn.Module):
    """The sound itself."""

    def forward(self, heard: Tensor, condition: Tensor | None) -> Tensor:
        """heard: [B, E], the audio encoder's embedding. Returns it."""
        return heard


class WordConditioner(nn.Module):
    """A word's frozen vector, mapped linearly: it gives the direction; the length stays the sound's loudness."""

    def __init__(self, word_dim: int, embedding_dim: int) -> None:
        super().__init__()
        self.map = nn.Linear(word_dim, embedding_dim, bias=False)  # a bias would be common to all words

    def forward(self, heard: Tensor, condition: Tensor | None) -> Tensor:
        """heard: [B, E], of which the length is taken; condition: [B, word_dim]. Returns [B, E]."""
        assert condition is not None, "a word is needed"
        return _as_loud(self.map(condition), heard)


class PictureConditioner(nn.Module):
    """Mean and deviation of a picture's ImageNet features, channel by channel (AdaIN, Huang & Belongie 2017).

    A linear map leads from these statistics to the direction, as AdaIN's own leads from them to each norm's scale and
    shift; the length stays the sound's loudness. The frozen features are part of the checkpoint.
    """

    def __init__(self, embedding_dim: int) -> None:
        super().__init__()
        self.backbone = Backbone()
        self.map = nn.Linear(2 * sum(FEATURE_CHANNELS), embedding_dim, bias=False)

    def forward(self, heard: Tensor, condition: Tensor | None) -> Tensor:
        """heard: [B, E], of which the length is taken; condition: [B, 3, H, W] in [-1, 1]. Returns [B, E]."""
        assert condition is not None, "a picture is needed"
        with torch.no_grad():
            statistics = pooled([features.float() for features in self.backbone(condition)])
        return _as_loud(self.map(statistics), heard)


Conditioner = SoundConditioner | WordConditioner | PictureConditioner


def make_conditioner(config: ConditionConfig, embedding_dim: int) -> Conditioner:
    if config.kind == "sound":
        return SoundConditioner()
    if config.kind == "picture":
        return PictureConditioner(embedding_dim)
    return WordConditioner(config.word_dim, embedding_dim)


def _as_loud(told: Tensor, heard: Tensor) -> Tensor:
    """The direction of one, the length of the other: [B, E] both."""
    length = heard.detach().float().norm(dim=-1, keepdim=True)
    return F.normalize(told.float(), dim=-1) * length
