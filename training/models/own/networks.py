"""Every network of a run, and what learns in which half of a step."""

from __future__ import annotations

from torch import nn

from training.config import TrainingConfig
from training.models.backbone import Backbone
from training.models.conditioner import make_conditioner
from training.models.discriminator import PatchDiscriminator
from training.models.feature_discriminator import FeatureDiscriminator
from training.models.image_tower import ImageTower
from training.models.late_fusion import LateFusionDiscriminator
from training.models.own.audio_encoder import AudioEncoder
from training.models.own.generator import Generator
from training.models.patch_projector import PatchProjector


class Networks(nn.Module):
    """Every network of a run, and the frozen backbone if one of them needs it."""

    def __init__(self, config: TrainingConfig) -> None:
        super().__init__()
        self.audio_encoder = AudioEncoder(config.audio)
        dim, feature_width = config.audio.embedding_dim, config.discriminator.feature_width
        self.generator = Generator(config.generator, dim)
        self.discriminator: PatchDiscriminator | LateFusionDiscriminator = (
            LateFusionDiscriminator(config.discriminator)
            if config.discriminator.conditioning == "late-fusion"
            else PatchDiscriminator(config.discriminator, dim)
        )
        self.projector = PatchProjector(self.generator.nce_channels(), config.losses.projector_width)
        self.feature_discriminator = FeatureDiscriminator(feature_width, dim) if feature_width else None
        has_tower = bool(config.correspondence.steps)
        self.image_tower = ImageTower(config.correspondence.hidden, dim) if has_tower else None
        self.back_generator = Generator(config.generator, dim) if config.losses.cycle else None
        self.conditioner = make_conditioner(config.condition, dim)  # last: the others begin as those of `default` do
        # In a list, so that the backbone's weights are no part of a checkpoint.
        self._backbone = [Backbone()] if feature_width or has_tower else []
        self.audio_frozen = has_tower and not config.correspondence.finetuned
        if self.audio_frozen:
            self.audio_encoder.requires_grad_(False)
        if self.image_tower is not None:
            self.image_tower.requires_grad_(False)

    @property
    def backbone(self) -> Backbone:
        return self._backbone[0]

    def train(self, mode: bool = True) -> Networks:
        super().train(mode)
        if self.audio_frozen:
            self.audio_encoder.eval()
        if self.image_tower is not None:
            self.image_tower.eval()
        return self

    def learned_by_generator(self) -> list[nn.Parameter]:
        modules = [self.generator, self.projector, self.conditioner]
        modules += [] if self.audio_frozen else [self.audio_encoder]
        modules += [] if self.back_generator is None else [self.back_generator]
        return [p for module in modules for p in module.parameters() if p.requires_grad]

    def learned_by_discriminator(self) -> list[nn.Parameter]:
        modules = [m for m in (self.discriminator, self.feature_discriminator) if m is not None]
        return [p for module in modules for p in module.parameters() if p.requires_grad]
