"""The settings of the scene stylizer, the model that ships."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from training.config import AudioConfig, DataConfig, TrainingConfig


@dataclass(frozen=True)
class SceneGeneratorConfig:
    """widths: channels of Gdec at strides 16, 8, 4, 2 and 1. blocks: its residual blocks at stride 16."""

    widths: tuple[int, ...] = (160, 128, 96, 48, 24)
    blocks: int = 4


@dataclass(frozen=True)
class SceneDiscriminatorConfig:
    """Heads on frozen features, told the audio by a projection."""

    width: int = 64


@dataclass(frozen=True)
class SceneLossConfig:
    """The weights of style training (training/stages/style_training.py)."""

    swd: float = 6.0  # sliced Wasserstein distance to the scene's photographs, of features
    colors: float = 6.0  # the same of lightness and colors
    gan: float = 0.5
    nce: float = 0.1  # lambda
    nce_patches: int = 192
    nce_temperature: float = 0.07
    projector_width: int = 128
    self_similarity: float = 0.4
    gradients: float = 0.1
    variety: float = 10.0  # of colors among cells that show the same kind of thing
    mix: float = 1.0
    identity: float = 1.0  # mu: a photograph of the scene stays as it is under its audio


@dataclass(frozen=True)
class SceneConfig(TrainingConfig):
    """A run of the scene stylizer. Its audio encoder comes trained, by --audio-weights (`training scene-audio`)."""

    kind: str = "scene"
    audio: AudioConfig = field(default_factory=lambda: AudioConfig(embedding_dim=64))
    audio_start: Literal["scene"] = "scene"
    audio_classifier: Literal["small", "yamnet"] = "small"  # of the audio encoder that comes trained
    data: DataConfig = field(default_factory=lambda: DataConfig(crops=((0.0, 112), (0.6, 160))))
    generator: SceneGeneratorConfig = field(default_factory=SceneGeneratorConfig)
    discriminator: SceneDiscriminatorConfig = field(default_factory=SceneDiscriminatorConfig)
    losses: SceneLossConfig = field(default_factory=SceneLossConfig)
    batch: int = 8
    learning_rate: float = 1e-3
    discriminator_learning_rate: float = 4e-4
    betas: tuple[float, float] = (0.5, 0.99)
    clip_gradient_norm: float = 5.0
    ema_images: float = 2_500.0
    gan_start_steps: int = 200  # the discriminator learns alone until then
