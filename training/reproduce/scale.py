"""How large the networks, the runs and the evaluation of a reproduction are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from training.config import TrainingConfig
from training.presets import with_settings


@dataclass(frozen=True)
class ScaleOverrides:
    """Settings that a scale changes in every preset of a kind; losses and conditions stay the preset's."""

    everywhere: tuple[str, ...] = ()
    by_kind: Mapping[str, tuple[str, ...]] | None = None
    pretraining: tuple[str, ...] = ()  # where the preset has such a stage

    @property
    def narrow(self) -> bool:
        """Whether the audio encoder has other shapes than the published ones."""
        return any(one.startswith("audio.encoder_width") for one in (self.by_kind or {}).get("paper", ()))


@dataclass(frozen=True)
class Scale:
    """`images` 0: as long as the preset says."""

    name: str
    meaning: str
    overrides: ScaleOverrides
    images: int  # that every row learns from
    size: int  # side of the evaluated images in pixels
    pictures: int  # held-out images of the evaluation
    behaviour_pictures: int  # of them, those on which gain and speech are swept
    checkpoint_seconds: float


SCALES: Mapping[str, Scale] = {
    scale.name: scale
    for scale in (
        Scale(
            "smoke",
            "seconds; proves that the command works, and nothing about the method",
            ScaleOverrides(
                everywhere=("data.crops=[[0.0, 32]]", "audio.clip_seconds=1.0", "batch=2"),
                by_kind={
                    "paper": (
                        "audio.encoder_width=4", "audio.embedding_dim=8", "generator.width=4", "generator.blocks=2",
                        "discriminator.width=4", "losses.nce_patches=16", "losses.projector_width=8",
                    ),
                    "scene": (
                        "generator.widths=[16, 16, 8, 8, 8]", "generator.blocks=1", "discriminator.width=8",
                        "losses.nce_patches=16", "losses.projector_width=8", "audio.clip_seconds=3.0",
                    ),
                },
                pretraining=("pretraining.steps=3", "pretraining.batch=4"),
            ),
            images=4, size=32, pictures=3, behaviour_pictures=2, checkpoint_seconds=60.0,
        ),
        Scale(
            "cpu",
            "many hours on two processor cores; narrow networks and small images",
            ScaleOverrides(
                everywhere=("data.crops=[[0.0, 96]]", "batch=4"),
                by_kind={
                    "paper": (
                        "audio.encoder_width=16", "audio.embedding_dim=64", "generator.width=24",
                        "generator.blocks=6", "discriminator.width=24", "losses.nce_patches=128",
                        "losses.projector_width=128",
                    ),
                },
                pretraining=("pretraining.steps=300", "pretraining.batch=32"),
            ),
            images=24_000, size=96, pictures=96, behaviour_pictures=32, checkpoint_seconds=60.0,
        ),
        Scale(
            "paper",
            "the presets as they are, 50 epochs at 256 px; for a host with GPUs",
            ScaleOverrides(),
            images=0, size=256, pictures=1_000, behaviour_pictures=100, checkpoint_seconds=300.0,
        ),
    )
}  # fmt: skip


def scaled(config: TrainingConfig, scale: Scale, seed: int) -> TrainingConfig:
    """The preset at that scale. Raises PresetError."""
    changes = scale.overrides
    settings = [f"seed={seed}", f"checkpoint_seconds={scale.checkpoint_seconds}", *changes.everywhere]
    settings += (changes.by_kind or {}).get(config.kind, ())
    settings += changes.pretraining if config.pretraining.steps else ()
    if scale.images:
        settings += [f"images={scale.images}", f"sample_images={scale.images}"]
    return with_settings(config, settings)
