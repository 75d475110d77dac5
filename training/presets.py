"""The presets: training configurations by their names."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

from training.config import (
    AudioConfig,
    ConditionConfig,
    CorrespondenceConfig,
    DataConfig,
    DiscriminatorConfig,
    GeneratorConfig,
    LossConfig,
    TrainingConfig,
)

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
