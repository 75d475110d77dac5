"""The networks of a run of the paper's method, or of one of its ablations and baselines."""

from __future__ import annotations

from torch import nn

from training.config import PaperConfig
from training.models.backbone import Backbone
from training.models.conditioner import make_conditioner
from training.models.image_tower import ImageTower
from training.models.networks import Networks, trainable
from training.models.paper import AudioEncoder, Discriminator, Generator
from training.models.paper_variants import AdaINGenerator, LateFusionDiscriminator
from training.models.patch_projector import PatchProjector

DISCRIMINATORS = {"early": Discriminator, "late": LateFusionDiscriminator}


class PaperNetworks(Networks):
    """G, f, D and the projector P; a second generator for the cycle, an image tower for pre-training."""

    def __init__(self, config: PaperConfig) -> None:
        super().__init__()
        dim = config.audio.embedding_dim
        self.audio_encoder = AudioEncoder(config.audio)
        self.generator: Generator = (
            AdaINGenerator(config.generator) if config.condition.kind == "image" else Generator(config.generator, dim)
        )
        self.discriminator: nn.Module = DISCRIMINATORS[config.discriminator.fusion](config.discriminator)
        self.projector = PatchProjector(self.generator.encoder.nce_channels, config.losses.projector_width)
        self.conditioner = make_conditioner(config.condition, dim)
        self.back_generator = Generator(config.generator, dim) if config.losses.cycle else None
        self.content_channels = 4 * config.generator.width
        if config.pretraining.steps:
            self.image_tower = ImageTower(config.pretraining.hidden, dim)
            self.image_tower.requires_grad_(False)
            self._backbone = [Backbone()]
            self.towers_agree = config.learning_rate == 0
        # the cycle's way back hears the source's audio, whatever leads there
        self.audio_encoder.requires_grad_(self.conditioner.uses_audio or self.back_generator is not None)

    def learned_by_generator(self) -> list[nn.Parameter]:
        return trainable(self.generator, self.projector, self.audio_encoder, self.conditioner, self.back_generator)
