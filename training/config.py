"""The settings of a training run as frozen dataclasses, and the presets that name them.

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
    guided: bool = True  # what a masked output draws follows the source's edges (training/networks/guided_filter.py)
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


# The authors' architecture and settings with their faults: the control in every table.
_PAPER = TrainingConfig(
    preset="paper",
    audio=AudioConfig(level_preserving=False, first_padding=1),
    generator=GeneratorConfig(
        encoder_blocks=9,
        conditioning="concat",
        norm="instance",
        output="direct",
        wide_up_path=True,
        zero_padded_sampling=True,
    ),
    discriminator=DiscriminatorConfig(mismatched_pairs=False),
    ema_images=0.0,
    clip_gradient_norm=1e6,  # theirs has no clipping
)

_DEFAULT = TrainingConfig(
    preset="default",
    discriminator=DiscriminatorConfig(feature_width=64),
    losses=LossConfig(feature_gan=1.0, correspondence=0.25, mix=2.0),
    correspondence=CorrespondenceConfig(steps=4_000, mix_steps=4_000),
    data=DataConfig(loudness_dbfs=(-40.0, -14.0)),
)

# The audio encoder learns with the generator alone: what pre-training is compared with (the paper's Table 4).
_SCRATCH = dataclasses.replace(
    _DEFAULT,
    preset="scratch",
    losses=dataclasses.replace(_DEFAULT.losses, correspondence=0.0),
    correspondence=CorrespondenceConfig(),
)

PRESETS: Mapping[str, TrainingConfig] = {
    "paper": _PAPER,
    # The control of `demo`: as wide, and trained as long in time (a picture takes half as long again).
    "paper-narrow": dataclasses.replace(
        _PAPER,
        preset="paper-narrow",
        audio=dataclasses.replace(_PAPER.audio, encoder_width=16, embedding_dim=64),
        generator=dataclasses.replace(_PAPER.generator, width=32, blocks=6, encoder_blocks=6),
        discriminator=dataclasses.replace(_PAPER.discriminator, width=32),
        losses=dataclasses.replace(_PAPER.losses, projector_width=128),
        data=DataConfig(crops=((0.0, 128),), zoom=(1.0, 1.5), workers=1),
        batch=4,
        images=8_000,
    ),
    "default": _DEFAULT,
    # The paper's ablations (its Table 3), each of them `default` but for one matter.
    "no-identity": dataclasses.replace(  # the term alone is removed; the authors' code also doubles lambda
        _DEFAULT, preset="no-identity", losses=dataclasses.replace(_DEFAULT.losses, identity_nce=0.0)
    ),
    "cycle": dataclasses.replace(  # both NCE terms give way to CycleGAN's losses at CycleGAN's weights
        _DEFAULT,
        preset="cycle",
        losses=dataclasses.replace(_DEFAULT.losses, nce=0.0, identity_nce=0.0, cycle=10.0, identity_l1=5.0),
        data=dataclasses.replace(_DEFAULT.data, source_sounds=True),
    ),
    "late-fusion": dataclasses.replace(
        _DEFAULT,
        preset="late-fusion",
        discriminator=dataclasses.replace(_DEFAULT.discriminator, conditioning="late-fusion"),
    ),
    # The paper's baselines (its Table 1), each of them `default` but for what tells the generator the look.
    "keyword": dataclasses.replace(_DEFAULT, preset="keyword", condition=ConditionConfig("keyword")),
    "class-pred": dataclasses.replace(_DEFAULT, preset="class-pred", condition=ConditionConfig("label")),
    "adain": dataclasses.replace(_DEFAULT, preset="adain", condition=ConditionConfig("picture")),
    # The paper's pre-training (its Tables 3 and 4): the audio encoder is fine-tuned from where it begins.
    "scratch": _SCRATCH,
    "selavi": dataclasses.replace(  # the published audio network is a ResNet9
        _SCRATCH,
        preset="selavi",
        audio_start="selavi",
        audio=dataclasses.replace(_SCRATCH.audio, stage_blocks=1),
    ),
    "wav2clip": dataclasses.replace(_SCRATCH, preset="wav2clip", audio_start="wav2clip"),
    "correspondence": dataclasses.replace(
        _SCRATCH,
        preset="correspondence",
        correspondence=dataclasses.replace(_DEFAULT.correspondence, finetuned=True),
    ),
    "demo": TrainingConfig(
        preset="demo",
        audio=AudioConfig(encoder_width=16, embedding_dim=64),
        generator=GeneratorConfig(width=32, blocks=6, encoder_blocks=3, antialias=False),
        discriminator=DiscriminatorConfig(width=32, conditioning="projection", feature_width=64, feature_noise=0.05),
        losses=LossConfig(
            nce=0.05, identity_nce=0.05, identity_every=4, nce_every=2, patch_gan=0.2, feature_gan=2.0, mix=2.0,
            tone=8.0, excess_saturation=40.0, projector_width=128,
        ),
        correspondence=CorrespondenceConfig(steps=300, mix_steps=600, batch=32),
        data=DataConfig(
            crops=((0.0, 128),), zoom=(1.0, 1.5), loudness_dbfs=(-40.0, -14.0), workers=1
        ),
        batch=4,
        images=12_000,
        warmup_steps=500,
        learning_rate=3e-4,
        discriminator_learning_rate=6e-4,
        ema_images=1_500.0,
    ),
    "smoke": TrainingConfig(
        preset="smoke",
        audio=AudioConfig(clip_seconds=1.0, encoder_width=4, embedding_dim=8),
        generator=GeneratorConfig(width=4, blocks=2, encoder_blocks=1, antialias=False),
        discriminator=DiscriminatorConfig(width=4, conditioning="projection", feature_width=8),
        losses=LossConfig(
            feature_gan=1.0, correspondence=0.25, mix=1.0, mix_every=2, identity_every=2, nce_patches=16,
            projector_width=8,
        ),
        correspondence=CorrespondenceConfig(steps=3, mix_steps=2, batch=4),
        data=DataConfig(
            crops=((0.0, 32), (0.5, 64)), loudness_dbfs=(-40.0, -14.0), stream_buffer=4, stream_excerpt=1
        ),
        batch=2,
        images=8,
        ema_images=20.0,
        sample_images=4,
    ),
}  # fmt: skip


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
