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
    """images: 0 for as long as the preset says. longer_images: of the longer run of `paper`; 0: there is none."""

    name: str
    meaning: str
    overrides: ScaleOverrides
    images: int  # that every row learns from
    size: int  # side of the evaluated images in pixels
    evaluated_images: int  # held-out images of the evaluation
    swept_images: int  # of them, those on which gain and speech are swept
    checkpoint_seconds: float
    longer_images: int = 0


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
            images=4, size=32, evaluated_images=3, swept_images=2, checkpoint_seconds=60.0, longer_images=8,
        ),
        Scale(
            "cpu",
            "for one processor core: narrow networks, small images and short runs",
            ScaleOverrides(
                everywhere=("data.crops=[[0.0, 64]]", "batch=4"),
                by_kind={
                    "paper": (  # multiples of 16 channels: what AMX and AVX-512 multiply at a time
                        "audio.encoder_width=16", "audio.embedding_dim=64", "generator.width=16",
                        "generator.blocks=6", "discriminator.width=16", "losses.nce_patches=64",
                        "losses.projector_width=64",
                    ),
                },
                pretraining=("pretraining.steps=100", "pretraining.batch=16"),
            ),
            images=500, size=64, evaluated_images=36, swept_images=12, checkpoint_seconds=120.0, longer_images=3_000,
        ),
        Scale(
            "paper",
            "the presets as they are, 50 epochs at 256 px; for a host with GPUs",
            ScaleOverrides(),
            images=0, size=256, evaluated_images=1_000, swept_images=100, checkpoint_seconds=300.0,
        ),
    )
}  # fmt: skip


def scaled(config: TrainingConfig, scale: Scale, seed: int, longer: bool = False) -> TrainingConfig:
    """The preset at that scale. longer: for its longer run, all checkpoints of which are kept. Raises PresetError."""
    changes = scale.overrides
    settings = [f"seed={seed}", f"checkpoint_seconds={scale.checkpoint_seconds}", *changes.everywhere]
    settings += (changes.by_kind or {}).get(config.kind, ())
    settings += changes.pretraining if config.pretraining.steps else ()
    images = scale.longer_images if longer else scale.images
    if images:
        settings += [f"images={images}", f"sample_images={images}"]
    if longer:
        settings.append("keep=1000")
    return with_settings(config, settings)
