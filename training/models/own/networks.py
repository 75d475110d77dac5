"""Every network of a run of our own model, and what learns in which half of a step."""

from __future__ import annotations

from torch import nn

from training.models.backbone import Backbone
from training.models.conditioner import AudioConditioner
from training.models.feature_discriminator import FeatureDiscriminator
from training.models.image_tower import ImageTower
from training.models.networks import Networks, trainable
from training.models.own.audio_encoder import AudioEncoder
from training.models.own.config import OwnConfig
from training.models.own.discriminator import PatchDiscriminator
from training.models.own.generator import EXTRA_CHANNELS, Generator
from training.models.patch_projector import PatchProjector


class OwnNetworks(Networks):
    """The audio encoder is frozen once the pre-training has made it."""

    def __init__(self, config: OwnConfig) -> None:
        super().__init__()
        if config.condition.kind != "audio":
            raise ValueError("our own model is conditioned on audio alone: condition.kind = 'audio'")
        dim = config.audio.embedding_dim
        self.audio_encoder = AudioEncoder(config.audio)
        self.generator = Generator(config.generator, dim)
        self.discriminator = PatchDiscriminator(config.discriminator.width, dim)
        self.projector = PatchProjector(self.generator.nce_channels(), config.losses.projector_width)
        self.feature_discriminator = FeatureDiscriminator(config.discriminator.feature_width, dim)
        self.image_tower = ImageTower(config.pretraining.hidden, dim)
        self.conditioner = AudioConditioner()
        self._backbone = [Backbone()]
        self.audio_encoder.requires_grad_(False)
        self.image_tower.requires_grad_(False)
        self.towers_agree = bool(config.pretraining.steps)
        self.content_channels = 4 * config.generator.width + EXTRA_CHANNELS

    def train(self, mode: bool = True) -> OwnNetworks:
        super().train(mode)
        self.audio_encoder.eval()
        self.image_tower.eval()
        return self

    def learned_by_generator(self) -> list[nn.Parameter]:
        return trainable(self.generator, self.projector)

    def discriminators(self) -> list[nn.Module]:
        return [self.discriminator, self.feature_discriminator]
