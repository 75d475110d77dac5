"""The settings of a training run as frozen dataclasses.

Symbols follow the paper (Li et al., ECCV 2022): lambda and mu weigh the patch NCE of stylization and identity.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal


@dataclass(frozen=True)
class AudioConfig:
    """How a waveform becomes an embedding."""

    sample_rate_hz: int = 16_000
    clip_seconds: float = 3.0
    n_fft: int = 512
    window_samples: int = 400  # 25 ms
    hop_samples: int = 160  # 10 ms
    encoder_width: int = 64  # channels of the first stage of the ResNet18
    first_padding: int = 3
    stage_blocks: int = 2  # residual blocks of each of the four stages: 2 is ResNet18, 1 ResNet9
    embedding_dim: int = 256
    level_preserving: bool = True  # False divides every waveform by 1.1 of its peak, as the authors' loader does
    gate_center_dbfs: float = -48.0  # the loudness at which the effect is half there
    gate_slope_db: float = 6.0  # decibels for one unit of the effect's logit

    @property
    def clip_samples(self) -> int:
        return round(self.clip_seconds * self.sample_rate_hz)


@dataclass(frozen=True)
class ConditionConfig:
    """What tells the generator the look: the driving sound, or what the paper's baselines have in its place."""

    kind: Literal["sound", "keyword", "label", "picture"] = "sound"
    word_vectors: str = "minilm"  # of a keyword or a label: MiniLM, or the path of a word2vec file
    word_dim: int = 384  # length of these vectors
    tagger: str = "yamnet"  # whose label it is: `training.prepare.tagger`


@dataclass(frozen=True)
class GeneratorConfig:
    """The two halves Genc and Gdec."""

    width: int = 64
    blocks: int = 9
    encoder_blocks: int = 5  # the blocks before the fusion; the paper's last NCE features come from the fifth
    antialias: bool = True  # blur before sub-sampling (CUT) instead of strided convolutions
    conditioning: Literal["concat", "modulated"] = "modulated"
    norm: Literal["instance", "running"] = "running"  # by the picture's own statistics, or by those of many
    output: Literal["direct", "masked"] = "masked"
    guided: bool = True  # what a masked output draws follows the source's edges (training/models/own/guided_filter.py)
    wide_up_path: bool = False  # the authors' code keeps the concatenated width in the first up-sampling
    zero_padded_sampling: bool = False  # theirs pads there with zeros: that ring is all of the sound that a norm leaves

    @property
    def size_multiple(self) -> int:
        return 4


@dataclass(frozen=True)
class DiscriminatorConfig:
    """Who judges whether a picture and a sound belong together."""

    width: int = 64
    conditioning: Literal["early-fusion", "late-fusion", "projection"] = "early-fusion"
    mismatched_pairs: bool = True
    feature_noise: float = 0.0  # standard deviation of the noise on what the frozen features see
    feature_width: int = 0  # channels of the heads on frozen EfficientNet features; 0 leaves them out


@dataclass(frozen=True)
class LossConfig:
    """The weights of Eq. 4 and of what was added to it."""

    nce: float = 0.5  # lambda
    identity_nce: float = 0.5  # mu
    identity_every: int = 1  # the identity pass in every n-th step only, its weight times n
    nce_every: int = 1  # the structure term in every n-th step only, its weight times n
    cycle: float = 0.0  # a second generator finds the source again, by the source's own sound
    identity_l1: float = 0.0  # with `cycle`: the target under its own sound stays as it is
    nce_patches: int = 256
    nce_temperature: float = 0.07
    projector_width: int = 256
    patch_gan: float = 1.0
    feature_gan: float = 0.0
    correspondence: float = 0.0  # pull of the picture towards its sound in the correspondence net's space
    tone: float = 0.0  # the colours of what occurs with the sound, in horizontal bands
    excess_saturation: float = 0.0  # no pixel becomes much more colourful than it was
    mix: float = 0.0  # a mixed embedding gives the mixed picture
    mix_every: int = 4
    mask: float = 0.0  # mean of the mask: change no more than is needed


