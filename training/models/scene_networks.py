"""The networks of the scene stylizer: a frozen audio encoder, the generator, and what judges it."""

from __future__ import annotations

from torch import Tensor, nn

from training.models.backbone import Backbone
from training.models.cell_descriptor import DESCRIPTOR_DIM
from training.models.conditioner import AudioConditioner
from training.models.networks import Networks, trainable
from training.models.patch_projector import PatchProjector
from training.models.projected_discriminator import ProjectedDiscriminator
from training.models.scene_audio_encoder import SceneAudioConfig, SceneAudioEncoder
from training.models.scene_config import SceneConfig
from training.models.stylizer import (
    FOLDED_CHANNELS,
    SIZE_MULTIPLE,
    SKIP_CHANNELS,
    ContentEncoder,
    Stylizer,
    load_imagenet_weights,
)


class FrozenFeatures(ContentEncoder):
    """EfficientNet-Lite0 as it was trained on ImageNet, with zeros beyond the edges: what the losses see."""

    def __init__(self) -> None:
        super().__init__("constant")
        load_imagenet_weights(self)
        self.requires_grad_(False)

    def train(self, mode: bool = True) -> FrozenFeatures:
        return self

    def forward(self, image: Tensor) -> list[Tensor]:  # type: ignore[override]
        return self.features(image)


class SceneNetworks(Networks):
    """Genc begins with ImageNet weights; the audio encoder is set by `load_audio_encoder` and never learns."""

    stride = SIZE_MULTIPLE
    size_multiple = 2 * SIZE_MULTIPLE  # reflection at the edges of the coarsest map needs two cells

    def __init__(self, config: SceneConfig) -> None:
        super().__init__()
        dim = config.audio.embedding_dim
        self.audio_encoder = SceneAudioEncoder(SceneAudioConfig(embedding_dim=dim, classifier=config.audio_classifier))
        self.audio_encoder.requires_grad_(False)
        self.generator = Stylizer(dim, config.generator.widths, config.generator.blocks)
        load_imagenet_weights(self.generator.encoder)
        self.discriminator = ProjectedDiscriminator(SKIP_CHANNELS, dim, DESCRIPTOR_DIM + 1, config.discriminator.width)
        self.projector = PatchProjector(SKIP_CHANNELS, config.losses.projector_width)
        self.conditioner = AudioConditioner()
        self._backbone = [FrozenFeatures(), Backbone()]  # type: ignore[list-item]
        self.content_channels = sum(FOLDED_CHANNELS)

    @property
    def deep_backbone(self) -> Backbone:
        """Its features reach stride 32; by them cells are described."""
        return self._backbone[1]

    def train(self, mode: bool = True) -> SceneNetworks:
        super().train(mode)
        self.audio_encoder.eval()
        return self

    def learned_by_generator(self) -> list[nn.Parameter]:
        return trainable(self.generator, self.projector)
