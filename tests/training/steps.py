"""Single steps of a stage, on random batches, without data or files."""

from __future__ import annotations

from typing import Any

import torch

from training.config import TrainingConfig
from training.kinds import kind_of
from training.models.average import Average
from training.models.networks import Networks
from training.presets import PRESETS, with_settings
from training.stages.precision import choose_precision
from training.stages.stage import Run, Stage

CROP = 32
SHRINK = {
    "paper": (
        "audio.encoder_width=4", "audio.embedding_dim=8", "generator.width=4", "generator.blocks=2",
        "discriminator.width=4", "losses.nce_patches=16", "losses.projector_width=8",
    ),
    "scene": (
        "generator.widths=[16, 16, 8, 8, 8]", "generator.blocks=1", "discriminator.width=8", "losses.nce_patches=16",
        "losses.projector_width=8", "audio.clip_seconds=3.0",
    ),
}  # fmt: skip


def shrunken(preset: str, *settings: str) -> Any:
    """The same method with hardly any channels, in full precision."""
    config = PRESETS[preset]
    common = ("audio.clip_seconds=1.0", "precision=fp32", "data.crops=[[0.0, 32]]")
    return with_settings(config, [*common, *SHRINK[config.kind], *settings])


def random_batch(config: TrainingConfig, size: int = 2) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    batch = {
        "source": torch.rand(size, 3, CROP, CROP, generator=rng) * 2 - 1,
        "target": torch.rand(size, 3, CROP, CROP, generator=rng) * 2 - 1,
        "waveform": torch.randn(size, config.audio.clip_samples, generator=rng) * 0.1,
        "source_waveform": torch.randn(size, config.audio.clip_samples, generator=rng) * 0.1,
    }
    if config.condition.kind == "image":
        batch["condition"] = torch.rand(size, 3, 64, 64, generator=rng) * 2 - 1
    elif config.condition.kind != "audio":
        batch["condition"] = torch.randn(size, config.condition.word_dim, generator=rng)
    return batch


def built(config: TrainingConfig) -> Networks:
    torch.manual_seed(0)
    return kind_of(config).networks(config)


def adversarial_stage(config: TrainingConfig, networks: Networks | None = None) -> Stage:
    """The stage of this kind of model that counts images, ready for a step."""
    networks = networks or built(config)
    device = torch.device("cpu")
    run = Run(
        config, networks, Average(networks, config.ema_images), None, device, choose_precision(config.precision, device)
    )  # type: ignore[arg-type]
    stages = [kind for kind in kind_of(config).stages(config) if kind.name == "adversarial training"]
    return stages[0](run)


def one_step(config: TrainingConfig, size: int = 2, number: int = 0) -> tuple[Networks, Networks, dict[str, float]]:
    """The networks before and after, and the losses."""
    before, stage = built(config), adversarial_stage(config)
    said = stage.step(number, random_batch(config, size), 0.0)
    return before, stage.run.networks, {name: value.item() for name, value in said.items()}


def changed_parts(before: Networks, after: Networks) -> set[str]:
    old = dict(before.named_parameters())
    return {name.split(".")[0] for name, p in after.named_parameters() if not torch.equal(p, old[name])}
