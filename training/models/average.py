"""The running average of the weights that make an image: what is evaluated and exported."""

from __future__ import annotations

import copy
import math
from typing import Any

import torch
from torch import Tensor, nn

from training.models.networks import Networks


class Average(nn.Module):
    """Exponential moving average of the generator, the audio encoder and the conditioner between them.

    It reaches back about `images` images, and early in a run about a tenth of what was seen (Karras et al. 2024).
    """

    generator: Any
    audio_encoder: Any
    conditioner: Any

    def __init__(self, networks: Networks, images: float) -> None:
        super().__init__()
        self.images = images
        self.generator = copy.deepcopy(networks.generator)
        self.audio_encoder = copy.deepcopy(networks.audio_encoder)
        self.conditioner = copy.deepcopy(networks.conditioner)
        self.requires_grad_(False)
        self.eval()

    def embed(self, waveforms: Tensor, condition: Tensor | None) -> Tensor:
        """[B, N], and what the preset has in the audio's place -> embedding [B, E]."""
        embedding: Tensor = self.conditioner(self.audio_encoder, self.generator.encoder, waveforms, condition)
        return embedding

    def stylize(self, images: Tensor, waveforms: Tensor, condition: Tensor | None) -> Tensor:
        """images [B, 3, H, W] in [-1, 1], waveforms [B, N] -> [B, 3, H, W] in [-1, 1]."""
        content = self.generator.encoder(images)
        return self.generator.decoder(content, self.embed(waveforms, condition)).float().clamp(-1, 1)

    @torch.no_grad()
    def copy_from(self, networks: Networks) -> None:
        """Begin anew, with the networks as they are."""
        for name, mine in self.named_children():
            mine.load_state_dict(networks.get_submodule(name).state_dict())

    @torch.no_grad()
    def update(self, networks: Networks, batch: int, images_seen: int) -> None:
        reach = min(self.images, 0.1 * images_seen)
        keep = math.exp(-batch / reach) if reach > 0 else 0.0
        for name, mine in self.named_children():
            theirs = networks.get_submodule(name)
            if any(True for _ in mine.parameters()):  # the audio's conditioner has none
                torch._foreach_lerp_(list(mine.parameters()), list(theirs.parameters()), 1 - keep)
            for kept, new in zip(mine.buffers(), theirs.buffers(), strict=True):
                kept.copy_(new)
