"""A checkpoint's averaged networks as a function from pictures and sounds to pictures."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from training import checkpoint
from training.config import TrainingConfig
from training.data.conditions import ConditioningExample, load_conditions
from training.kinds import kind_of
from training.models.average import Average


class CheckpointModel:
    """The averaged networks of a checkpoint; a picture is encoded once for any number of sounds."""

    def __init__(self, path: Path) -> None:
        values = checkpoint.load(path)
        self.config: TrainingConfig = checkpoint.config_of(values)
        self.images_seen = int(values["images_seen"])
        networks = kind_of(self.config).networks(self.config)
        checkpoint.restore(networks, values["networks"], path)
        self.average = Average(networks, self.config.ema_images)
        if values["ema"]:
            self.average.load_state_dict(values["ema"])
        self.conditions = load_conditions(self.config)

    @torch.no_grad()
    def encode(self, image: Tensor) -> Tensor:
        """[1, 3, H, W] in [-1, 1] -> content [1, C, H/4, W/4]."""
        return self.average.generator.encoder(image)

    @torch.no_grad()
    def decode(
        self, content: Tensor, waveforms: Tensor, examples: Sequence[ConditioningExample] | None = None
    ) -> Tensor:
        """One content for all waveforms [B, N] -> [B, 3, H, W] in [-1, 1].

        examples: what occurs with each sound; the presets `keyword` and `adain` raise ValueError without.
        """
        condition = None if self.conditions is None else self.conditions.of_sounds(waveforms, examples)
        embedding = self.average.embed(waveforms, condition)
        content = content.expand(len(embedding), -1, -1, -1)
        return self.average.generator.decoder(content, embedding).float().clamp(-1, 1)
