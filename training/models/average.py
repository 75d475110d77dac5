"""The running average of the weights that make a picture: what is evaluated and exported."""

from __future__ import annotations

import copy
import math

import torch
from torch import Tensor, nn

from training.models.conditioner import Conditioner
from training.models.own.audio_encoder import AudioEncoder
from training.models.own.generator import Generator
from training.models.own.networks import Networks


class Average(nn.Module):
    """Exponential moving average of the generator, the audio encoder and the conditioner between them.

    It reaches back about `images` pictures, and early in a run about a tenth of what was seen (Karras et al. 2024).
    """

    def __init__(self, networks: Networks, images: float) -> None:
        super().__init__()
        self.images = images
        self.generator: Generator = copy.deepcopy(networks.generator)
        self.audio_encoder: AudioEncoder = copy.deepcopy(networks.audio_encoder)
        self.conditioner: Conditioner = copy.deepcopy(networks.conditioner)
        self.requires_grad_(False)
        self.eval()

    def embed(self, waveforms: Tensor, condition: Tensor | None) -> Tensor:
        """[B, N], and what the preset has in the sound's place -> embedding [B, E]."""
        return self.conditioner(self.audio_encoder(waveforms), condition)

    @torch.no_grad()
    def update(self, networks: Networks, batch: int, images_seen: int) -> None:
        reach = min(self.images, 0.1 * images_seen)
        keep = math.exp(-batch / reach) if reach > 0 else 0.0
        for name, mine in self.named_children():
            theirs = networks.get_submodule(name)
            if any(True for _ in mine.parameters()):  # the default's conditioner has none
                torch._foreach_lerp_(list(mine.parameters()), list(theirs.parameters()), 1 - keep)
            for kept, new in zip(mine.buffers(), theirs.buffers(), strict=True):
                kept.copy_(new)