@dataclass(frozen=True)
class CorrespondenceConfig:
    """The contrastive net that is trained first; its sound tower becomes the audio encoder, frozen if not finetuned."""

    steps: int = 0  # 0: no such net, the audio encoder learns with the generator
    mix_steps: int = 0  # then of the sound tower alone, so that a mix of sounds lies between them
    batch: int = 64
    learning_rate: float = 1e-3
    temperature: float = 0.1
    hidden: int = 256
    finetuned: bool = False  # the audio encoder goes on learning with the generator


@dataclass(frozen=True)
class DataConfig:
    """What a draw from the index becomes."""

    crops: tuple[tuple[float, int], ...] = ((0.0, 256),)  # (share of the run from which on, crop in pixels)
    zoom: tuple[float, float] = (1.0, 1.25)  # short side of the photograph over the crop, before cropping
    loudness_dbfs: tuple[float, float] | None = None  # the sound is brought to a level drawn from here; None keeps it
    source_sounds: bool = False  # sources are drawn with a sound of their own, `source_waveform`
    workers: int = 0
    stream_buffer: int = 2_000  # pictures that each worker shuffles, where shards are streamed
    stream_excerpt: int = 16  # streamed shards of each split that are kept, for what cannot be drawn from a stream


@dataclass(frozen=True)
class TrainingConfig:
    """A whole run."""

    preset: str
    audio_start: Literal["own", "selavi", "wav2clip"] = "own"  # whose weights the audio encoder begins with
    audio: AudioConfig = field(default_factory=AudioConfig)
    condition: ConditionConfig = field(default_factory=ConditionConfig)
    generator: GeneratorConfig = field(default_factory=GeneratorConfig)
    discriminator: DiscriminatorConfig = field(default_factory=DiscriminatorConfig)
    losses: LossConfig = field(default_factory=LossConfig)
    correspondence: CorrespondenceConfig = field(default_factory=CorrespondenceConfig)
    data: DataConfig = field(default_factory=DataConfig)
    warmup_steps: int = 0  # of the discriminators on real pairs, before the generator learns
    warmup_batch: int = 16
    batch: int = 16  # over all processes
    accumulate: int = 1  # slices that each process works its share through, one at a time in memory
    compile: bool = False  # by torch.compile
    learning_rate: float = 2e-4
    discriminator_learning_rate: float = 2e-4
    grade_rate: float = 0.2  # of the rate, for what is said once for the picture: every pixel pushes it, and it swings
    betas: tuple[float, float] = (0.5, 0.999)
    epochs: float = 50.0
    constant_share: float = 0.6  # 30 of 50 epochs; then the rate falls linearly to zero
    images: int = 0  # the run's length in pictures; 0 takes it from `epochs`
    ema_images: float = 10_000.0  # the weights' average reaches back about as many pictures
    clip_gradient_norm: float = 100.0
    max_gradient_norm: float = 1e6  # above it a run counts as diverged
    seed: int = 0
    bf16: bool = True
    checkpoint_seconds: float = 300.0
    sample_images: int = 1_000


def config_from_dict(values: Mapping[str, Any]) -> TrainingConfig:
    """Rebuild a configuration from `dataclasses.asdict` of one (lists where tuples were are allowed)."""
    return _build(TrainingConfig, values)


def _build(cls: type, values: Mapping[str, Any]) -> Any:
    parts = {
        "audio": AudioConfig,
        "condition": ConditionConfig,
        "generator": GeneratorConfig,
        "discriminator": DiscriminatorConfig,
        "losses": LossConfig,
        "correspondence": CorrespondenceConfig,
        "data": DataConfig,
    }
    known = {f.name for f in dataclasses.fields(cls)}
    if unknown := set(values) - known:
        raise ValueError(f"the configuration has unknown settings: {', '.join(sorted(unknown))}")
    built = {}
    for name, value in values.items():
        if cls is TrainingConfig and name in parts:
            value = _build(parts[name], value)
        built[name] = _as_tuple(value)
    return cls(**built)


def _as_tuple(value: Any) -> Any:
    return tuple(_as_tuple(v) for v in value) if isinstance(value, (list, tuple)) else value
