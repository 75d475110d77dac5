"""One step of every preset learns, and a step that goes wrong says so."""

from __future__ import annotations

import dataclasses

import pytest
import torch

from training.config import TrainingConfig
from training.models.average import Average
from training.models.own.networks import Networks
from training.presets import PRESETS
from training.stages.own.step import make_optimizers, train_step
from training.stages.update import DivergedError

CROP = 32


def shrunken(config: TrainingConfig) -> TrainingConfig:
    """The same method with hardly any channels."""
    return dataclasses.replace(
        config,
        audio=dataclasses.replace(config.audio, clip_seconds=1.0, encoder_width=4, embedding_dim=8),
        generator=dataclasses.replace(config.generator, width=4),
        discriminator=dataclasses.replace(
            config.discriminator, width=4, feature_width=8 if config.discriminator.feature_width else 0
        ),
        losses=dataclasses.replace(config.losses, projector_width=8, nce_patches=16),
    )


def random_batch(config: TrainingConfig, size: int = 2) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(0)
    return {
        "source": torch.rand(size, 3, CROP, CROP, generator=rng) * 2 - 1,
        "target": torch.rand(size, 3, CROP, CROP, generator=rng) * 2 - 1,
        "waveform": torch.randn(size, config.audio.clip_samples, generator=rng) * 0.1,
        "source_waveform": torch.randn(size, config.audio.clip_samples, generator=rng) * 0.1,
        **random_condition(config, size, rng),
    }


def random_condition(config: TrainingConfig, size: int, rng: torch.Generator) -> dict[str, torch.Tensor]:
    """What the preset has in the sound's place."""
    if config.condition.kind == "sound":
        return {}
    shape = (3, 64, 64) if config.condition.kind == "picture" else (config.condition.word_dim,)
    return {"condition": torch.randn(size, *shape, generator=rng)}


def one_step(config: TrainingConfig, batch: dict[str, torch.Tensor]) -> tuple[Networks, Networks, dict[str, float]]:
    """The networks before and after, and what the step said."""
    networks, before = (built(config) for _ in range(2))
    networks.train()
    said = train_step(networks, make_optimizers(networks, config), batch, config, 0, torch.Generator().manual_seed(0))
    return before, networks, said


def built(config: TrainingConfig) -> Networks:
    torch.manual_seed(0)
    return Networks(config)


def changed_parts(before: Networks, after: Networks) -> set[str]:
    old = dict(before.named_parameters())
    return {name.split(".")[0] for name, p in after.named_parameters() if not torch.equal(p, old[name])}


@pytest.mark.parametrize("preset", sorted(PRESETS))
def test_every_preset_makes_a_step(preset: str) -> None:
    config = shrunken(PRESETS[preset])
    before, after, said = one_step(config, random_batch(config))
    assert all(torch.isfinite(torch.tensor(value)) for value in said.values())
    assert all(torch.isfinite(p).all() for p in after.parameters())
    learned = {"generator", "discriminator"}
    learned |= {"projector"} if config.losses.nce else {"back_generator"}
    learned |= {"feature_discriminator"} if config.discriminator.feature_width else set()
    frozen = config.correspondence.steps and not config.correspondence.finetuned
    learned |= set() if frozen else {"audio_encoder"}
    learned |= set() if config.condition.kind == "sound" else {"conditioner"}
    assert changed_parts(before, after) == learned


def test_the_paper_preset_uses_the_papers_losses_alone() -> None:
    config = shrunken(PRESETS["paper"])
    _, _, said = one_step(config, random_batch(config))
    assert {name for name in said if name.startswith("generator/")} == {
        "generator/gan_patch",
        "generator/nce",
        "generator/identity_nce",
    }


def test_a_step_is_the_same_again() -> None:
    config = shrunken(PRESETS["smoke"])
    (_, first, _), (_, second, _) = (one_step(config, random_batch(config)) for _ in range(2))
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_a_loss_that_is_no_number_stops_the_run() -> None:
    config = shrunken(PRESETS["smoke"])
    batch = random_batch(config)
    batch["target"][:] = float("nan")
    with pytest.raises(DivergedError, match=r"step 0: the loss is nan; lower the learning rate"):
        one_step(config, batch)


def test_a_gradient_out_of_bounds_stops_the_run() -> None:
    config = dataclasses.replace(shrunken(PRESETS["smoke"]), max_gradient_norm=1e-9)
    with pytest.raises(DivergedError, match=r"step 0: the gradient's norm is .* the run diverged"):
        one_step(config, random_batch(config))


def test_gradients_are_clipped() -> None:
    moved = []
    for bound in (1e-12, 1e6):  # far below Adam's epsilon a clipped gradient moves nothing
        config = dataclasses.replace(shrunken(PRESETS["smoke"]), clip_gradient_norm=bound)
        before, after, _ = one_step(config, random_batch(config))
        pairs = zip(before.generator.parameters(), after.generator.parameters(), strict=True)
        moved.append(max((new - old).abs().max().item() for old, new in pairs))
    assert moved[0] < 0.01 * moved[1]


def test_the_average_lies_between_its_past_and_the_present() -> None:
    config = shrunken(PRESETS["smoke"])
    networks = built(config)
    average = Average(networks, images=100.0)
    with torch.no_grad():
        networks.generator.decoder.head.weight += 1.0
    old = average.generator.decoder.head.weight.clone()
    average.update(networks, batch=10, images_seen=100_000)
    moved = (average.generator.decoder.head.weight - old).mean().item()
    assert moved == pytest.approx(1 - 2.718281828 ** (-10 / 100), rel=1e-3)


def test_an_average_over_no_pictures_is_the_network_itself() -> None:
    networks = built(shrunken(PRESETS["paper"]))
    average = Average(networks, images=0.0)
    with torch.no_grad():
        networks.generator.decoder.head.weight += 1.0
    average.update(networks, batch=2, images_seen=2)
    assert torch.equal(average.generator.decoder.head.weight, networks.generator.decoder.head.weight)
