"""How large the networks, the runs and the evaluation of a reproduction are."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass

from training.config import TrainingConfig


@dataclass(frozen=True)
class Narrow:
    """What a scale makes smaller in every preset. What a preset is about (its losses, its conditioning) stays."""

    crop: int  # pixels
    width: int
    blocks: int
    encoder_blocks: int  # before the fusion, where the preset has it inside the generator
    audio_width: int
    embedding_dim: int
    feature_width: int
    nce_patches: int
    projector_width: int
    correspondence_steps: int
    correspondence_batch: int
    batch: int
    learning_rate: float
    discriminator_learning_rate: float
    ema_images: float
    clip_seconds: float = 3.0


@dataclass(frozen=True)
class Scale:
    """`narrow` None: the presets as they are. `images` 0: as long as the preset says."""

    name: str
    meaning: str
    narrow: Narrow | None
    images: int  # pictures that every row learns from
    size: int  # side of the evaluated pictures in pixels
    pictures: int  # held-out photographs of the evaluation
    behaviour_pictures: int  # of them, those on which gain and speech are swept
    checkpoint_seconds: float


SCALES: Mapping[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale(
            "smoke",
            "seconds; proves that the command works, and nothing about the method",
            Narrow(
                crop=32, width=4, blocks=2, encoder_blocks=1, audio_width=4, embedding_dim=8, feature_width=8,
                nce_patches=16, projector_width=8, correspondence_steps=3, correspondence_batch=4, batch=2,
                learning_rate=2e-4, discriminator_learning_rate=2e-4, ema_images=20.0, clip_seconds=1.0,
            ),
            images=4, size=32, pictures=3, behaviour_pictures=2, checkpoint_seconds=60.0,
        ),
        Scale(
            "cpu",
            "about two hours on two processor cores that do other work, too; narrow networks and small pictures",
            Narrow(
                crop=96, width=16, blocks=6, encoder_blocks=3, audio_width=16, embedding_dim=64, feature_width=32,
                nce_patches=64, projector_width=64, correspondence_steps=200, correspondence_batch=32, batch=4,
                learning_rate=3e-4, discriminator_learning_rate=6e-4, ema_images=600.0,
            ),
            images=2_800, size=96, pictures=96, behaviour_pictures=32, checkpoint_seconds=60.0,
        ),
        Scale(
            "paper",
            "the presets as they are, 50 epochs at 256 px; for a host with GPUs",
            None,
            images=0, size=256, pictures=1_000, behaviour_pictures=100, checkpoint_seconds=300.0,
        ),
    )
}  # fmt: skip


def scaled(config: TrainingConfig, scale: Scale, seed: int) -> TrainingConfig:
    """The preset at that scale."""
    run = dataclasses.replace(config, seed=seed, checkpoint_seconds=scale.checkpoint_seconds)
    if scale.images:
        run = dataclasses.replace(run, images=scale.images, sample_images=scale.images)
    narrow = scale.narrow
    if narrow is None:
        return run
    inside = config.generator.encoder_blocks < config.generator.blocks
    return dataclasses.replace(
        run,
        audio=dataclasses.replace(
            config.audio,
            encoder_width=narrow.audio_width,
            embedding_dim=narrow.embedding_dim,
            clip_seconds=narrow.clip_seconds,
        ),
        generator=dataclasses.replace(
            config.generator,
            width=narrow.width,
            blocks=narrow.blocks,
            encoder_blocks=narrow.encoder_blocks if inside else narrow.blocks,
        ),
        discriminator=dataclasses.replace(
            config.discriminator,
            width=narrow.width,
            feature_width=narrow.feature_width if config.discriminator.feature_width else 0,
        ),
        losses=dataclasses.replace(
            config.losses, nce_patches=narrow.nce_patches, projector_width=narrow.projector_width
        ),
        correspondence=dataclasses.replace(
            config.correspondence,
            steps=narrow.correspondence_steps if config.correspondence.steps else 0,
            mix_steps=narrow.correspondence_steps if config.correspondence.mix_steps else 0,
            batch=narrow.correspondence_batch,
        ),
        data=dataclasses.replace(config.data, crops=((0.0, narrow.crop),)),
        batch=narrow.batch,
        learning_rate=narrow.learning_rate,
        discriminator_learning_rate=narrow.discriminator_learning_rate,
        ema_images=narrow.ema_images if config.ema_images else 0.0,
    )
