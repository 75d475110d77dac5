"""The settings of our own model."""

from __future__ import annotations

from dataclasses import dataclass, field

from training.config import AudioConfig, TrainingConfig


@dataclass(frozen=True)
class OwnAudioConfig(AudioConfig):
    """The audio encoder writes loudness into the embedding's length, by a gate."""

    gate_center_dbfs: float = -48.0  # the loudness at which the effect is half there
    gate_slope_db: float = 6.0  # decibels for one unit of the effect's logit


@dataclass(frozen=True)
class OwnGeneratorConfig:
    """The two halves Genc and Gdec."""

    width: int = 32
    blocks: int = 6
    encoder_blocks: int = 3  # before the fusion


@dataclass(frozen=True)
class OwnDiscriminatorConfig:
    """A PatchGAN and heads on frozen features, both with a projection of the embedding."""

    width: int = 32
    feature_width: int = 64
    feature_noise: float = 0.05  # standard deviation of the noise on what the frozen features see


@dataclass(frozen=True)
class OwnLossConfig:
    """The weights of Eq. 4 and of what was added to it."""

    nce: float = 0.05  # lambda
    identity_nce: float = 0.05  # mu
    identity_every: int = 4  # the identity pass in every n-th step only, its weight times n
    nce_every: int = 2  # the structure term in every n-th step only, its weight times n
    nce_patches: int = 256
    nce_temperature: float = 0.07
    projector_width: int = 128
    patch_gan: float = 0.2
    feature_gan: float = 2.0
    correspondence: float = 0.0  # pull of the image towards its audio in the space of the pre-training
    tone: float = 8.0  # the colours of what occurs with the audio, in horizontal bands
    excess_saturation: float = 40.0  # no pixel becomes much more colourful than it was
    mix: float = 2.0  # a mixed embedding gives the mixed image
    mix_every: int = 4
    mask: float = 0.0  # mean of the mask: change no more than is needed


@dataclass(frozen=True)
class OwnConfig(TrainingConfig):
    """A run of our own model."""

    kind: str = "own"
    audio: OwnAudioConfig = field(default_factory=OwnAudioConfig)
    generator: OwnGeneratorConfig = field(default_factory=OwnGeneratorConfig)
    discriminator: OwnDiscriminatorConfig = field(default_factory=OwnDiscriminatorConfig)
    losses: OwnLossConfig = field(default_factory=OwnLossConfig)
    warmup_steps: int = 0  # of the discriminators on real pairs, before the generator learns
    warmup_batch: int = 16
    distillation_steps: int = 0  # at the end, of the decoder alone: a mix's image lies between those of its parts
    grade_rate: float = 0.2  # of the rate, for the global color parameters: every pixel pushes them, and they swing
